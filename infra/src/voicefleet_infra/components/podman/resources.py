"""Networks, volumes and secrets."""

from __future__ import annotations

from typing import ClassVar

import pulumi
from pulumi.dynamic import Resource

from voicefleet_infra.components.dynamic import Properties
from voicefleet_infra.components.podman.api import OWNED
from voicefleet_infra.components.podman.provider import PodmanProvider


class _NetworkProvider(PodmanProvider):
    def make(self, props: Properties) -> Properties:
        body = {
            "name": props["name"],
            "driver": "bridge",
            "dns_enabled": False,
            # Netavark: no packet from or to another bridge that says the same.
            "options": {"isolate": "true"},
            "labels": OWNED,
        }
        self.podman.create("networks", body)
        return {}

    def observe(self, props: Properties) -> Properties | None:
        return props if self.podman.inspect("networks", props["name"]) else None

    def remove(self, props: Properties) -> None:
        self.podman.remove("networks", props["name"])


class Network(Resource, module="podman", name="Network"):
    """A bridge of its own, without a way to other bridges or names to ask for."""

    name: pulumi.Output[str]

    def __init__(self, name: str, socket: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(_NetworkProvider(socket), name, {"name": name}, opts)


class _VolumeProvider(PodmanProvider):
    def make(self, props: Properties) -> Properties:
        self.podman.create("volumes", {"Name": props["name"], "Labels": OWNED})
        return {}

    def observe(self, props: Properties) -> Properties | None:
        return props if self.podman.inspect("volumes", props["name"]) else None

    def remove(self, props: Properties) -> None:
        self.podman.remove("volumes", props["name"])


class Volume(Resource, module="podman", name="Volume"):
    """A volume; what is in it goes with it."""

    name: pulumi.Output[str]

    def __init__(self, name: str, socket: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(_VolumeProvider(socket), name, {"name": name}, opts)


class _SecretProvider(PodmanProvider):
    compared: ClassVar[tuple[str, ...]] = ("name", "content")

    def make(self, props: Properties) -> Properties:
        # Left over where an earlier attempt was cut short.
        self.remove(props)
        return {"version": self.podman.create_secret(props["name"], props["content"])}

    def observe(self, props: Properties) -> Properties | None:
        """Podman 4.3 does not tell what is in a secret; one with another ID may hold anything."""
        found = self.podman.inspect("secrets", props["name"])
        if found is None:
            return None
        known = found["ID"] == props.get("version")
        return props if known else props | {"content": "", "version": found["ID"]}

    def remove(self, props: Properties) -> None:
        self.podman.remove("secrets", props["name"])


class Secret(Resource, module="podman", name="Secret"):
    """A file's content for containers, encrypted in Pulumi's state whatever the caller gave.

    `version` is another one whenever the content was written: who uses the secret must start anew.
    """

    name: pulumi.Output[str]
    version: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        content: pulumi.Input[str],
        socket: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"name": name, "content": pulumi.Output.secret(content), "version": None}
        super().__init__(_SecretProvider(socket), name, props, opts)
