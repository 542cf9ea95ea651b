"""Who goes on with which call: the next process with its own, the caller with the one cut off."""

from __future__ import annotations

import wave
from datetime import timedelta
from pathlib import Path

import pytest

from support.dialogues import config, say, talk
from voicefleet_agent.records import Entry, Journal, Recorder, journal
from voicefleet_agent.records.spool import Spool
from voicefleet_agent.settings import Settings
from voicefleet_api.calls import CallRecord, TranscriptTurn
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit

CALLER, OTHER = "+12125550100", "+12125550199"
CLIENT = config().client_id
RATE = 8000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "agent.json", tmp_path, tmp_path, "127.0.0.1", 0, 60, 1)


class Call:
    """One process in a call."""

    def __init__(
        self, settings: Settings, caller: str | None = CALLER, lost: Entry | None = None
    ) -> None:
        self.dialogue: Dialogue = talk("dentist")[0]
        self.record = Recorder(
            settings, config(), caller=caller, room="room", talk=lambda: self.dialogue.saved,
            lost=lost,
        )  # fmt: skip
        self.journal = Journal(settings.spool)

    def turn(self, text: str) -> None:
        say(self.dialogue, text)
        turn = TranscriptTurn(speaker="Caller", text=text, at=self.record.elapsed())
        self.record.said(turn)
        self.written()

    def written(self) -> None:
        self.record._disk.submit(lambda: None).result(5)

    def die(self) -> None:
        """The kernel lets go of what the process held."""
        self.written()
        assert self.record._open is not None
        self.record._open._held.close()
        for sound in self.record._open._sounds.values():
            sound.close()

    def end(self, *, cut_off: bool = False) -> CallRecord:
        return self.record.finish("caller left", self.dialogue.outcome, cut_off=cut_off)


def test_each_turn_is_kept_and_goes_with_the_call(settings: Settings) -> None:
    call = Call(settings)
    for text in ("I'd like to book a cleaning", "No pain"):
        call.turn(text)
        entry = call.journal.of_room("room")
        assert entry is not None
        assert entry.talk == call.dialogue.saved
    call.end()
    assert call.journal.entries() == []


def test_who_was_cut_off_is_known_by_number_once(settings: Settings) -> None:
    call = Call(settings)
    call.turn("I'd like to book a cleaning")
    call.end(cut_off=True)
    assert call.journal.claim(OTHER, CLIENT) is None
    assert call.journal.claim(CALLER, "another client") is None
    entry = call.journal.claim(CALLER, CLIENT)
    assert entry is not None
    assert entry.talk.state == call.dialogue.state
    assert call.journal.claim(CALLER, CLIENT) is None


def test_a_talk_that_had_come_to_its_end_is_over(settings: Settings) -> None:
    call = Call(settings)
    call.turn("Wrong number, sorry")
    call.end(cut_off=True)
    assert call.journal.claim(CALLER, CLIENT) is None


@pytest.mark.parametrize("number", ["anonymous", "", "+266696687", "1000"])
def test_a_withheld_number_is_nobodys(settings: Settings, number: str) -> None:
    call = Call(settings, number)
    call.turn("I'd like to book a cleaning")
    call.end(cut_off=True)
    assert call.journal.entries() != []
    assert call.journal.claim(number, CLIENT) is None


def test_a_call_under_way_is_nobody_elses_until_its_line_is_dead(settings: Settings) -> None:
    call = Call(settings)
    call.turn("I'd like to book a cleaning")
    assert call.journal.claim(CALLER, CLIENT) is None
    assert not call.record.claimed
    call.record.line(lost=True)
    call.written()
    assert call.journal.claim(CALLER, CLIENT) is not None
    assert call.record.claimed
    call.turn("No pain")
    assert call.record.claimed  # what is written late does not bring it back
    call.record.line(lost=False)
    call.end()


def test_nobody_is_known_for_long(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(settings)
    call.turn("I'd like to book a cleaning")
    call.end(cut_off=True)
    Spool(settings.spool).trim()
    assert len(call.journal.entries()) == 1
    monkeypatch.setattr(journal, "KEPT", timedelta(0))
    assert call.journal.claim(CALLER, CLIENT) is None
    Spool(settings.spool).trim()
    assert list(settings.spool.glob("*.talk")) == []


def test_what_is_not_a_talk_holds_up_nobody(settings: Settings) -> None:
    call = Call(settings)
    call.turn("I'd like to book a cleaning")
    (settings.spool / "torn.talk").write_bytes(b'{"call_id": "to')
    assert [entry.room for entry in call.journal.entries()] == ["room"]
    call.end()


def test_the_next_process_goes_on_with_the_record_and_its_sound(settings: Settings) -> None:
    first = Call(settings)
    first.record.state("Listening")
    first.record.audio("caller", b"\1\1" * RATE, RATE)
    first.turn("I'd like to book a cleaning")
    first.die()
    entry = first.journal.of_room("room")
    second = Call(settings, lost=entry)
    second.turn("No pain")
    assert first.journal.of_room("room") != entry
    second.record.audio("caller", b"\2\2" * RATE, RATE)
    record = second.end()
    assert record.call_id == first.record.call_id
    assert [turn.text for turn in record.transcript] == ["I'd like to book a cleaning", "No pain"]
    assert [change.state for change in record.states] == ["Listening", "Ended"]
    assert Spool(settings.spool).waiting() == [record.call_id]
    with wave.open(str(Spool(settings.spool).audio(record.call_id, "caller"))) as sound:
        pcm = sound.readframes(10**9)
    assert pcm == b"\1\1" * RATE + b"\2\2" * RATE
    assert sorted(path.suffix for path in settings.spool.iterdir()) == [".json", ".wav"]


def test_a_record_that_was_closed_meanwhile_is_not_gone_on_with(settings: Settings) -> None:
    first = Call(settings)
    first.turn("I'd like to book a cleaning")
    first.die()
    assert Spool(settings.spool).recover() == [first.record.call_id]
    second = Call(settings, lost=first.journal.of_room("room"))
    second.turn("No pain")
    second.end()
    assert len(Spool(settings.spool).waiting()) == 2
    assert second.journal.entries() == []


def test_deaths_are_counted(settings: Settings) -> None:
    call = Call(settings)
    for deaths in range(3):
        call.die()
        entry = call.journal.of_room("room")
        assert entry is not None
        assert entry.deaths == deaths
        call = Call(settings, lost=entry)
    call.end()


def test_a_call_is_not_closed_while_another_process_may_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("voicefleet_agent.records.spool.time.monotonic", lambda: now)
    first = Call(settings)
    first.turn("I'd like to book a cleaning")
    first.die()
    spool = Spool(settings.spool)
    assert spool.recover(15) == []
    now = 110.0
    second = Call(settings, lost=first.journal.of_room("room"))
    second.written()
    assert spool.recover(15) == []
    second.die()
    now = 120.0
    assert spool.recover(15) == []  # of the second death, and not of the first
    now = 135.0
    assert spool.recover(15) == [first.record.call_id]
    assert first.journal.claim(CALLER, CLIENT) is not None
