"""LiveKit server and its SIP bridge, on the network of the node that carriers call.

Nobody but the bridge and clients' agents joins a room, so LiveKit itself is told to others by its
node's inner address and is closed to the world; carriers reach the bridge alone: SIP, and RTP.
Ports: https://docs.livekit.io/transport/self-hosting/ports-firewall/.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from voicefleet_infra.components.cloud.k3s import MEDIA_LABEL
from voicefleet_infra.components.cloud.objects import (
    MEDIA,
    RESTRICTED,
    RESTRICTED_POD,
    SYSTEM,
    limits,
    metadata,
    selector,
    within,
)
from voicefleet_infra.livekit_config import SIP_PORT, SIPS_PORT, server_config, sip_config

SERVER_IMAGE = "docker.io/livekit/livekit-server:v1.13.5"
SIP_IMAGE = "docker.io/livekit/sip:v1.8.0"
"""The versions that tools/go.mod builds for every other place."""
PORT, TCP_PORT, UDP_PORT = 7880, 7881, 7882
KEY = "voicefleet"
"""LiveKit's API key; what is secret is the secret."""
_SERVER, _SIP = "livekit", "livekit-sip"
_CERTIFICATE = "/etc/sip-tls"
DRAIN_SECONDS = 600
"""How long a bridge or server that is replaced lets calls go on; its successor starts then."""


@dataclass(frozen=True)
class LiveKitArgs:
    """What it needs of others."""

    secret: pulumi.Input[str]
    """Of the API key; a secret."""
    redis: str
    """host:port"""
    redis_password: pulumi.Input[str]
    """A secret."""
    address: pulumi.Input[str]
    """Public one of the node, for carriers."""
    sip_name: str
    """Of that address, for TLS."""
    certificate: str | None
    """Secret in `voicefleet-media` with `tls.crt` and `tls.key` for `sip_name`; None: no TLS."""


