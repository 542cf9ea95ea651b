"""A call on a clock that is a variable: the agent is real, from turns to record.

Only what lies beyond them is played: the caller, the network that takes the agent's sound, and the
providers, which do what a test wants of them. So what a caller hears is known to the frame, on a
machine as busy as it likes.
"""

from __future__ import annotations

import array
import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from livekit import rtc

from simulator.clock import virtual_time
from support.dialogues import NOW, MemoryCalendar, config
from voicefleet_agent import phrases
from voicefleet_agent.audio import bytes_of, seconds_of
from voicefleet_agent.conversation import Conversation, Ending
from voicefleet_agent.listening import Ears
from voicefleet_agent.providers import Asked, ProviderFailed, Transcript
from voicefleet_agent.providers.chain import ModelChain, Resting, SpeakerChain, TranscriberChain
from voicefleet_agent.records import Recorder
from voicefleet_agent.settings import Settings
from voicefleet_agent.speaking import QUEUE_MS, Mouth
from voicefleet_agent.turns import Agent
from voicefleet_api.calls import CallRecord
from voicefleet_dialogue.acts import ModelUnavailable
from voicefleet_dialogue.dialogue import Dialogue

WINDOW = 0.032
CHARACTER = 0.06
"""Seconds of sound."""
NEXT = {
    "Greeting": {"Listening", "Transferring", "Logging"},
    "Listening": {"Processing", "Responding", "Transferring", "Logging"},
    "Voicemail": {"Processing", "Responding", "Transferring", "Logging"},
    "Processing": {"Responding", "Listening", "Voicemail", "Transferring", "Logging"},
    "Responding": {"Processing", "Listening", "Voicemail", "Transferring", "Logging"},
    "Transferring": {"Responding", "Logging"},
    "Logging": {"Ended"},
    "Ended": set(),
}
"""Which state of a call may follow which."""


class Provider:
    """Of every kind; `does` says what becomes of requests, one after the other, then the last."""

    def __init__(self, line: Line, name: str, does: str | list[str] = "works") -> None:
        self.name = name
        self.does = [does] if isinstance(does, str) else does
        self.asked: list[str] = []
        self.delay = 0.05
        self.pace = 0.0
        """Seconds that a voice takes for a second of sound."""
        self.words = "It is on the third floor."
        """A model's."""
        self.meaning = "question"
        self._line = line

    async def _begin(self, what: str, error: type[Exception]) -> str:
        self.asked.append(what)
        does = self.does.pop(0) if len(self.does) > 1 else self.does[0]
        await asyncio.sleep(3600 if does == "hangs" else self.delay)
        if does == "refuses":
            raise error("HTTP 500")
        return does

    async def transcribe(self, pcm: bytes, asked: Asked | None = None) -> Transcript:
        text = pcm.decode()
        does = await self._begin(text, ProviderFailed)
        return Transcript("wibble wobble blorp" if does == "mishears" and text else text)

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        does = await self._begin(text, ProviderFailed)
        sound = self._line.sound(text)
        step = bytes_of(0.2)
        pieces = [sound[at : at + step] for at in range(0, len(sound), step)]
        for index, piece in enumerate(pieces):
            if index == len(pieces) // 2:
                if does == "breaks off":
                    raise ProviderFailed("closed")
                if does == "stalls":
                    await asyncio.sleep(3600)
                if does == "stutters":
                    await asyncio.sleep(0.9)
            await asyncio.sleep(self.pace * seconds_of(piece))
            yield piece

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any] | None = None, max_tokens: int
    ) -> AsyncIterator[str]:
        does = await self._begin(user, ModelUnavailable)
        if schema is not None:
            yield f'{{"meaning": "{self.meaning}"}}'
            return
        words = self.words.split(" ")
        for index, word in enumerate(words):
            if index == len(words) // 2 and does == "breaks off":
                raise ModelUnavailable("closed")
            yield word + " "


