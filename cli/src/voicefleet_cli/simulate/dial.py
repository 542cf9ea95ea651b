"""A scenario by telephone: a SIP call in which the caller speaks, and everything is recorded."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np

from voicefleet_agent.audio import SAMPLE_RATE
from voicefleet_agent.providers.base import Speaker
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import CallEvent, CallRecord
from voicefleet_cli.phone import telephone_samples
from voicefleet_cli.simulate.caller import Caller
from voicefleet_cli.simulate.scenario import KEYS, PAUSE, Noise, Scenario
from voicefleet_cli.telephone.answering import PATIENCE, Answering, Told, until_finished
from voicefleet_cli.telephone.hearing import judge
from voicefleet_cli.telephone.signalling import NotAnswered
from voicefleet_cli.telephone.sip import SipLine
from voicefleet_cli.telephone.sound import (
    RATE,
    Samples,
    at_loudness,
    hum,
    mixed,
    save,
    street,
    telephone,
    trim,
)  # fmt: skip

MOST_TURNS = 40
"""Of the caller's; a call that goes on is hung up."""
VOICES = ("kokoro/jf_nezumi", "kokoro/jm_kumo")
"""One of them speaks where the scenario's voice is the agent's own."""
_NOISE_SECONDS = 15
_BABBLE = files("voicefleet_cli") / "recordings" / "babble.flac"


@dataclass(frozen=True)
class Exchange:
    """Where a client's calls go, and who tells of them."""

    address: str
    """Of the SIP server, and ours on the same network."""
    port: int
    number: str
    portal: Told
    record: Callable[[str], Awaitable[CallRecord]]
    """Of the call with that id, once it is there; raises `NotAnswered` where it never comes."""


@dataclass
class Live:
    """A `Told`, to be filled."""

    events: dict[str, list[tuple[float, CallEvent]]] = field(default_factory=dict)

    def tell(self, event: CallEvent) -> None:
        """Something has just happened."""
        self.events.setdefault(event.call_id, []).append((time.monotonic(), event))


@dataclass(frozen=True)
class Rang:
    """A call as it went."""

    record: CallRecord
    audio: Path
    answers_ms: list[float]
    cut_offs: int


async def ring(
    scenario: Scenario,
    config: AgentConfig,
    caller: Caller,
    exchange: Exchange,
    speak: Callable[[str], Speaker],
    shown: str,
    audio: Path,
) -> Rang:
    """Call, talk and hang up; `speak` gives a voice by name, `shown` is the caller's number.

    Raises `NotAnswered`, `ProviderFailed` where the caller has no voice, `ModelUnavailable`.
    """
    voice = speak(_voice(scenario, config))
    ahead = {words: await spoken_words(words, voice, scenario.speed) for words in caller.lines}
    line = SipLine(bed(scenario.noise))
    agent = Answering(line, exchange.portal, shown)
    spoken: list[tuple[float, float, float, int]] = []
    await line.open(exchange.address, exchange.port, exchange.number, shown)
    try:
        await until_finished(line, agent, 0.0, PATIENCE)
        since = 0.0
        for _ in range(MOST_TURNS):
            if line.gone or (words := await caller.answer(_said(agent, since))) is None:
                break
            since = line.now
            keys = KEYS.fullmatch(words)
            if keys:
                await line.press(keys[1])
            if keys or not words:
                await until_finished(line, agent, since, PATIENCE)
                continue
            speech = ahead.get(words)
            if speech is None:
                speech = await spoken_words(words, voice, scenario.speed)
            commits = agent.commits()
            start, since = await line.say(speech)
            await until_finished(line, agent, since, PATIENCE)
            spoken.append((start, since, line.now, agent.commits() - commits))
    finally:
        await line.hang_up()
    mouth, ear = line.recordings()
    save(audio, mouth, ear)
    if agent.call is None:
        raise NotAnswered("the portal has told nothing of the call")
    heard = [(judge(ear, *turn[:3], agent.said()), turn[3]) for turn in spoken]
    return Rang(
        await exchange.record(agent.call),
        audio,
        [1000 * turn.answer for turn, _ in heard if turn.answer is not None],
        # One turn that was taken for two was cut off, however late the answer to its first half.
        sum(turn.cut_off or commits > 1 for turn, commits in heard),
    )


def _voice(scenario: Scenario, config: AgentConfig) -> str:
    own = {speaker.voice for speaker in config.pipeline.tts}
    return next(voice for voice in (scenario.voice, *VOICES) if voice not in own)


def _said(agent: Answering, since: float) -> str:
    """Since the caller's last word; what was said while it spoke its last ones counts, too."""
    return " ".join(u.text for u in agent.said() if u.answer and u.at >= since - 0.5)


def bed(noise: Noise | None) -> Samples:
    """What goes on behind the caller's voice, to be repeated."""
    size = _NOISE_SECONDS * RATE
    match noise and noise.kind:
        case "line":
            sound = hum(size, 1)
        case "street":
            sound = street(size, 2)
        case "babble":
            pcm = b"".join(telephone_samples(Path(str(_BABBLE))))
            sound = np.frombuffer(pcm, "<i2") / 32768
        case _:
            return np.zeros(size)
    assert noise is not None
    return mixed(np.zeros(len(sound)), sound, noise.below)


async def spoken_words(words: str, voice: Speaker, speed: float) -> Samples:
    """As they come over a telephone; [300] is a pause of 300 ms. Raises `ProviderFailed`.

    Every piece is trimmed to its first and last sound, so that it ends with its last word.
    """
    pieces: list[Samples] = []
    for number, piece in enumerate(PAUSE.split(words)):
        if number % 2:
            pieces.append(np.zeros(int(piece) * RATE // 1000))
        elif piece.strip():
            pcm = b"".join([part async for part in voice.speak(piece.strip())])
            samples = np.frombuffer(pcm, "<i2") / 32768
            pieces.append(at_loudness(trim(telephone(samples, round(SAMPLE_RATE * speed)))))
    return np.concatenate(pieces)
