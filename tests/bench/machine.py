"""What a voice bench runs on: LiveKit, the model gateways, and the agents that are measured.

The agents get what the operator and a pod would give them: a configuration file, a folder of
sockets, secrets in the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from livekit import api

from bench import corpus
from bench.agents import Portal
from support import stand_ins
from support.controlplane import ControlPlane
from support.ports import free_port
from voicefleet_api import professions, tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.receptionist import Fact, OpeningHours
from voicefleet_infra import services
from voicefleet_infra.platform import Platform
from voicefleet_infra.service import Service

_WARM_SECONDS = 180.0
_FETCH_SECONDS = 600.0
"""A language model that is not on this machine yet is fetched first."""
_QUIET_PERCENT, _QUIET_SECONDS, _QUIET_TRIES = 15.0, 5, 180
"""Of all cores; so long; looked for so many seconds."""
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@dataclass(frozen=True)
class Client:
    """A client whose agent runs."""

    agent: str
    number: str
    portal: Portal
    pid: int
    """Of the worker."""


async def quiet() -> None:
    """Wait until nothing computes: what was asked before and is given up (LiveKit's pipeline leaves
    the language model a minute's work) would be measured with what comes next."""
    calm = 0
    for _ in range(_QUIET_TRIES):
        await asyncio.sleep(1)
        calm = calm + 1 if psutil.cpu_percent() < _QUIET_PERCENT else 0
        if calm == _QUIET_SECONDS:
            return
    print("  the machine does not become quiet", file=sys.stderr)


def config(name: str, url: str) -> AgentConfig:
    """Of the corpus's client of that profession; `url` is LiveKit's."""
    profession, known = professions.load(name), corpus.clients()[name]
    return AgentConfig(
        client_id=name,
        agent_name=f"bench-{name}",
        livekit_url=url,
        business_name=known["business"],
        time_zone="America/Chicago",
        profession=name,
        greeting=profession.greeting.replace(professions.BUSINESS, known["business"]),
        prompt=profession.prompt.replace(professions.BUSINESS, known["business"]),
        questions=[question.text for question in profession.questions],
        hours=[OpeningHours(day=day, opens="08:00", closes="18:00") for day in WEEK]
        + [OpeningHours(day="Saturday", opens="09:00", closes="14:00")],
        facts=[Fact(**fact) for fact in known["facts"]],
    )


def instant_gateways(platform: Platform) -> Service:
    """Gateways that answer at once, in the place of the models'."""
    # By it they know clients' tokens.
    platform.secret("models-key", stand_ins.KEY)
    folder = services.models_folder(platform)
    sockets = [folder / f"{name}.sock" for name in services.GATEWAYS]
    return Service(
        "instant",
        (sys.executable, str(Path(__file__).with_name("instant.py")), str(folder)),
        str(folder),
        lambda: all(socket.exists() for socket in sockets),
    )


class Machine(ControlPlane):
    """`with Machine() as machine:` runs LiveKit and the gateways; agents are added to it."""

    telephone = False
    gateways = services.GATEWAYS

    def __init__(self, *, instant: bool = False) -> None:
        """`instant`: gateways that answer at once stand in for the models."""
        super().__init__()
        self._instant = instant

    def __enter__(self) -> Self:
        try:
            for make in (services.redis, services.livekit):
                self._start(make(self.platform))
            self._models = services.models_folder(self.platform)
            if self._instant:
                self._start(instant_gateways(self.platform))
            else:
                for name in self.gateways:
                    self._start(services.gateway(self.platform, name), _FETCH_SECONDS)
            key, secret = services.livekit_keys(self.platform)
            os.environ |= {"LIVEKIT_API_KEY": key, "LIVEKIT_API_SECRET": secret}
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def url(self) -> str:
        """LiveKit's."""
        return f"ws://{self.platform.address}:{self.platform.port('livekit')}"

    def _environment(self, client: str) -> dict[str, str]:
        key = services.models_key(self.platform).read_text().strip()
        return {
            "LIVEKIT_URL": self.url,
            "MODELS_TOKEN": tokens.mint(key, client),
            "VOICEFLEET_MODELS": str(self._models),
        }

    def start_stock(self, calls: int) -> None:
        """LiveKit's own pipeline, with a warm process for each call."""
        agent = Path(__file__).parent / "stock" / "agent.py"
        environment = {**self._environment("stock"), "BENCH_CALLS": str(calls)}
        log = self.folder / "stock.log"
        command = (sys.executable, str(agent), "start")
        self._start(
            Service(
                "stock",
                command,
                self.url,
                lambda: (
                    log.read_text().count("process initialized") >= calls
                    and "registered worker" in log.read_text()
                ),
                environment,
            )
        )

    def start_sip(self) -> None:
        """LiveKit's SIP bridge, for calls to our agents' numbers."""
        self._start(services.livekit_sip(self.platform))
        self.telephone = True

    async def route(self, agent: str, number: str, room: str = "") -> None:
        """Calls to that number go to that agent, each in a room of its own, whose name begins with
        `room`, or else the agent's."""
        individual = api.SIPDispatchRuleIndividual(room_prefix=room or agent)
        rule = api.SIPDispatchRule(dispatch_rule_individual=individual)
        await self._rule(agent, [number], rule, [api.RoomAgentDispatch(agent_name=agent)])

    async def pair(self, numbers: list[str]) -> None:
        """All who call the same of these numbers meet in one room."""
        callee = api.SIPDispatchRuleCallee(room_prefix="pair", randomize=False)
        await self._rule("pairs", numbers, api.SIPDispatchRule(dispatch_rule_callee=callee), [])

    async def _rule(
        self,
        name: str,
        numbers: list[str],
        rule: api.SIPDispatchRule,
        agents: list[api.RoomAgentDispatch],
    ) -> None:
        async with api.LiveKitAPI(self.url.replace("ws", "http", 1)) as livekit:
            trunk = await livekit.sip.create_inbound_trunk(
                api.CreateSIPInboundTrunkRequest(
                    trunk=api.SIPInboundTrunkInfo(
                        name=name, numbers=numbers, allowed_addresses=["0.0.0.0/0"]
                    )
                )
            )
            await livekit.sip.create_dispatch_rule(
                api.CreateSIPDispatchRuleRequest(
                    rule=rule,
                    trunk_ids=[trunk.sip_trunk_id],
                    room_config=api.RoomConfiguration(agents=agents),
                )
            )

    async def start_ours(self, profession: str) -> Client:
        """A client's agent, as its pod runs it."""
        folder = self.platform.folder(f"client-{profession}")
        models = folder / "sockets"
        models.mkdir()
        for name in self.gateways:
            (models / f"{name}.sock").symlink_to(self._models / f"{name}.sock")
        portal = Portal(models / "portal.sock")
        await portal.start()
        settings = folder / "agent.json"
        settings.write_text(config(profession, self.url).model_dump_json(by_alias=True))
        health = free_port()
        environment = self._environment(profession) | {
            "VOICEFLEET_CONFIG": str(settings),
            "VOICEFLEET_DATA": str(folder),
            "VOICEFLEET_MODELS": str(models),
            "VOICEFLEET_SECRETS": str(folder / "none"),
            "VOICEFLEET_HEALTH_HOST": "127.0.0.1",
            "VOICEFLEET_HEALTH_PORT": str(health),
        }
        await asyncio.to_thread(
            self._start,
            Service(
                f"agent-{profession}",
                (sys.executable, "-m", "voicefleet_agent"),
                self.url,
                lambda: services.http_ok(health, "/"),
                environment,
            ),
        )
        pid = self.pids[f"agent-{profession}"]
        log = self.folder / f"agent-{profession}.log"
        # Both agents are measured warm: this one has its sentences made and its model briefed.
        warm = "ModelBriefed" if services.LANGUAGE in self.gateways else "PhrasesReady"
        async with asyncio.timeout(_WARM_SECONDS):
            while warm not in log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        number = f"+1500555{len(self._processes):04d}"
        if self.telephone:
            await self.route(f"bench-{profession}", number)
        return Client(f"bench-{profession}", number, portal, pid)
