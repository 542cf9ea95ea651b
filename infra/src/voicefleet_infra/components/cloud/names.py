"""external-dns: the platform's own names; clients' are the operator's, with the same key.

https://kubernetes-sigs.github.io/external-dns/latest/docs/tutorials/rfc2136/
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import MEDIA, limits, metadata, within
from voicefleet_infra.components.cloud.zone import SECRET, ZoneArgs, zone_namespace

VERSION = "1.19.0"
_NAME = "external-dns"


@dataclass(frozen=True)
class NamesArgs:
    """What is written where."""

    zone: ZoneArgs
    address: pulumi.Input[str]
    """Public IPv4 address that carriers call."""


class Names(pulumi.ComponentResource):
    """external-dns, and the name of the SIP bridge."""

    sip: str

    def __init__(
        self, name: str, args: NamesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Names", name, None, opts)
        zone = args.zone
        self.sip = zone.sip
        key = zone_namespace(zone, _NAME, self, opts)
        release = kubernetes.helm.v3.Release(
            _NAME,
            name=_NAME,
            chart=_NAME,
            version=VERSION,
            repository_opts={"repo": "https://kubernetes-sigs.github.io/external-dns/"},
            namespace=_NAME,
            values={
                "provider": {"name": "rfc2136"},
                "sources": ["crd"],
                "domainFilters": [zone.zone],
                "policy": "sync",
                "txtOwnerId": "voicefleet",
                "extraArgs": [
                    f"--rfc2136-host={zone.server}",
                    f"--rfc2136-port={zone.port}",
                    f"--rfc2136-zone={zone.zone}",
                    f"--rfc2136-tsig-keyname={zone.key}",
                    "--rfc2136-tsig-secret-alg=hmac-sha256",
                    "--rfc2136-tsig-axfr",
                ],
                "env": [
                    {
                        "name": "EXTERNAL_DNS_RFC2136_TSIG_SECRET",
                        "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "secret"}},
                    }
                ],
                "resources": limits("100m", "128Mi"),
            },
            opts=within(self, opts, key),
        )
        kubernetes.apiextensions.CustomResource(
            "sip",
            api_version="externaldns.k8s.io/v1alpha1",
            kind="DNSEndpoint",
            metadata=metadata("sip", MEDIA),
            spec={
                "endpoints": [
                    {
                        "dnsName": self.sip,
                        "recordType": "A",
                        "recordTTL": 60,
                        "targets": [args.address],
                    }
                ]
            },
            opts=within(self, opts, release),
        )
        self.register_outputs({"sip": self.sip})