class Network:
    """Takes the agent's sound as `rtc.AudioSource` does; keeps what was played, and when."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self._until = 0.0

    @property
    def queued_duration(self) -> float:
        return max(0.0, self._until - time.monotonic())

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        begins = max(self._until, time.monotonic())
        self.frames.append((begins, bytes(frame.data)))
        self._until = begins + frame.duration
        await asyncio.sleep(max(0.0, self.queued_duration - QUEUE_MS / 1000))

    def clear_queue(self) -> None:
        now = time.monotonic()
        self.frames = [(begins, pcm) for begins, pcm in self.frames if begins < now]
        self._until = now


class Line:
    """One call. To be used by `call`."""

    record: CallRecord
    ending: Ending | None = None
    pressed: float
    """When the caller pressed the last key."""

    def __init__(self, folder: Path, profession: str, changes: Mapping[str, Any]) -> None:
        self.settings = Settings(folder / "agent.json", folder, folder, "127.0.0.1", 0, 60, 1)
        client = config(profession, **changes)
        self.stt = [Provider(self, "ear")]
        self.tts = [Provider(self, "voice")]
        self.llm = [Provider(self, "model")]
        self.network = Network()
        self.said: list[tuple[float, float, str]] = []
        """The caller's words: (from, to, words)."""
        self._texts: list[str] = []
        self._recorder = Recorder(self.settings, client)
        self._resting = Resting(lambda: time.monotonic())
        self.calendar = MemoryCalendar(client)
        self.dialogue = Dialogue(
            client,
            self.calendar,
            clock=lambda: NOW,
            language_model=cast(Any, SimpleNamespace(complete=self._complete)),
        )
        self.made = {
            text: self.sound(text)
            for text in (*phrases.essential(self.dialogue.locale), *self.dialogue.prepared())
        }
        self.mouth = Mouth(
            cast(rtc.AudioSource, self.network), lambda each: self.conversation.sounds(each)
        )
        self.conversation = Conversation(
            self.dialogue,
            self._pipeline,
            lambda text: self.made.get(text),
            self.mouth,
            self._recorder,
            fallback=client.forward_to,
        )
        self.conversation.hears(cast(Ears, SimpleNamespace(since=self._since)))
        self.run: Callable[[], Coroutine[Any, Any, Ending]] = self.conversation.run

    def sound(self, text: str) -> bytes:
        """Of a voice that says it: each sample is the number of the text."""
        if text not in self._texts:
            self._texts.append(text)
        number = 1 + self._texts.index(text)
        return array.array("h", [number] * round(CHARACTER * len(text) * 16_000)).tobytes()

    def heard(self) -> list[tuple[float, float, str]]:
        """What the caller heard: (from, to, text)."""
        spans: list[tuple[float, float, str]] = []
        for begins, pcm in self.network.frames:
            text = self._texts[pcm[0] + 256 * pcm[1] - 1]
            ends = begins + seconds_of(pcm)
            if spans and spans[-1][2] == text and begins - spans[-1][1] < 0.001:
                spans[-1] = (spans[-1][0], ends, text)
            else:
                spans.append((begins, ends, text))
        return spans

    def texts(self) -> list[str]:
        """What the caller heard, in order."""
        return [text for _, _, text in self.heard()]

    def silence(self) -> float:
        """The longest that the caller waited for a sound after having spoken, and within an answer
        (which ends where nothing sounds for six seconds: the caller is asked for something)."""
        longest = 0.0
        for _, ended, _ in self.said:
            for begins, ends, _ in self.heard():
                if ends <= ended:
                    continue
                pause = max(0.0, begins - ended)
                if pause > 5.9 or any(ended <= start < begins for start, _, _ in self.said):
                    break
                longest = max(longest, pause)
                ended = ends
        return longest

    # --- the caller ------------------------------------------------------------------------------

    async def says(self, words: str, seconds: float | None = None) -> None:
        """Speak; no words are a noise."""
        begins = time.monotonic()
        ends = begins + (seconds or max(0.3, CHARACTER * len(words)))
        self.said.append((begins, ends, words))
        await self._windows(lambda: time.monotonic() >= ends, 0.95)

    async def presses(self, keys: str) -> None:
        """Press keys of the phone, half a second apart."""
        for key in keys:
            self.pressed = time.monotonic()
            self.conversation.key(key)
            await self.waits(0.5)

    async def unreached(self) -> None:
        """Nobody takes the call that the agent transfers: the talk goes on."""
        ending = await self.conversation.ended
        self._talking = asyncio.create_task(self.conversation.unreached(ending.reason))
        await asyncio.sleep(0)

    async def waits(self, seconds: float) -> None:
        """Be silent for so long."""
        ends = time.monotonic() + seconds
        await self._windows(lambda: time.monotonic() >= ends, 0.02)

    async def listens(self) -> None:
        """Be silent until the agent has answered and it is the caller's turn again."""
        turns = self.conversation._turns
        await self._windows(lambda: turns.agent is Agent.SILENT and turns._turn is None, 0.02)

    async def _windows(self, until: Callable[[], bool], probability: float) -> None:
        async with asyncio.timeout(60):
            while not until() and not self.conversation.ended.done():
                await asyncio.sleep(WINDOW)
                self.conversation.window(time.monotonic(), WINDOW, probability)

    # --- what the conversation asks for ----------------------------------------------------------

    def _since(self, when: float) -> bytes:
        return " ".join(words for begins, _, words in self.said if begins >= when - 0.2).encode()

    def _pipeline(self) -> Any:
        return SimpleNamespace(
            transcriber=TranscriberChain(self.stt, self._resting, self._recorder),
            speaker=SpeakerChain(self.tts, self._resting, self._recorder),
        )

    def _complete(self, *args: Any, **options: Any) -> AsyncIterator[str]:
        return ModelChain(self.llm, self._resting, self._recorder).complete(*args, **options)

    async def talk(self, script: Callable[[Line], Awaitable[None]]) -> None:
        speaking = asyncio.create_task(self.mouth.run())
        self._talking = asyncio.create_task(self.run())
        try:
            await script(self)
        finally:
            self.ending = self._talking.result() if self._talking.done() else None
            if self.conversation.ended.done():
                self.ending = await self._talking
            self._talking.cancel()
            speaking.cancel()
            done = await asyncio.gather(self._talking, speaking, return_exceptions=True)
            self._recorder.state("Logging")
            self.record = self._recorder.finish("test", self.dialogue.outcome)
            for error in done:
                if isinstance(error, Exception):
                    raise error


def call(
    folder: Path,
    script: Callable[[Line], Awaitable[None]],
    *,
    profession: str = "dentist",
    prepare: Callable[[Line], None] = lambda _: None,
    **changes: Any,
) -> Line:
    """A client of that profession is called; `prepare` breaks what is to be broken beforehand."""
    with virtual_time() as runner, mock.patch.object(time, "monotonic", runner.get_loop().time):

        async def whole() -> Line:
            await asyncio.sleep(100)  # the clock of a machine does not begin with the call
            line = Line(folder, profession, changes)
            prepare(line)
            await line.talk(script)
            return line

        line = runner.run(whole())
    states = [change.state for change in line.record.states]
    assert states[0] == ("Greeting" if line.run == line.conversation.run else "Responding")
    for before, after in itertools.pairwise(states):
        assert after in NEXT[before], states
    return line
