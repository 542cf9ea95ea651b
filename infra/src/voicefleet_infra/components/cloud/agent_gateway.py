"""What the agent gateway has of the cluster: the key of clients' tokens, and a certificate.

The certificate is of an authority of the cluster's own, which agents are told to trust
(`Fleet.spec.runtime.kubernetes.caBundle`): names that end in `.svc` no public one certifies.
https://cert-manager.io/docs/configuration/selfsigned/#bootstrapping-ca-issuers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import SYSTEM, metadata, within

PORT = 8443
"""Of its pod, which is what NetworkPolicies see; its Service's is 443."""
_NAME = "voicefleet-agent-gateway"
_SELF_SIGNED, _AUTHORITY = "self-signed", "voicefleet-ca"
_TEN_YEARS = "87600h"


@dataclass(frozen=True)
class AgentGatewayArgs:
    """What it is given."""

    key: pulumi.Input[str]
    """That clients' tokens are signed with; a secret."""


class AgentGateway(pulumi.ComponentResource):
    """Before our chart, which brings the gateway itself: its Secrets, of the names there."""

    url: str = f"wss://{_NAME}.{SYSTEM}.svc"
    """For agents."""

    def __init__(
        self, name: str, args: AgentGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:AgentGateway", name, None, opts)
        self._opts = opts
        kubernetes.core.v1.Secret(
            "clients-key",
            metadata=metadata("voicefleet-clients-key", SYSTEM),
            string_data={"key": pulumi.Output.secret(args.key)},
            opts=within(self, opts),
        )
        root = self._custom("Issuer", _SELF_SIGNED, {"selfSigned": {}})
        authority = self._custom(
            "Certificate",
            _AUTHORITY,
            {
                "isCA": True,
                "commonName": "voicefleet agents",
                "secretName": _AUTHORITY,
                "duration": _TEN_YEARS,
                "privateKey": {"algorithm": "ECDSA", "size": 256},
                "issuerRef": {"name": _SELF_SIGNED},
            },
            root,
        )
        issuer = self._custom("Issuer", _AUTHORITY, {"ca": {"secretName": _AUTHORITY}}, authority)
        self._custom(
            "Certificate",
            _NAME,
            {
                "secretName": f"{_NAME}-tls",
                "dnsNames": [f"{_NAME}.{SYSTEM}.svc", f"{_NAME}.{SYSTEM}.svc.cluster.local"],
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                "issuerRef": {"name": _AUTHORITY},
            },
            issuer,
        )
        self.register_outputs({"url": self.url})

    def _custom(
        self, kind: str, name: str, spec: dict[str, Any], *after: pulumi.Resource
    ) -> kubernetes.apiextensions.CustomResource:
        return kubernetes.apiextensions.CustomResource(
            f"{name}-{kind.lower()}",
            api_version="cert-manager.io/v1",
            kind=kind,
            metadata=metadata(name, SYSTEM),
            spec=spec,
            opts=within(self, self._opts, *after),
        )
