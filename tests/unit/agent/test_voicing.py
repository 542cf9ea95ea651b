"""Sentences are made once, in order, and the rest while the first is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from voicefleet_agent.providers import ProviderFailed
from voicefleet_agent.voicing import Voicing

pytestmark = pytest.mark.unit

READ_BACK = "Let me read that back. The name is Ann Lee. Is that right?"
MADE = {"Let me read that back.": b"lead", "Goodbye.": b"bye"}


class Voice:
    """Says a sentence as two pieces of its own letters, each when it is let."""

    name = "Voice"

    def __init__(self, broken: str = "") -> None:
        self.asked: list[str] = []
        self.let = asyncio.Event()
        self.let.set()
        self._broken = broken

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        self.asked.append(text)
        yield text[:3].encode()
        await self.let.wait()
        if text == self._broken:
            raise ProviderFailed("no voice")
        yield text[3:].encode()


async def heard(voicing: Voicing, text: str) -> bytes:
    sound = voicing.sound(text)
    return sound if isinstance(sound, bytes) else b"".join([piece async for piece in sound])


async def test_what_was_made_ahead_is_there_at_once() -> None:
    voice = Voice()
    voicing = Voicing(MADE.get, voice)
    voicing.begin(["Goodbye."])
    assert voicing.sound("Goodbye.") == b"bye"
    assert voice.asked == []


async def test_a_known_beginning_sounds_while_the_rest_is_made() -> None:
    voice = Voice()
    voice.let.clear()
    voicing = Voicing(MADE.get, voice)
    sound = voicing.sound(READ_BACK)
    assert not isinstance(sound, bytes)
    assert await anext(sound) == b"lead"
    assert await anext(sound) == b"The"
    voice.let.set()
    assert b"".join([piece async for piece in sound]) == b" name is Ann Lee.Is that right?"
    assert voice.asked == ["The name is Ann Lee.", "Is that right?"]


async def test_what_was_begun_on_the_chance_is_not_made_again() -> None:
    voice = Voice()
    voicing = Voicing(MADE.get, voice)
    voicing.begin([READ_BACK, "Is that right?"])
    await asyncio.sleep(0.01)
    assert await heard(voicing, READ_BACK) == b"leadThe name is Ann Lee.Is that right?"
    assert await heard(voicing, "Is that right?") == b"Is that right?"
    assert await heard(voicing, "And then?") == b"And then?"
    assert voice.asked == ["The name is Ann Lee.", "Is that right?", "And then?"]


async def test_a_failure_is_told_after_what_came_before_it() -> None:
    voicing = Voicing(MADE.get, Voice(broken="The name is Ann Lee."))
    sound = voicing.sound(READ_BACK)
    assert not isinstance(sound, bytes)
    assert [await anext(sound), await anext(sound)] == [b"lead", b"The"]
    with pytest.raises(ProviderFailed):
        await anext(sound)


async def test_what_is_dropped_is_made_no_further() -> None:
    voice = Voice()
    voice.let.clear()
    voicing = Voicing(MADE.get, voice)
    voicing.begin([READ_BACK])
    await asyncio.sleep(0.01)
    voicing.drop()
    voice.let.set()
    await asyncio.sleep(0.01)
    assert voice.asked == ["The name is Ann Lee."]
