"""The relay as a component: both ends' keys and scripts, the server set up by SSH, the box here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
from pulumi import dynamic
from pulumi_command.remote import Command, ConnectionArgs

from voicefleet_infra.platform import BASE_PORT
from voicefleet_infra.relay import RelaySettings, private_key, public_key

_SET_UP_SECONDS = 600
"""Packages are installed, too."""


class _KeyProvider(dynamic.ResourceProvider):
    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        private = private_key()
        public = public_key(private)
        return dynamic.CreateResult(public, {"private_key": private, "public_key": public})


class WireGuardKey(dynamic.Resource):
    """A key that is made once; in the stack's state it is encrypted."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
        unknown = {"private_key": None, "public_key": None}
        super().__init__(_KeyProvider(), name, unknown, pulumi.ResourceOptions.merge(secret, opts))


class BoxNotSetUp(Exception):
    """The box's end of the tunnel could not be set up or taken down."""


class _BoxProvider(dynamic.ResourceProvider):
    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        _run_as_root(props["script"])
        return dynamic.CreateResult("box", props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        return dynamic.DiffResult(any(olds.get(k) != news[k] for k in ("script", "removal")))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        _run_as_root(news["script"])
        return dynamic.UpdateResult(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        _run_as_root(props["removal"])


def _run_as_root(script: str) -> None:
    command = ["bash", "-s"] if os.geteuid() == 0 else ["sudo", "-n", "bash", "-s"]
    done = subprocess.run(
        command, input=script, capture_output=True, text=True, timeout=_SET_UP_SECONDS
    )
    if done.returncode:
        said = done.stderr.strip()[-800:]
        raise BoxNotSetUp(f"{' '.join(command)}: {said}; it has to be run by who may become root")


class BoxEnd(dynamic.Resource):
    """The box's end of the tunnel, on the machine that Pulumi runs on."""

    def __init__(
        self,
        name: str,
        script: pulumi.Input[str],
        removal: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`script` and `removal` are a `Relay`'s."""
        super().__init__(_BoxProvider(), name, {"script": script, "removal": removal}, opts)


@dataclass(frozen=True)
class RelayArgs:
    """`carriers` and `admins` are IPv4 networks; see `RelaySettings`."""

    public_address: pulumi.Input[str]
    """Of the server, which may be made in the same stack."""
    carriers: Sequence[str]
    admins: Sequence[str] = ()
    base_port: int = BASE_PORT
    """The platform's."""
    connection: pulumi.Input[ConnectionArgs] | None = None
    """SSH to a server that is there (Debian; a user who may sudo). Without it `server_script` is
    for the user data of a new one."""


class Relay(pulumi.ComponentResource):
    """Both ends of the tunnel.

    Raises ValueError for networks that are none, and for a connection without admins.
    """

    settings: pulumi.Output[str]
    """The platform's `relay.json`."""
    origination_uri: pulumi.Output[str]
    """For the Fleet."""
    server_script: pulumi.Output[str]
    """Secret."""
    box_script: pulumi.Output[str]
    """Secret; to be run by root on the box."""
    removal: pulumi.Output[str]
    """Takes either end down; to be run by root."""

    def __init__(
        self, name: str, args: RelayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        if args.connection is not None and not args.admins:
            raise ValueError("a relay that is set up by SSH needs admins: it would lock them out")
        super().__init__("voicefleet:index:Relay", name, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        carriers, admins = (
            tuple(map(IPv4Network, networks)) for networks in (args.carriers, args.admins)
        )
        settings = pulumi.Output.from_input(args.public_address).apply(
            lambda address: RelaySettings(
                public_address=IPv4Address(address),
                carriers=carriers,
                admins=admins,
                base_port=args.base_port,
            )
        )
        server, box = (WireGuardKey(f"{name}-{end}", ours) for end in ("server", "box"))
        self.settings = settings.apply(lambda s: s.model_dump_json(by_alias=True))
        self.origination_uri = settings.apply(lambda s: s.origination_uri)
        self.removal = settings.apply(lambda s: s.removal())
        self.server_script = pulumi.Output.secret(
            pulumi.Output.all(settings, server.private_key, box.public_key).apply(
                lambda known: known[0].server_script(*known[1:])
            )
        )
        self.box_script = pulumi.Output.secret(
            pulumi.Output.all(settings, box.private_key, server.public_key).apply(
                lambda known: known[0].box_script(*known[1:])
            )
        )
        if args.connection is not None:
            Command(
                f"{name}-install",
                connection=args.connection,
                # By standard input: a command line is for every process to see.
                create="sudo bash -s",
                stdin=self.server_script,
                delete=self.removal.apply(lambda command: f"sudo sh -c '{command}'"),
                opts=ours,
            )
        self.register_outputs(
            {
                "settings": self.settings,
                "originationUri": self.origination_uri,
                "serverScript": self.server_script,
                "boxScript": self.box_script,
            }
        )
