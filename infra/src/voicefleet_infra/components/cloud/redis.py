"""Redis, where LiveKit keeps its SIP trunks and rules."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import (
    DATA,
    RESTRICTED,
    RESTRICTED_POD,
    limits,
    metadata,
    selector,
    within,
)

IMAGE = "docker.io/library/redis:8.2.2-alpine"
PORT = 6379
_NAME = "redis"


@dataclass(frozen=True)
class RedisArgs:
    """How it is reached."""

    password: pulumi.Input[str]
    """A secret."""


class Redis(pulumi.ComponentResource):
    """One instance that writes to its disk at once: what is lost is routed anew by the operator."""

    address: str = f"{_NAME}.{DATA}.svc.cluster.local:{PORT}"

    def __init__(
        self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Redis", name, None, opts)
        mine = within(self, opts)
        lines = pulumi.Output.secret(args.password).apply(
            lambda password: f"dir /data\nappendonly yes\nrequirepass {password}\n"
        )
        secret = kubernetes.core.v1.Secret(
            name, metadata=metadata(_NAME, DATA), string_data={"redis.conf": lines}, opts=mine
        )
        kubernetes.core.v1.Service(
            name,
            metadata=metadata(_NAME, DATA),
            spec={"selector": selector(_NAME), "ports": [{"name": "redis", "port": PORT}]},
            opts=mine,
        )
        kubernetes.apps.v1.StatefulSet(
            name,
            metadata=metadata(_NAME, DATA),
            spec={
                "serviceName": _NAME,
                "replicas": 1,
                "selector": {"matchLabels": selector(_NAME)},
                "template": {
                    "metadata": {"labels": metadata(_NAME, DATA)["labels"]},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "securityContext": RESTRICTED_POD,
                        "containers": [
                            {
                                "name": _NAME,
                                "image": IMAGE,
                                "args": ["redis-server", "/etc/redis/redis.conf"],
                                "ports": [{"containerPort": PORT}],
                                "resources": limits("500m", "512Mi"),
                                "securityContext": RESTRICTED,
                                "readinessProbe": {"tcpSocket": {"port": PORT}},
                                "volumeMounts": [
                                    {"name": "data", "mountPath": "/data"},
                                    {"name": "config", "mountPath": "/etc/redis", "readOnly": True},
                                ],
                            }
                        ],
                        "volumes": [{"name": "config", "secret": {"secretName": _NAME}}],
                    },
                },
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "data", "labels": metadata(_NAME, DATA)["labels"]},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "2Gi"}},
                        },
                    }
                ],
            },
            opts=within(self, opts, secret),
        )
        self.register_outputs({"address": self.address})
