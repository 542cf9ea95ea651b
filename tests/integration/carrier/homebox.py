"""The platform's phone line at home: behind a satellite's delay and a provider's NAT, and a relay.

carrier, phones, stranger         relay          provider's NAT                      box
----+-------+--------+--------------+-----------------+---------- 25-45 ms ----------+
           198.18.0.0/24, the public network          100.64.0.0/24 (RFC 6598)
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from integration.carrier.exchange import Url, exchange
from support.delay import DEVICE, SlowLine
from support.netns import NETWORK, Host
from support.sip_lab import SipLab
from voicefleet_infra.edge import phone_line
from voicefleet_infra.platform import write_private
from voicefleet_infra.relay import RelaySettings, private_key, public_key
from voicefleet_infra.tools import binary

BOX, NAT = "100.64.0.2", "100.64.0.1"
DELAY = (0.025, 0.045)
"""Seconds one way, from and to."""
LATER = NETWORK.replace("0/24", "200")
"""The NAT's next public address."""
SECOND = "203.0.113.0/24"
"""A network of the carrier's that nobody is in; RFC 5737."""
# Ports are changed, too, as where many share an address.
_NAT_RULES = """\
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "eth0" masquerade random
    }
}
"""
# What the scripts ask of a machine that has systemd.
_SYSTEMCTL = """\
#!/bin/sh
[ "$1" = restart ] || exit 0
exec wg-quick up {folder}/"${{2#wg-quick@}}".conf
"""


class HomeBox(SipLab):
    """`with HomeBox(folder, answered=NUMBER) as lab:` all of it runs."""

    def _build(self) -> None:
        self._stack = ExitStack()
        self.line = exchange(self._lab, self._platform.folder("carrier"))
        self.relay, self.nat, self.stranger, self.box = (
            self._lab.host(name) for name in ("relay", "nat", "stranger", "box")
        )
        self._move_in()
        self._dig()
        self.core = replace(self.box, address=BOX)
        self._doors = [replace(self.box, address=str(self.settings.box_address))]
        self._start_core()
        for service in phone_line(self._at(self.core)):
            self._start(service, self.box)
        asyncio.run(self._wire())

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        super().__exit__()

    def port(self, name: str) -> int:
        """Of the platform, and so of the relay."""
        return self._platform.port(name)

    @property
    def url(self) -> Url:
        """As in the Fleet's originationURIs."""
        return Url(self.relay, port=self.port("sip-edge"))

    def endpoint(self) -> str:
        """Address and port that the box has, as the relay sees it."""
        return self.relay.run("wg", "show", self.tunnel, "endpoints").split()[1]

    def move(self) -> None:
        """The NAT has another address from now on, and has forgotten what it knew."""
        self.nat.run("ip", "address", "flush", "dev", "eth0")
        self.nat.run("ip", "address", "add", f"{LATER}/24", "dev", "eth0")

    # --- setting up ---------------------------------------------------------------------------

    def _move_in(self) -> None:
        """The box has no cable, but a slow line to the NAT."""
        self.box.run("ip", "link", "delete", "eth0")
        ends = (self.box, f"{BOX}/24"), (self.nat, f"{NAT}/24")
        self.uplink = self._stack.enter_context(SlowLine(*ends, seconds=DELAY))
        self.box.run("ip", "route", "add", "default", "via", NAT, "dev", DEVICE)
        rules = write_private(self._platform.folder("nat") / "rules", _NAT_RULES)
        self.nat.run("nft", "-f", str(rules))
        self.nat.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    def _dig(self) -> None:
        """Both ends' scripts are run, as on machines with apt and systemd."""
        known = (self.line.carrier, self.line.caller)
        folder = self._platform.folder("wireguard")
        self.settings = RelaySettings(
            public_address=IPv4Address(self.relay.address),
            carriers=(*(IPv4Network(host.address) for host in known), IPv4Network(SECOND)),
            admins=(IPv4Network(self.line.owner.address),),
            base_port=self._platform.base_port,
            folder=str(folder),
        )
        write_private(
            self._platform.path("relay.json"), self.settings.model_dump_json(by_alias=True)
        )
        programs = self._platform.folder("programs")
        for name, text in (
            ("apt-get", "#!/bin/sh\n"),
            ("systemctl", _SYSTEMCTL.format(folder=folder)),
        ):
            (programs / name).write_text(text)
            (programs / name).chmod(0o700)
        server, box = private_key(), private_key()
        # This lab's own names: without WireGuard in the kernel both are sockets in one folder.
        first, second = (
            self.settings.model_copy(update={"interface": f"vf{os.getpid()}{end}"}) for end in "rb"
        )
        self.tunnel = first.interface
        for host, interface, script in (
            (self.relay, first.interface, first.server_script(server, public_key(box))),
            (self.box, second.interface, second.box_script(box, public_key(server))),
        ):
            self._set_up(host, interface, script, programs)

    def _set_up(self, host: Host, interface: str, script: str, programs: Path) -> None:
        file = write_private(programs / f"{interface}.sh", script)
        path = f"{programs}:{binary('wireguard-go').parent}"
        host.run("bash", str(file), path=path)
        config = f"{self.settings.folder}/{interface}.conf"
        self._stack.callback(host.run, "wg-quick", "down", config, path=path)
