"""cert-manager; the SIP bridge's certificate by ACME's DNS challenge.

https://cert-manager.io/docs/configuration/acme/dns01/rfc2136/
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import MEDIA, labels, limits, metadata, within
from voicefleet_infra.components.cloud.zone import SECRET, ZoneArgs, zone_secret

VERSION = "v1.19.1"
ISSUER = "voicefleet"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
_NAME = "cert-manager"


class CertManager(pulumi.ComponentResource):
    """The program that gets certificates and renews them."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("voicefleet:cloud:CertManager", name, None, opts)
        namespace = kubernetes.core.v1.Namespace(
            _NAME, metadata={"name": _NAME, "labels": labels(_NAME)}, opts=within(self, opts)
        )
        kubernetes.helm.v3.Release(
            _NAME,
            name=_NAME,
            chart=_NAME,
            version=VERSION,
            repository_opts={"repo": "https://charts.jetstack.io"},
            namespace=_NAME,
            values={
                "crds": {"enabled": True},
                "resources": limits("200m", "256Mi"),
                "webhook": {"resources": limits("100m", "128Mi")},
                "cainjector": {"resources": limits("100m", "256Mi")},
                "startupapicheck": {"resources": limits("100m", "128Mi")},
            },
            opts=within(self, opts, namespace),
        )
        self.register_outputs({})


@dataclass(frozen=True)
class CertificatesArgs:
    """Who asks whom."""

    zone: ZoneArgs
    email: str
    """Told before a certificate ends."""
    server: str = LETS_ENCRYPT
    """ACME directory (RFC 8555)."""


class Certificates(pulumi.ComponentResource):
    """An issuer `voicefleet` for the zone, a certificate for the SIP bridge; by `CertManager`."""

    sip_secret: str = "sip-tls"  # noqa: S105 (a name)
    """Secret (`tls.crt`, `tls.key`) in `voicefleet-media`."""

    def __init__(
        self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Certificates", name, None, opts)
        zone = args.zone
        # A ClusterIssuer's Secrets are in cert-manager's own namespace.
        key = zone_secret(zone, _NAME, within(self, opts))
        solver = {
            "nameserver": f"{zone.server}:{zone.port}",
            "tsigKeyName": zone.key,
            "tsigAlgorithm": "HMACSHA256",
            "tsigSecretSecretRef": {"name": SECRET, "key": "secret"},
        }
        issuer = kubernetes.apiextensions.CustomResource(
            ISSUER,
            api_version="cert-manager.io/v1",
            kind="ClusterIssuer",
            metadata={"name": ISSUER, "labels": labels(ISSUER)},
            spec={
                "acme": {
                    "server": args.server,
                    "email": args.email,
                    "privateKeySecretRef": {"name": "acme-account"},
                    "solvers": [{"dns01": {"rfc2136": solver}}],
                }
            },
            opts=within(self, opts, key),
        )
        kubernetes.apiextensions.CustomResource(
            "sip-certificate",
            api_version="cert-manager.io/v1",
            kind="Certificate",
            metadata=metadata("sip", MEDIA),
            spec={
                "secretName": self.sip_secret,
                "dnsNames": [zone.sip],
                "issuerRef": {"name": ISSUER, "kind": "ClusterIssuer"},
            },
            opts=within(self, opts, issuer),
        )
        self.register_outputs({"sipSecret": self.sip_secret})
