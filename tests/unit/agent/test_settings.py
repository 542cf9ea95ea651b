from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from voicefleet_agent import logs
from voicefleet_agent.reach import Reach
from voicefleet_agent.settings import Settings, load_secrets, read_config, read_timing
from voicefleet_agent.turns import Timing
from voicefleet_api.endpointing import FILE, Endpointing

pytestmark = pytest.mark.unit

CONFIG = (
    '{"clientID": "vc-0000000001", "agentName": "a", "livekitURL": "ws://x",'
    ' "businessName": "Bright Smile", "greeting": "Hello"}'
)


def test_the_environment_overrides_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFLEET_HEALTH_PORT", "1234")
    monkeypatch.setenv("VOICEFLEET_DATA", "/elsewhere")
    settings = Settings.from_env()
    assert settings.health_port == 1234
    assert settings.phrases == Path("/elsewhere/phrases")
    assert settings.config == Path("/config/agent.json")


def test_secrets_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "LIVEKIT_API_SECRET").write_text("quiet\n")
    (tmp_path / "PATH").write_text("/nowhere")
    monkeypatch.setenv("VOICEFLEET_SECRETS", str(tmp_path))
    monkeypatch.setenv("LIVEKIT_API_SECRET", "old")
    monkeypatch.setenv("LIVEKIT_API_KEY", "kept")
    path = os.environ["PATH"]
    load_secrets()
    assert os.environ["LIVEKIT_API_SECRET"] == "quiet"
    assert os.environ["LIVEKIT_API_KEY"] == "kept"
    assert os.environ["PATH"] == path


def test_a_configuration_is_strict(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    file.write_text(CONFIG)
    assert read_config(file).business_name == "Bright Smile"
    file.write_text(CONFIG.replace("greeting", "greetings"))
    with pytest.raises(ValueError, match="greeting"):
        read_config(file)


def test_logs_are_json_and_name_no_room(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        logs.configure("vc-0000000001")
        log = logging.getLogger(logs.LOGGER)
        log.info("hello", extra={"action": "Greeted", "room": "call-_+15551234567_x"})
        logging.getLogger("livekit.agents").info("chatter")
        logging.getLogger("livekit.agents").warning("no warmed process available for job, waiting")
    finally:
        root.handlers, root.level = before
    written = capsys.readouterr().out
    assert '"clientID": "vc-0000000001"' in written
    assert '"action": "Greeted"' in written
    assert "5551234567" not in written
    assert written.count("\n") == 1


def test_this_machines_silences_are_read_and_a_broken_file_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_timing(tmp_path) == Timing()
    assert caplog.records == []
    tuned = Endpointing(complete_ms=300, brief_ms=400, unsure_ms=700)
    (tmp_path / FILE).write_text(tuned.model_dump_json(by_alias=True))
    timing = read_timing(tmp_path)
    assert (timing.complete, timing.brief, timing.unsure) == (0.3, 0.4, 0.7)
    assert timing.incomplete == Timing().incomplete
    (tmp_path / FILE).write_text("{}")
    assert read_timing(tmp_path) == Timing()
    assert [record.__dict__["action"] for record in caplog.records] == ["ConfigInvalid"]


def test_services_are_reached_by_sockets_or_else_through_the_agent_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "wss://gateway.example:8443/")
    assert Settings.from_env().reach("stt").socket == Path("/run/voicefleet/models/stt.sock")
    monkeypatch.setenv("VOICEFLEET_MODELS", "")
    settings = Settings.from_env()
    assert settings.reach("portal") == Reach("https://gateway.example:8443/services/portal")
    assert read_timing(settings.models) == Timing()
