"""LiveKit, two SIP bridges, our edge before them and a caller, each a host with a cable of its own.

Calls to `ANSWERED` are answered by somebody in a room, calls to `UNATTENDED` are led to an agent
that does not exist, `UNKNOWN` is nobody's number.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from livekit import api

from support.invite import Invite
from support.netns import Host, Lab
from voicefleet_infra import services
from voicefleet_infra.edge import edge
from voicefleet_infra.platform import Platform
from voicefleet_infra.service import Service

ANSWERED, UNATTENDED, UNKNOWN = "+14155550100", "+14155550101", "+14155550102"
_ROOM = "answered"
_READY_SECONDS = 90.0


class SipLab:
    """`with SipLab(folder) as lab:` all of it runs; `folder` gets configurations and logs.

    `answered` is the number that somebody answers.
    """

    def __init__(self, folder: Path, answered: str = ANSWERED) -> None:
        self._platform = Platform(folder)
        self._answered = answered
        self._lab = Lab()

    def __enter__(self) -> Self:
        self._lab.__enter__()
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lab.__exit__()

    # --- setting up ---------------------------------------------------------------------------

    def _build(self) -> None:
        self.core, self.door, self.caller, self.stranger, *self.bridges = (
            self._lab.host(name)
            for name in ("core", "edge", "caller", "stranger", "bridge1", "bridge2")
        )
        self._bridge: dict[str, tuple[Service, subprocess.Popen[bytes]]] = {}
        self._prepare()
        self._start_core()
        for host, node in zip(self.bridges, services.SIP_NODES, strict=True):
            service = services.livekit_sip(self._at(host), node)
            # Redis and LiveKit are on another host here.
            _edit(self._platform.path(f"livekit-sip{node}.yaml"), "127.0.0.1", self.core.address)
            self._bridge[host.address] = (service, self._start(service, host))
        asyncio.run(self._wire())
        self.edge, *_ = [self._start_edge(door) for door in self._doors]

    def _prepare(self) -> None:
        """Whose calls come through which edges."""
        self._carrier, self._doors = self.caller, [self.door]

    def _start_edge(self, door: Host) -> subprocess.Popen[bytes]:
        uris = [
            services.sip_uris(self._at(host), node)
            for host, node in zip(self.bridges, services.SIP_NODES, strict=True)
        ]
        service = edge(self._at(door), uris, [f"{self._carrier.address}/32"])
        return self._start(service, door, seen_from=self._carrier)

    def _at(self, host: Host) -> Platform:
        platform = replace(self._platform)
        platform.__dict__["address"] = host.address
        return platform

    def _start(
        self, service: Service, host: Host, *, seen_from: Host | None = None
    ) -> subprocess.Popen[bytes]:
        log = self._platform.folder() / f"{service.name}.log"
        process = host.start(service.command, log)
        deadline = time.monotonic() + _READY_SECONDS
        with (seen_from or host).inside():
            while not service.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{service.name} did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.1)
        return process

    def _start_core(self) -> None:
        platform = self._at(self.core)
        redis = services.redis(platform)
        bind = "bind 127.0.0.1"
        _edit(platform.path("redis.conf"), bind, f"{bind} {self.core.address}")
        for service in (redis, services.livekit(platform)):
            self._start(service, self.core)

    async def _wire(self) -> None:
        """Trunks and rules, and somebody in the room."""
        platform = self._at(self.core)
        keys = services.livekit_keys(platform)
        url = f"http://{self.core.address}:{platform.port('livekit')}"
        direct = api.SIPDispatchRule(
            dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name=_ROOM)
        )
        individual = api.SIPDispatchRule(
            dispatch_rule_individual=api.SIPDispatchRuleIndividual(room_prefix="unattended")
        )
        nobody = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="nobody")])
        with self.core.inside():
            async with api.LiveKitAPI(url, *keys) as livekit:
                for number, rule, config in (
                    (self._answered, direct, None),
                    (UNATTENDED, individual, nobody),
                ):
                    info = api.SIPInboundTrunkInfo(
                        name=number,
                        numbers=[number],
                        allowed_addresses=[f"{door.address}/32" for door in self._doors],
                    )
                    info.ringing_timeout.seconds = 8
                    request = api.CreateSIPInboundTrunkRequest(trunk=info)
                    trunk = await livekit.sip.create_inbound_trunk(request)
                    await livekit.sip.create_dispatch_rule(
                        api.CreateSIPDispatchRuleRequest(
                            rule=rule, trunk_ids=[trunk.sip_trunk_id], room_config=config
                        )
                    )
        grants = api.VideoGrants(room_join=True, room=_ROOM)
        token = api.AccessToken(*keys).with_identity("us").with_grants(grants).to_jwt()
        log = platform.path("answerer.log")
        program = Path(__file__).with_name("answerer.py")
        url = url.replace("http", "ws", 1)
        self.core.start([sys.executable, str(program), url, token], log)
        async with asyncio.timeout(_READY_SECONDS):
            while "here" not in log.read_text():  # noqa: ASYNC110 - it is a file
                await asyncio.sleep(0.1)

    # --- calls --------------------------------------------------------------------------------

    def call(self, number: str = ANSWERED, *, source: Host | None = None) -> Invite:
        """Place a call at the edge."""
        source = source or self.caller
        target = (self.door.address, self._platform.port("sip-edge"))
        with source.inside():
            return Invite(target, number, source.address)

    def until_preferred(self) -> None:
        """Wait until the first bridge takes calls again."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with self.call() as call:
                if call.wait(5).answered and call.contact[0] == self.bridges[0].address:
                    return
            assert time.monotonic() < deadline, "the first bridge does not come back"
            time.sleep(0.5)

    # --- what goes wrong ------------------------------------------------------------------------

    @contextmanager
    def killed(self) -> Iterator[None]:
        """The first bridge's process is killed; afterwards it is started again."""
        host = self.bridges[0]
        service, process = self._bridge[host.address]
        process.kill()
        process.wait()
        try:
            yield
        finally:
            self._bridge[host.address] = (service, self._start(service, host))

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """The first bridge's cable is out."""
        cable = self.bridges[0].cable
        cable.pull()
        try:
            yield
        finally:
            cable.plug()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The first bridge's process stands still."""
        _, process = self._bridge[self.bridges[0].address]
        process.send_signal(signal.SIGSTOP)
        # A call that it takes meanwhile rings until the edge gives up: that is another failure.
        os.waitpid(process.pid, os.WUNTRACED)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """In the first bridge's place somebody answers OPTIONS with 200 and INVITE with 503."""
        host, over = self.bridges[0], threading.Event()
        with self.killed():
            with host.inside():
                line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                line.bind((host.address, self._platform.port("sip")))
            refuser = threading.Thread(target=_refuse, args=(line, over))
            refuser.start()
            try:
                yield
            finally:
                over.set()
                refuser.join()


def _edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


def _refuse(line: socket.socket, over: threading.Event) -> None:
    kept = ("via:", "from:", "to:", "call-id:", "cseq:")
    line.settimeout(0.1)
    with line:
        while not over.is_set():
            try:
                data, sender = line.recvfrom(4096)
            except TimeoutError:
                continue
            first, *rest = data.decode().split("\r\n")
            if first.startswith("ACK"):
                continue
            status = "503 Service Unavailable" if first.startswith("INVITE") else "200 OK"
            headers = [header for header in rest if header.lower().startswith(kept)]
            answer = [f"SIP/2.0 {status}", *headers, "Content-Length: 0", "", ""]
            line.sendto("\r\n".join(answer).encode(), sender)
