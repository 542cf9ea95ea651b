"""The DNS zone, and the one TSIG key (RFC 8945) with which all of ours update it (RFC 2136)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import labels, metadata, within

SECRET = "dns"  # noqa: S105 (a name)
"""With the TSIG key, in each namespace that updates the zone."""


@dataclass(frozen=True)
class ZoneArgs:
    """A zone that takes signed updates and transfers."""

    zone: str
    server: str
    """Address of its primary server."""
    port: int
    key: str
    """TSIG key's name; the algorithm is HMAC-SHA256."""
    secret: pulumi.Input[str]
    """TSIG key, base64; a secret."""

    @property
    def sip(self) -> str:
        """The name that carriers call."""
        return f"sip.{self.zone}"


def zone_secret(
    args: ZoneArgs, namespace: str, opts: pulumi.ResourceOptions
) -> kubernetes.core.v1.Secret:
    """The key as the Fleet's `dns.tsigSecretRef` wants it: `name`, `algorithm`, `secret`."""
    return kubernetes.core.v1.Secret(
        f"{namespace}-{SECRET}",
        metadata=metadata(SECRET, namespace),
        string_data={
            "name": args.key,
            "algorithm": "hmac-sha256",
            "secret": pulumi.Output.secret(args.secret),
        },
        opts=opts,
    )


def zone_namespace(
    args: ZoneArgs,
    name: str,
    component: pulumi.ComponentResource,
    opts: pulumi.ResourceOptions | None,
) -> kubernetes.core.v1.Secret:
    """A namespace of a program that updates the zone, with the key, which is what it waits for."""
    namespace = kubernetes.core.v1.Namespace(
        name, metadata={"name": name, "labels": labels(name)}, opts=within(component, opts)
    )
    return zone_secret(args, name, within(component, opts, namespace))
