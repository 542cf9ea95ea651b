"""What a call feeds while it runs, and makes its record of in the end."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal, Protocol

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.records.journal import Entry
from voicefleet_agent.records.live import Live
from voicefleet_agent.records.spool import OpenCall, Side, Spool
from voicefleet_agent.settings import Settings
from voicefleet_api import calls
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.calls import (
    BookedAppointment,
    CallEvent,
    CallQuality,
    CallRecord,
    CallState,
    Message,
    ProviderUse,
    StageLatencies,
    StateChange,
    TranscriptTurn,
    Variant,
)
from voicefleet_dialogue.state import Saved

CUT_OFF = "agent ended"
"""Why a call ended whose process was killed."""
FINISH_SECONDS = 5.0
"""For the disk to take the record; what is there by then is the last checkpoint."""
_BLOCK = 1.0
"""Seconds of sound that are written at once, and lost at most where the process is killed."""
_GAP = 0.2

Component = Literal["STT", "LLM", "TTS"]

log = logging.getLogger(LOGGER)


class Outcome(Protocol):
    """What the dialogue made of the call; `dialogue.outcome` is one."""

    @property
    def result(self) -> calls.Outcome: ...
    @property
    def appointments(self) -> Sequence[BookedAppointment]: ...
    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def slots(self) -> Mapping[str, str]: ...
    @property
    def transferred_to(self) -> str | None: ...


class Recorder:
    """One call's record. Nothing here fails or makes the call wait: the disk has its own thread."""

    def __init__(
        self,
        settings: Settings,
        config: AgentConfig,
        *,
        caller: str | None = None,
        called: str | None = None,
        variant: Variant | None = None,
        room: str = "",
        talk: Callable[[], Saved] | None = None,
        lost: Entry | None = None,
    ) -> None:
        """`talk` is asked at each turn; `lost`: by the process that was in this call before."""
        so_far = None
        if lost is not None:
            spool = Spool(settings.spool)
            so_far = spool.so_far(lost.call_id)
            if so_far is None:
                # The worker has closed it meanwhile: then this is another record.
                spool.journal.path(lost.call_id).unlink(missing_ok=True)
        self._record = so_far or CallRecord(
            call_id=str(uuid.uuid4()),
            client_id=config.client_id,
            answered_by="Overflow" if config.overflow else "Agent",
            caller=caller,
            called=called,
            started=datetime.now(UTC),
            duration_seconds=0,
            ended=CUT_OFF,
            outcome="Failed",
            success=False,
            experiment=config.experiment.name if config.experiment else None,
            variant=variant,
        )
        self._begun = time.monotonic()
        if so_far is not None:
            self._begun -= (datetime.now(UTC) - so_far.started).total_seconds()
        self._uses: dict[tuple[Component, str], ProviderUse] = {
            (use.component, use.provider): use for use in self._record.providers
        }
        self._sounds: dict[Side, _Sound] = {}
        self._live = Live(settings.reach("portal"), os.environ.get("MODELS_TOKEN", ""))
        self._sequence = len(self._record.states) + len(self._record.transcript)
        self._room = room
        self._talk = talk
        self._deaths = lost.deaths + 1 if lost else 0
        self.line_lost = False
        """Nothing comes from the caller's telephone any more."""
        self._again = so_far is not None
        self._finished = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._open: OpenCall | None = None
        self._spool = settings.spool
        self._checkpoint()

    @property
    def call_id(self) -> str:
        """UUID; the same for the record, its sound and its events."""
        return self._record.call_id

    def elapsed(self) -> float:
        """Seconds since the agent took the call."""
        return round(time.monotonic() - self._begun, 3)

    def state(self, state: CallState) -> None:
        """The call is in another state; the same again is nothing new."""
        states = self._record.states
        before = states[-1].state if states else None
        if state == before:
            return
        change = StateChange(state=state, at=self.elapsed())
        states.append(change)
        log.info(
            "call state",
            extra={
                "action": "CallState",
                "callID": self.call_id,
                "state": state,
                "before": before,
                "changes": len(states),
                "seconds": change.at,
            },
        )
        self._tell(change=change)

    def said(self, turn: TranscriptTurn) -> None:
        """Somebody has said something; kept at once."""
        self._record.transcript.append(turn)
        self._tell(turn=turn)
        self._checkpoint()

    def used(
        self, component: Component, provider: str, amount: float, cost_minor: float = 0
    ) -> None:
        """A provider has answered; `amount` in seconds of sound, tokens or characters."""
        use = self._use(component, provider)
        use.requests += 1
        use.amount += amount
        use.cost_minor += cost_minor

    def failed(self, component: Component, provider: str) -> None:
        """A provider has not answered, or too late."""
        self._use(component, provider).failures += 1

    def interrupted(self) -> None:
        """The caller has cut in."""
        self._record.interruptions += 1

    def audio(self, side: Side, pcm: bytes, rate: int) -> None:
        """16-bit mono sound that has just ended; one side keeps to one rate, in Hz."""
        at = self.elapsed() - len(pcm) / 2 / rate
        sound = self._sounds.get(side)
        if sound is not None and (sound.rate != rate or at - sound.ends > _GAP):
            self._flush(side)
            sound = None
        if sound is None:
            sound = self._sounds[side] = _Sound(rate, max(0.0, at))
        sound.pcm += pcm
        if sound.ends - sound.at >= _BLOCK:
            self._flush(side)

    def quality(self, line: CallQuality) -> None:
        """The line has been like this so far."""
        self._record.quality = line

    def progress(self, outcome: Outcome) -> None:
        """What the dialogue has done so far: a booking must not be missing if we are killed."""
        self._take(outcome)
        self._checkpoint()

    def line(self, *, lost: bool) -> None:
        """Whether anything comes from the caller's telephone."""
        if lost != self.line_lost:
            self.line_lost = lost
            log.info(
                "caller's line",
                extra={"action": "CallLine", "callID": self.call_id, "lost": lost},
            )
            self._checkpoint()

    @property
    def claimed(self) -> bool:
        """Whether the caller goes on with the talk in another call."""
        return self._open is not None and self._open.claimed

    def finish(self, ended: str, outcome: Outcome, *, cut_off: bool = False) -> CallRecord:
        """The call is over; the record lies in the spool. A second time changes nothing.

        `cut_off`: against the caller's will, who may ring again."""
        if self._finished:
            return self._record
        self._finished = True
        self.state("Ended")
        self._live.send(None)
        self._take(outcome)
        record = self._record
        record.ended = ended
        record.success = outcome.result != "Failed"
        for side in [*self._sounds]:
            self._flush(side)
        talk = self._entry() if cut_off else None
        done = self._write(lambda call: self._complete(call, talk))
        self._disk.shutdown(wait=False)
        try:
            done.result(FINISH_SECONDS)
        except TimeoutError:
            log.error("call record late", extra={"action": "RecordLate", "callID": self.call_id})
        return record

    def _take(self, outcome: Outcome) -> None:
        record = self._record
        record.outcome = outcome.result
        record.appointments = list(outcome.appointments)
        record.messages = list(outcome.messages)
        record.slots = dict(outcome.slots)
        record.transferred_to = outcome.transferred_to

    def _tell(self, **what: Any) -> None:
        event = CallEvent(
            call_id=self.call_id,
            sequence=self._sequence,
            started=self._record.started,
            caller=self._record.caller,
            **what,
        )
        self._sequence += 1
        self._live.send(event)

    def _use(self, component: Component, provider: str) -> ProviderUse:
        return self._uses.setdefault(
            (component, provider),
            ProviderUse(component=component, provider=provider, requests=0, failures=0, amount=0),
        )

    def _checkpoint(self) -> None:
        data, talk = self._json(), self._entry()
        self._write(lambda call: call.checkpoint(data, talk))

    def _entry(self) -> Entry | None:
        if self._talk is None:
            return None
        return Entry(
            self.call_id,
            self._room,
            self._record.caller,
            datetime.now(UTC),
            self._deaths,
            self.line_lost,
            self._talk(),
            self._record.client_id,
        )

    def _flush(self, side: Side) -> None:
        sound = self._sounds.pop(side)
        pcm = bytes(sound.pcm)
        self._write(lambda call: call.sound(side, pcm, sound.rate, sound.at))

    def _json(self) -> bytes:
        record = self._record
        record.duration_seconds = self.elapsed()
        record.providers = list(self._uses.values())
        record.latency = _median([t.latency for t in record.transcript if t.latency is not None])
        return record.model_dump_json(by_alias=True, exclude_none=True).encode()

    def _complete(self, call: OpenCall, talk: Entry | None) -> None:
        # Here, because the word list takes a moment to load, and nobody waits any more.
        from voicefleet_agent.records import sentiment

        spoken = [turn.text for turn in self._record.transcript if turn.speaker == "Caller"]
        self._record.sentiment = sentiment.judge(spoken)
        call.complete(self._json(), talk)

    def _write(self, work: Callable[[OpenCall], None]) -> Future[None]:
        """Have it done by the disk's thread, in order; what fails is logged and that is all."""

        def guarded() -> None:
            try:
                if self._open is None:
                    spool = Spool(self._spool)
                    spool.trim()
                    self._open = OpenCall(spool, self.call_id, again=self._again)
                work(self._open)
            except Exception as error:
                log.error(
                    "call record not written",
                    extra={
                        "action": "RecordNotWritten",
                        "callID": self.call_id,
                        "error": type(error).__name__,
                    },
                )

        return self._disk.submit(guarded)


class _Sound:
    """What has come of one side and is not written yet."""

    def __init__(self, rate: int, at: float) -> None:
        self.rate = rate
        self.at = at
        self.pcm = bytearray()

    @property
    def ends(self) -> float:
        return self.at + len(self.pcm) / 2 / self.rate


def _median(latencies: Sequence[StageLatencies]) -> StageLatencies:
    """By stage, over the turns in which it took place."""
    found = {}
    for stage in StageLatencies.model_fields:
        values = [value for each in latencies if (value := getattr(each, stage)) is not None]
        found[stage] = median(values) if values else None
    return StageLatencies(**found)
