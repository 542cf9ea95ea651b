"""The configuration is followed while a call runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voicefleet_agent.live import Live
from voicefleet_agent.settings import Settings

pytestmark = pytest.mark.unit

CONFIG: dict[str, Any] = {
    "clientID": "vc-1",
    "agentName": "a",
    "livekitURL": "ws://x",
    "businessName": "B",
    "greeting": "H",
}


def write(settings: Settings, text: str) -> None:
    """As the operator does: another file takes the place."""
    partial = settings.config.with_suffix(".new")
    partial.write_text(text)
    partial.replace(settings.config)


async def test_each_turn_goes_by_the_configuration_as_it_is_then(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "agent.json", tmp_path, tmp_path, "127.0.0.1", 0, 60, 1)
    write(settings, json.dumps(CONFIG))
    live = Live(settings)
    seen: list[str] = []
    live.on_change = lambda config: seen.append(config.greeting)
    try:
        first = live.look()
        assert live.look() is first
        write(settings, json.dumps(CONFIG | {"greeting": "Ahoy"}))
        assert live.look() is first, "another greeting needs no other providers"
        voice = {"tts": [{"provider": "Local", "voice": "piper/other"}]}
        write(settings, json.dumps(CONFIG | {"greeting": "Ahoy", "pipeline": voice}))
        second = live.look()
        assert second is not first
        assert "piper/other" in second.speaker.name
        assert first.speaker.name != second.speaker.name
        write(settings, "{")
        assert live.look() is second, "what is not valid changes nothing"
        assert seen == ["Ahoy", "Ahoy"]
    finally:
        await live.aclose()


async def test_a_caller_hears_one_of_two_ways_of_saying_it(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "agent.json", tmp_path, tmp_path, "127.0.0.1", 0, 60, 1)
    other = {"name": "shorter", "percent": 40, "greeting": "Hi", "prompt": "Be brief."}
    write(settings, json.dumps(CONFIG | {"experiment": other}))
    heard: dict[str, str] = {}
    for number in range(100):
        caller = f"+1415555{number:04}"
        live = Live(settings, caller)
        heard[caller] = live.config.greeting
        told = ("Hi", "Be brief.") if live.config.variant(caller) == "B" else ("H", "")
        assert (live.config.greeting, live.config.prompt) == told
        await live.aclose()
    assert 20 < list(heard.values()).count("Hi") < 60
    live = Live(settings, next(caller for caller, words in heard.items() if words == "Hi"))
    write(settings, json.dumps(CONFIG | {"greeting": "Ahoy", "experiment": other}))
    live.look()
    assert live.config.greeting == "Hi", "who has B keeps it"
    write(settings, json.dumps(CONFIG))
    live.look()
    assert (live.config.greeting, live.config.variant("+1")) == ("H", None)
    await live.aclose()
    # The worker, which knows of no caller, goes by A's.
    write(settings, json.dumps(CONFIG | {"experiment": other}))
    own = Live(settings)
    assert own.config.greeting == "H"
    await own.aclose()
