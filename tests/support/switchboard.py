"""Redis, LiveKit and its SIP bridge, as `up` runs them, and numbers that ring at an agent's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Self

import pytest
from livekit import api

from support.ports import free_platform
from voicefleet_api import tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.callers import room_prefix
from voicefleet_api.dispatch import DispatchMetadata
from voicefleet_infra import agent_gateway, services
from voicefleet_infra.platform import Platform
from voicefleet_infra.service import Service
from voicefleet_infra.tools import binary

CLIENT_ID = "vc-0000000001"


class Switchboard:
    """`with Switchboard(folder) as running`; skips where a program is missing."""

    make: Mapping[str, Callable[[Platform], Service]] = {
        "redis": services.redis,
        "livekit": services.livekit,
        "livekit-sip": services.livekit_sip,
    }
    """What runs, in the order of starting."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("redis-server"):
            pytest.skip("redis-server is not installed")
        for name in ("livekit-server", "livekit-sip"):
            if not binary(name).exists():
                pytest.skip(f"{name} is not built: make provision")
        self.platform = free_platform(folder)
        if self.platform.address == "127.0.0.1":
            pytest.skip("a telephone needs another address than loopback, and there is none")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for name in self.make:
                self.start(name)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """LiveKit's, for an agent."""
        return f"ws://127.0.0.1:{self.platform.port('livekit')}"

    @property
    def env(self) -> dict[str, str]:
        """LiveKit's keys."""
        key, secret = services.livekit_keys(self.platform)
        return {"LIVEKIT_API_KEY": key, "LIVEKIT_API_SECRET": secret}

    def start(self, name: str) -> None:
        """Start a service and wait until it is ready."""
        service = self.make[name](self.platform)
        log = self.platform.folder("logs") / f"{service.name}.log"
        with log.open("ab") as output:
            self._processes[name] = subprocess.Popen(
                service.command,
                stdout=output,
                stderr=output,
                env={**os.environ, **service.environment},
            )
        deadline = time.monotonic() + 90
        while not service.ready():
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)

    def pid(self, name: str) -> int:
        """Of a service that was started."""
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """What it has said."""
        return self.platform.path("logs", f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        """Without a goodbye."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def livekit(self) -> api.LiveKitAPI:
        """Its API; to be closed."""
        url = f"http://127.0.0.1:{self.platform.port('livekit')}"
        return api.LiveKitAPI(url, *services.livekit_keys(self.platform))

    @asynccontextmanager
    async def number(
        self, number: str, agent: str = "", room: str = "", told: AgentConfig | None = None
    ) -> AsyncIterator[None]:
        """A number whose calls from this machine's address go each into a room of its own with that
        agent, or with the overflow agent, which is `told` so much, or all into `room`."""
        each = api.SIPDispatchRuleIndividual(
            room_prefix=room_prefix(told.client_id if told else CLIENT_ID)
        )
        all_ = api.SIPDispatchRuleDirect(room_name=room)
        agents = [api.RoomAgentDispatch(agent_name=agent)] if agent else []
        if told is not None:
            metadata = json.dumps(DispatchMetadata(overflow=told).to_json())
            agents.append(api.RoomAgentDispatch(agent_name=told.agent_name, metadata=metadata))
        async with self.livekit() as livekit:
            trunk = await livekit.sip.create_inbound_trunk(
                api.CreateSIPInboundTrunkRequest(
                    trunk=api.SIPInboundTrunkInfo(
                        name="test",
                        numbers=[number],
                        allowed_addresses=[f"{self.platform.address}/32"],
                    )
                )
            )
            made = await livekit.sip.create_dispatch_rule(
                api.CreateSIPDispatchRuleRequest(
                    trunk_ids=[trunk.sip_trunk_id],
                    rule=api.SIPDispatchRule(dispatch_rule_direct=all_)
                    if room
                    else api.SIPDispatchRule(dispatch_rule_individual=each),
                    room_config=api.RoomConfiguration(agents=agents),
                )
            )
            try:
                yield
            finally:
                await livekit.sip.delete_dispatch_rule(
                    api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=made.sip_dispatch_rule_id)
                )
                await livekit.sip.delete_trunk(
                    api.DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id)
                )

    def _stop(self) -> None:
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Gated(Switchboard):
    """With the agent gateway, through which the agents of `CLIENT_ID` come."""

    make: ClassVar = {**Switchboard.make, "agent-gateway": agent_gateway.agent_gateway}

    @property
    def url(self) -> str:
        """The agent gateway's, for an agent."""
        return agent_gateway.address(self.platform)

    @property
    def env(self) -> dict[str, str]:
        """The client's own key."""
        return own_key(self.platform, CLIENT_ID)


def own_key(platform: Platform, client_id: str) -> dict[str, str]:
    """What the operator gives a client's agent."""
    token = tokens.mint(services.models_key(platform).read_text().strip(), client_id)
    return {"LIVEKIT_API_KEY": client_id, "LIVEKIT_API_SECRET": token}
