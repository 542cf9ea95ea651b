"""Servers that people have ordered (Hetzner's AX and GEX, or any Debian): k3s by SSH.

https://www.pulumi.com/registry/packages/command/api-docs/remote/command/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_command as command

from voicefleet_infra.components.cloud import k3s
from voicefleet_infra.components.cloud.objects import within


@dataclass(frozen=True)
class Login:
    """How a server is reached."""

    address: pulumi.Input[str]
    user: str
    private_key: pulumi.Input[str]
    """OpenSSH's form; a secret."""
    host_key: str | None = None
    """The server's own, by which it is known; None: whoever answers is believed."""

    def connection(self) -> command.remote.ConnectionArgs:
        """As the provider wants it."""
        return command.remote.ConnectionArgs(
            host=self.address,
            user=self.user,
            private_key=pulumi.Output.secret(self.private_key),
            host_key=self.host_key,
            # A server that has just been made takes a minute or two.
            dial_error_limit=60,
        )


@dataclass(frozen=True)
class SshServer:
    """One that is there."""

    address: str
    user: str = "root"
    host_key: str | None = None


@dataclass(frozen=True)
class SshServersArgs:
    """What is installed, and where."""

    servers: Sequence[SshServer]
    """The first one is the cluster's head, and the one that the carrier calls."""
    private_key: pulumi.Input[str]
    access: k3s.Access
    token: pulumi.Input[str]
    """Shared by the cluster's servers; a secret."""


class SshServers(pulumi.ComponentResource):
    """k3s and a firewall on each; an edit is carried out there, `destroy` takes both away again."""

    logins: list[Login]
    """The first server's first."""

    def __init__(
        self, name: str, args: SshServersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:SshServers", name, None, opts)
        first = args.servers[0].address
        firewall = k3s.firewall(args.access, [server.address for server in args.servers])
        self.logins, installed = [], list[pulumi.Resource]()
        for server in args.servers:
            login = Login(server.address, server.user, args.private_key, server.host_key)
            join = None if server.address == first else first
            node = pulumi.Output.secret(args.token).apply(
                partial(k3s.Node, server.address, first=join, firewall=firewall)
            )
            installed.append(
                command.remote.Command(
                    server.address,
                    connection=login.connection(),
                    create="sudo sh -s",
                    stdin=node.apply(k3s.script),
                    delete=f"sudo sh -c '{k3s.removal(join is None)}'",
                    logging=command.remote.Logging.STDERR,
                    # Those that join need the first one's API.
                    opts=within(self, opts, *installed[:1]),
                )
            )
            self.logins.append(login)
        self.register_outputs({"addresses": [server.address for server in args.servers]})


class Kubeconfig(pulumi.ComponentResource):
    """The administrator's kubeconfig of a server that has, or is about to have, k3s."""

    content: pulumi.Output[str]
    """Secret."""

    def __init__(self, name: str, login: Login, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("voicefleet:cloud:Kubeconfig", name, None, opts)
        read = command.remote.Command(
            name,
            connection=login.connection(),
            create=(
                "cloud-init status --wait >/dev/null 2>&1 || true; "
                f"for _ in $(seq 120); do sudo test -s {k3s.KUBECONFIG} && break; sleep 5; done; "
                f"sudo cat {k3s.KUBECONFIG}"
            ),
            logging=command.remote.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(
                within(self, opts), pulumi.ResourceOptions(additional_secret_outputs=["stdout"])
            ),
        )
        self.content = pulumi.Output.secret(
            pulumi.Output.all(read.stdout, login.address).apply(lambda each: k3s.kubeconfig(*each))
        )
        self.register_outputs({"content": self.content})
