"""PostgreSQL by CloudNativePG (https://cloudnative-pg.io/docs/1.27/)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import DATA, labels, limits, metadata, within

VERSION = "0.26.1"
"""Of the chart; it brings CloudNativePG 1.27, which names the image of PostgreSQL."""
_NAME = "postgresql"


@dataclass(frozen=True)
class PostgresqlArgs:
    """How much of it."""

    instances: int
    """One writes, the others follow and take over; three survive the loss of a node."""
    storage: str
    """Of each, as Kubernetes writes quantities: 20Gi."""


class Postgresql(pulumi.ComponentResource):
    """The operator, and a cluster with a database `voicefleet` and an owner of that name."""

    secret: str = f"{_NAME}-app"
    """Secret that CloudNativePG makes, in `voicefleet-data`: `uri`, `username`, `password`."""
    host: str = f"{_NAME}-rw.{DATA}.svc.cluster.local"

    def __init__(
        self, name: str, args: PostgresqlArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Postgresql", name, None, opts)
        operator = kubernetes.helm.v3.Release(
            name,
            name="cloudnative-pg",
            chart="cloudnative-pg",
            version=VERSION,
            repository_opts={"repo": "https://cloudnative-pg.github.io/charts"},
            namespace="cnpg-system",
            create_namespace=True,
            values={"resources": limits("500m", "256Mi")},
            opts=within(self, opts),
        )
        kubernetes.apiextensions.CustomResource(
            name,
            api_version="postgresql.cnpg.io/v1",
            kind="Cluster",
            metadata=metadata(_NAME, DATA),
            spec={
                "instances": args.instances,
                "storage": {"size": args.storage},
                "resources": limits("1", "1Gi"),
                "bootstrap": {"initdb": {"database": "voicefleet", "owner": "voicefleet"}},
                "inheritedMetadata": {"labels": labels(_NAME)},
            },
            # The kind exists once the chart is there.
            opts=within(self, opts, operator),
        )
        self.register_outputs({"host": self.host, "secret": self.secret})
