"""Measures configurations stage by stage, and chooses.

The stages do not disturb one another: the voice, the language model, then the transcriber with the
silences that end a turn. Each on a gateway of its own.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from voicefleet_agent.providers import local
from voicefleet_agent.providers.base import ProviderFailed
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import LocalSpeaker, LocalTranscriber
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_agent.reach import by_socket
from voicefleet_agent.turns import Timing
from voicefleet_api.endpointing import Endpointing
from voicefleet_cli import rehearsal
from voicefleet_cli.console import progress, step
from voicefleet_cli.rehearsal import Heard, Hearing, Spoken, Switch, Thought
from voicefleet_infra.gateways import own_gateway
from voicefleet_infra.supervision import StartFailed
from voicefleet_models.settings import THREADS, LocalFile, Models, ProviderSettings, RemoteFile

CUT_OFFS = 0.05
"""Most turns, of 1, in which a caller may be interrupted."""
ENOUGH = 0.05
"""Understood less than the best by at most this, of 1, is understood well enough."""
COMPLETE_MS = (200, 250, 350, 500)
UNSURE_MS = (400, 500, 600, 800, 1000)
BRIEF_MS = 100
"""A single word waits so much longer than a whole answer."""


@dataclass(frozen=True)
class Target:
    """So many milliseconds at that percentile."""

    ms: float
    percentile: float


@dataclass(frozen=True, eq=False)
class Option:
    """One way to do a stage, and how it went."""

    stage: str
    name: str
    models: Models
    """The configuration that it is part of."""
    seconds: Sequence[float]
    right: float | None = None
    """Share of turns that were understood, or answered rightly."""
    cut_offs: float | None = None
    """Share of turns."""
    rate: float | None = None
    """Tokens a second."""

    def at(self, percentile: float) -> float | None:
        """Milliseconds; infinite where too many turns have no answer, None where there is none."""
        if not self.seconds:
            return None
        # A value that was measured: between a number and infinity there is nothing.
        return 1000 * float(np.percentile(self.seconds, percentile, method="higher"))


def best(options: Sequence[Option], target: Target) -> Option:
    """Of what meets the target, the one that understands most, interrupts least, is quickest.

    Where nothing meets it, the quickest that understands well enough. Nothing that interrupts more
    callers than `CUT_OFFS`, unless everything does. The first, which is the present one, where two
    are alike or nobody is ever right.
    """
    if all(option.right == 0 for option in options):
        return options[0]
    least = min(option.cut_offs or 0.0 for option in options)
    polite = [o for o in options if (o.cut_offs or 0.0) <= max(CUT_OFFS, least)]

    def at(option: Option) -> float:
        return option.at(target.percentile) or 0.0

    def right(option: Option) -> float:
        return option.right or 0.0

    if meeting := [option for option in polite if at(option) <= target.ms]:
        return min(meeting, key=lambda o: (-right(o), o.cut_offs or 0.0, at(o)))
    enough = max(map(right, polite)) - ENOUGH
    return min((option for option in polite if right(option) >= enough), key=at)


def thread_counts(present: int) -> list[int]:
    """To be tried: the present one first, and never all cores, of which calls need one."""
    return list(dict.fromkeys([present, 1, max(1, THREADS // 2), THREADS]))


def model_name(wanted: LocalFile | RemoteFile | ProviderSettings | None) -> str:
    """For people."""
    match wanted:
        case LocalFile():
            return wanted.path.name
        case RemoteFile():
            return wanted.url.rpartition("/")[2]
        case ProviderSettings():
            return f"{wanted.model} at {wanted.provider}"
    return "the platform's own"


class Tuning:
    """One run. `only` tries nothing but the present configuration."""

    def __init__(self, turns: Sequence[Spoken], switch: Switch, target: Target, *, only: bool):
        self._turns, self._switch, self._target, self._only = turns, switch, target, only
        self.options: list[Option] = []
        self.chosen: list[Option] = []
        self.program: list[Heard] = []
        """Turns that a program answered, in the chosen configuration;"""
        self.model: list[Heard] = []
        """those that a language model did."""

    async def run(self, models: Models, others: Sequence[Models]) -> Models:
        """The best configuration. Raises StartFailed where one cannot be run."""
        models, voiced = await self._voice(models)
        models, thoughts = await self._language(models, others)
        return await self._hearing(models, voiced, thoughts)

    def _threads(self, models: Models, gateway: str) -> list[Models]:
        present = getattr(models.threads, gateway)
        counts = [present] if self._only else thread_counts(present)
        return [models] + [_with(models, gateway, count) for count in counts[1:]]

    def _choose(self, options: Sequence[Option]) -> Option:
        self.options += options
        self.chosen.append(best(options, self._target))
        return self.chosen[-1]

    async def _voice(self, models: Models) -> tuple[Models, dict[Spoken, float]]:
        tried = {}
        for wanted in self._threads(models, "tts"):
            name = _threads_of(wanted.threads.tts)
            async with _gateway("tts", wanted, f"Measuring the voice ({name})") as endpoint:
                seconds = await rehearsal.voice(self._turns, LocalSpeaker(endpoint, local.VOICE))
            fresh = [value for value in seconds.values() if value > 0]
            tried[Option("first sound of speech", name, wanted, fresh)] = seconds
        option = self._choose([*tried])
        return option.models, tried[option]

    async def _language(
        self, models: Models, others: Sequence[Models]
    ) -> tuple[Models, dict[Spoken, Thought]]:
        tried: dict[Option, dict[Spoken, Thought]] = {}
        for source in (models, *others):
            local_model = not isinstance(source.language_model, ProviderSettings)
            wanted = _changed(models, language_model=source.language_model)
            for each in self._threads(wanted, "llm") if local_model else [wanted]:
                name = model_name(each.language_model)
                name += f", {_threads_of(each.threads.llm)}" if local_model else ""
                async with _gateway("llm", each, f"Measuring the language model {name}") as at:
                    tried |= await self._thoughts(at, each, name)
        option = self._choose([*tried])
        return option.models, tried[option]

    async def _thoughts(
        self, endpoint: Endpoint, models: Models, name: str
    ) -> dict[Option, dict[Spoken, Thought]]:
        async def brief(briefing: str) -> None:
            with contextlib.suppress(ProviderFailed):
                await local.brief(endpoint, briefing)

        self._switch.model = OpenAIModel(endpoint, "default", "Local")
        found = await rehearsal.language(self._turns, self._switch, brief)
        thoughts = [*found.values()]
        option = Option(
            "first sentence of the model",
            name,
            models,
            [thought.seconds for thought in thoughts],
            right=_share([thought.right for thought in thoughts]),
            rate=float(np.median([t.pieces for t in thoughts])) if thoughts else None,
        )
        return {option: found}

    async def _hearing(
        self, models: Models, voiced: dict[Spoken, float], thoughts: dict[Spoken, Thought]
    ) -> Models:
        tried: dict[Option, list[Heard]] = {}
        for wanted in self._threads(models, "stt"):
            name = _threads_of(wanted.threads.stt)
            async with _gateway("stt", wanted, f"Listening to the callers ({name})") as endpoint:
                hearing = Hearing(LocalTranscriber(endpoint, "en"), voiced, thoughts)
                for each in self._endpointings(wanted):
                    timing = _timing(each)
                    heard = [await hearing.hear(turn, timing) for turn in self._turns]
                    tried[self._heard(each, heard)] = heard
        option = self._choose([*tried])
        for turn, one in zip(self._turns, tried[option], strict=True):
            (self.model if turn.answer is None else self.program).append(one)
        return option.models

    def _endpointings(self, models: Models) -> list[Models]:
        if self._only:
            return [models]
        silences = [
            Endpointing(complete_ms=complete, brief_ms=complete + BRIEF_MS, unsure_ms=unsure)
            for complete, unsure in product(COMPLETE_MS, UNSURE_MS)
            if unsure > complete + BRIEF_MS
        ]
        return [models] + [_changed(models, endpointing=each) for each in silences]

    def _heard(self, models: Models, heard: Sequence[Heard]) -> Option:
        by_program = [
            one for turn, one in zip(self._turns, heard, strict=True) if turn.answer is not None
        ]
        timing = _timing(models)
        silences = "/".join(
            f"{1000 * s:.0f}" for s in (timing.complete, timing.brief, timing.unsure)
        )
        return Option(
            "answer",
            f"turns end after {silences} ms, {_threads_of(models.threads.stt)}",
            models,
            [one.wait for one in by_program if not one.cut_off],
            right=_share([one.understood for one in by_program]),
            cut_offs=_share([one.cut_off for one in heard]),
        )


def _changed(models: Models, **changes: Any) -> Models:
    """With what is unset in `models` still unset."""
    return models.model_copy(update=changes)


def _with(models: Models, gateway: str, count: int) -> Models:
    return _changed(models, threads=models.threads.model_copy(update={gateway: count}))


def _timing(models: Models) -> Timing:
    return Timing().tuned(models.endpointing) if models.endpointing else Timing()


def _threads_of(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


@asynccontextmanager
async def _gateway(name: str, models: Models, words: str) -> AsyncIterator[Endpoint]:
    """A gateway for as long as something is measured, which `words` say."""
    with tempfile.TemporaryDirectory(prefix="voicefleet-tune-") as made, step(words):
        folder = Path(made)
        told = ""

        def say(state: dict[str, Any]) -> None:
            nonlocal told
            if state.get("state") == "Fetching" and told != (share := f"{state['share']:.1f}"):
                told = share
                progress(f"fetching {state['model']}: {state['share']:.0%}")
            if state.get("state") == "NotFetched":
                raise StartFailed(f"the model could not be fetched: {state['reason']}")

        async with own_gateway(name, models, folder, say) as token:
            endpoint = Endpoint(by_socket(folder, name), token)
            try:
                yield endpoint
            finally:
                await endpoint.aclose()
