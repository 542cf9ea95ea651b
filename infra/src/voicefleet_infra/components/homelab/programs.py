"""From the local platform's processes to pods: the same commands, files and ports.

A `Service` says what a process is. What it reads from the platform's folder is given to its
container as Podman secrets at the same paths, what it keeps as volumes, and what it shares with
others of the machine as the machine's folders. All are on the machine's network: LiveKit's media
and SIP need it, and everything else listens on loopback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from voicefleet_infra.components.podman import Container, Mount, Pod, Secret, SecretFile, Volume
from voicefleet_infra.images.platform import inside
from voicefleet_infra.platform import Platform
from voicefleet_infra.service import Service

MEMORY_MIB = {
    "control-plane": 1024,
    "redis": 256,
    "livekit": 512,
    "agent-gateway": 256,
    "dns": 128,
    "sandbox": 512,
    "models": 3072,
    "operator": 512,
    "portal": 384,
    "overflow": 1024,
    "ollama": 6144,
}
"""Limit of each container of a pod."""


@dataclass(frozen=True)
class Lab:
    """What all parts of one lab have in common."""

    name: str
    """Everything that it has in Podman begins with it."""
    platform: Platform
    socket: str
    """Podman's."""
    image: str
    """Of the platform's programs (images/platform.py)."""
    agent_image: str
    """Of the program that talks with callers."""
    memory_mib: Mapping[str, int] = field(default_factory=dict)
    """Other limits than `MEMORY_MIB`, by part."""
    _secrets: dict[Path, Secret] = field(default_factory=dict)

    def limit(self, part: str) -> int:
        """Memory of each container of a part, MiB."""
        return self.memory_mib.get(part, MEMORY_MIB[part])

    def secret(self, file: Path, owner: pulumi.Resource) -> Secret:
        """The file as a Podman secret, which all who read it share."""
        if file not in self._secrets:
            self._secrets[file] = self.new_secret(file, file.read_text(), owner)
        return self._secrets[file]

    def new_secret(self, file: Path, content: pulumi.Input[str], owner: pulumi.Resource) -> Secret:
        """A secret that is to be found where `file` would be."""
        path = "-".join(file.relative_to(self.platform.home).parts)
        options = pulumi.ResourceOptions(parent=owner)
        return Secret(f"{self.name}-{path}", content, self.socket, options)


class Programs(pulumi.ComponentResource):
    """Services that belong together, as one pod named `<lab>-<part>`, a container each."""

    pod: Pod

    def __init__(
        self,
        part: str,
        lab: Lab,
        services: Sequence[Service],
        ready: Sequence[str],
        opts: pulumi.ResourceOptions,
        *,
        given: Mapping[Path, pulumi.Input[str]] | None = None,
        image: str | None = None,
        sees_processes: bool = False,
    ) -> None:
        """`ready` are addresses (`host:port`, TCP) that are listened on when it runs; `given` are
        files of the services that exist only once something else is there; `image` is another than
        the platform's; `sees_processes`: of the whole machine."""
        super().__init__("voicefleet:homelab:Programs", part, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        made = {path: lab.new_secret(path, text, self) for path, text in (given or {}).items()}
        containers = [
            Container(
                name=service.name,
                image=image or lab.image,
                command=[inside(word) for word in service.command],
                memory_mib=lab.limit(part),
                environment={name: inside(value) for name, value in service.environment.items()},
                secrets=[
                    SecretFile(made.get(file) or lab.secret(file, self), str(file))
                    for file in dict.fromkeys(service.inputs)
                    # Others are in the image, whose name tells them apart.
                    if file.is_relative_to(lab.platform.home)
                ],
                mounts=[
                    *(self._volume(folder, lab, own) for folder in service.data),
                    *(self._shared(folder) for folder in service.shared),
                ],
                stop_seconds=service.stop_seconds,
                sees_processes=sees_processes,
            )
            for service in services
        ]
        name = f"{lab.name}-{part}"
        self.pod = Pod(name, containers, lab.socket, own, ready=ready)
        self.register_outputs({"pod": self.pod.name})

    @staticmethod
    def _shared(folder: Path) -> Mount:
        # Podman mounts only what is there.
        folder.mkdir(parents=True, exist_ok=True)
        return Mount(str(folder), str(folder))

    @staticmethod
    def _volume(folder: Path, lab: Lab, options: pulumi.ResourceOptions) -> Mount:
        path = "-".join(folder.relative_to(lab.platform.home).parts)
        volume = Volume(f"{lab.name}-{path}", lab.socket, options)
        return Mount(volume.name, str(folder))
