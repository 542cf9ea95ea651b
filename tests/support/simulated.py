"""Simulated callers as text: the shipped scenarios at the practice clients."""

from __future__ import annotations

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord
from voicefleet_cli.chat import config_of
from voicefleet_cli.simulate.caller import Script
from voicefleet_cli.simulate.rehearse import rehearse
from voicefleet_cli.simulate.scenario import PRACTICE, SHIPPED, Scenario, load

SCENARIOS = {scenario.name: scenario for scenario in load(SHIPPED)}


def practice(profession: str) -> AgentConfig:
    """The practice client of that profession."""
    return config_of(None, f"practice-{profession}", PRACTICE, "")


async def played(name: str, profession: str) -> tuple[Scenario, CallRecord, AgentConfig]:
    """What came of a scenario at it, by program alone."""
    asks, config = SCENARIOS[name], practice(profession)
    return asks, await rehearse(asks, config, Script(asks, config), None), config
