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