class LiveKit(pulumi.ComponentResource):
    """Server, SIP bridge, and the key for the operator."""

    url: str = f"ws://{_SERVER}.{MEDIA}.svc.cluster.local:{PORT}"
    """For the operator and for agents."""
    secret: str = "livekit"  # noqa: S105 (a name)
    """Secret in `voicefleet-system` for the Fleet: `apiKey`, `apiSecret`."""
    origination_uris: pulumi.Output[list[str]]
    """For the Fleet: where a carrier sends calls, preferred first."""

    def __init__(
        self, name: str, args: LiveKitArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:LiveKit", name, None, opts)
        self._opts, self._mine = opts, within(self, opts)
        secrets = (pulumi.Output.secret(args.secret), pulumi.Output.secret(args.redis_password))
        kubernetes.core.v1.Secret(
            "livekit-key",
            metadata=metadata(self.secret, SYSTEM),
            string_data={"apiKey": KEY, "apiSecret": secrets[0]},
            opts=self._mine,
        )
        kubernetes.core.v1.Service(
            _SERVER,
            metadata=metadata(_SERVER, MEDIA),
            spec={"selector": selector(_SERVER), "ports": [{"name": "http", "port": PORT}]},
            opts=self._mine,
        )
        server = self._deployment(
            _SERVER,
            "/livekit-server",
            SERVER_IMAGE,
            pulumi.Output.all(*secrets).apply(lambda given: _server(args, *given)),
            ports=[("http", PORT, "TCP"), ("rtc-tcp", TCP_PORT, "TCP"), ("rtc", UDP_PORT, "UDP")],
            # Its inner address: agents and the bridge are the only ones in its rooms.
            environment=[
                {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
            ],
            probe={"httpGet": {"path": "/", "port": PORT}},
        )
        self._deployment(
            _SIP,
            "livekit-sip",
            SIP_IMAGE,
            pulumi.Output.all(*secrets, args.address).apply(
                lambda given: _bridge(args, self.url, *given)
            ),
            ports=[("sip", SIP_PORT, "UDP"), ("sip-tcp", SIP_PORT, "TCP")]
            + ([("sips", SIPS_PORT, "TCP")] if args.certificate else []),
            probe={"tcpSocket": {"port": SIP_PORT}},
            certificate=args.certificate,
            after=[server],
        )
        self.origination_uris = pulumi.Output.from_input(args.address).apply(
            lambda address: [
                f"sip:{args.sip_name}:{SIPS_PORT};transport=tls"
                if args.certificate
                else f"sip:{address}:{SIP_PORT}"
            ]
        )
        self.register_outputs({"url": self.url, "originationURIs": self.origination_uris})

    def _deployment(
        self,
        name: str,
        program: str,
        image: str,
        config: pulumi.Output[str],
        *,
        ports: list[tuple[str, int, str]],
        probe: dict[str, Any],
        environment: list[dict[str, Any]] | None = None,
        certificate: str | None = None,
        after: list[pulumi.Resource] | None = None,
    ) -> kubernetes.apps.v1.Deployment:
        secret = kubernetes.core.v1.Secret(
            f"{name}-config",
            metadata=metadata(f"{name}-config", MEDIA),
            string_data={"config.yaml": config},
            opts=self._mine,
        )
        volumes = {"config": (f"{name}-config", "/etc/livekit")}
        if certificate:
            volumes["tls"] = (certificate, _CERTIFICATE)
        return kubernetes.apps.v1.Deployment(
            name,
            metadata=metadata(name, MEDIA),
            spec={
                "replicas": 1,
                "selector": {"matchLabels": selector(name)},
                # The ports are the node's: two cannot be there at once.
                "strategy": {"type": "Recreate"},
                "template": {
                    "metadata": {
                        "labels": metadata(name, MEDIA)["labels"],
                        # A pod reads its configuration at its start. The hash of what holds random
                        # secrets tells nothing of them.
                        "annotations": {
                            "voicefleet.dev/config": pulumi.Output.unsecret(config.apply(_digest))
                        },
                    },
                    "spec": {
                        "hostNetwork": True,
                        "dnsPolicy": "ClusterFirstWithHostNet",
                        "nodeSelector": {MEDIA_LABEL: "true"},
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": DRAIN_SECONDS,
                        "securityContext": RESTRICTED_POD,
                        "containers": [
                            {
                                "name": name,
                                "image": image,
                                "command": [program, "--config=/etc/livekit/config.yaml"],
                                "env": environment or [],
                                "ports": [
                                    {"name": called, "containerPort": port, "protocol": protocol}
                                    for called, port, protocol in ports
                                ],
                                "resources": limits("2", "1Gi"),
                                "securityContext": RESTRICTED,
                                "readinessProbe": probe,
                                "volumeMounts": [
                                    {"name": volume, "mountPath": path, "readOnly": True}
                                    for volume, (_, path) in volumes.items()
                                ],
                            }
                        ],
                        "volumes": [
                            {"name": volume, "secret": {"secretName": source}}
                            for volume, (source, _) in volumes.items()
                        ],
                    },
                },
            },
            opts=within(self, self._opts, secret, *(after or [])),
        )


def _redis(args: LiveKitArgs, password: str) -> dict[str, str]:
    return {"address": args.redis, "password": password}


def _server(args: LiveKitArgs, secret: str, password: str) -> str:
    config = server_config(
        port=PORT,
        rtc={"tcp_port": TCP_PORT, "udp_port": UDP_PORT},
        redis=_redis(args, password),
        keys={KEY: secret},
    )
    return yaml.safe_dump(config, sort_keys=False)


def _bridge(args: LiveKitArgs, livekit: str, secret: str, password: str, address: str) -> str:
    files = (f"{_CERTIFICATE}/tls.crt", f"{_CERTIFICATE}/tls.key") if args.certificate else None
    config = sip_config(
        key=(KEY, secret),
        livekit=livekit,
        redis=_redis(args, password),
        public=address,
        certificate=files,
    )
    return yaml.safe_dump(config, sort_keys=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
