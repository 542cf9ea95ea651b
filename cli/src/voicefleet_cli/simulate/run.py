"""Many scenarios, one after the other or several at a time; what came of each, judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicefleet_agent.providers.base import ProviderFailed, Speaker
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallRecord
from voicefleet_cli.simulate.caller import Caller
from voicefleet_cli.simulate.dial import Exchange, ring
from voicefleet_cli.simulate.judge import Fact, judged
from voicefleet_cli.simulate.rehearse import rehearse
from voicefleet_cli.simulate.report import Called
from voicefleet_cli.simulate.scenario import Scenario
from voicefleet_cli.telephone.signalling import NotAnswered
from voicefleet_dialogue.acts import LanguageModel, ModelUnavailable

Cast = Callable[[Scenario, AgentConfig], Caller]
"""Who plays a scenario's caller."""


@dataclass(frozen=True)
class Client:
    """Who is called."""

    name: str
    config: AgentConfig

    @property
    def models(self) -> str:
        """What hears, thinks and speaks in its calls: the first of each."""
        pipeline = self.config.pipeline
        stt, llm, tts = pipeline.stt[0], pipeline.llm[0], pipeline.tts[0]
        parts = (
            ("STT", stt.provider, stt.model),
            ("LLM", llm.provider, llm.model),
            ("TTS", tts.provider, tts.voice),
        )
        return ", ".join(" ".join(filter(None, part)) for part in parts)

    def scenarios(self, among: Sequence[Scenario]) -> list[Scenario]:
        """Those that fit it."""
        return [scenario for scenario in among if scenario.fits(self.config)]


async def texts(
    client: Client,
    scenarios: Sequence[Scenario],
    name: str,
    model: LanguageModel | None,
    cast: Cast,
    played_by: str,
) -> AsyncIterator[Called]:
    """As text, with the language model of that name."""
    for scenario in client.scenarios(scenarios):
        came: CallRecord | ModelUnavailable
        try:
            came = await rehearse(scenario, client.config, cast(scenario, client.config), model)
        except ModelUnavailable as error:
            came = error
        yield _called(scenario, client, name, played_by, came)


async def calls(
    client: Client,
    scenarios: Sequence[Scenario],
    exchange: Exchange,
    speak: Callable[[str], Speaker],
    cast: Cast,
    played_by: str,
    folder: Path,
    jobs: int,
) -> AsyncIterator[Called]:
    """By telephone, so many at a time, as they end; the recordings go to the folder."""
    free = asyncio.Semaphore(jobs)

    async def one(scenario: Scenario, place: int) -> Called:
        # By its number the caller's own call is told from the others.
        shown = scenario.caller or f"+1500555{1000 + place}"
        audio = folder / f"{client.name}-{scenario.name}.wav"
        async with free:
            try:
                caller = cast(scenario, client.config)
                rang = await ring(scenario, client.config, caller, exchange, speak, shown, audio)
            except (NotAnswered, ProviderFailed, ModelUnavailable) as error:
                return _called(scenario, client, client.models, played_by, error)
        made = _called(scenario, client, client.models, played_by, rang.record)
        made.audio, made.answers_ms, made.cut_offs = audio.name, rang.answers_ms, rang.cut_offs
        return made

    fitting = [scenario for scenario in client.scenarios(scenarios) if not scenario.standing]
    waiting = [asyncio.create_task(one(s, place)) for place, s in enumerate(fitting)]
    try:
        for call in asyncio.as_completed(waiting):
            yield await call
    finally:
        for task in waiting:
            task.cancel()


def _called(
    scenario: Scenario,
    client: Client,
    models: str,
    played_by: str,
    came: CallRecord | Exception,
) -> Called:
    """What came of a call: its record, or why it did not come about, a fact that is wrong."""
    record = None
    if isinstance(came, Exception):
        facts = [Fact(what="call", right=False, wanted="a call to the end", found=str(came))]
    else:
        record, facts = came, judged(scenario, came, client.config)
    return Called(
        scenario=scenario.name,
        manner=scenario.manner,
        goal=scenario.goal,
        client=client.name,
        models=models,
        played_by=played_by,
        emergency=scenario.emergency,
        facts=facts,
        record=record,
    )
