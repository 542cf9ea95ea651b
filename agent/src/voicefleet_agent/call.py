"""One call, from the dispatch to the moment one side ends it. It runs in a job's process.

Not an `AgentSession`: who speaks when is decided by `turns`, what is said by the dialogue, and a
pod must not hold the models and threads that a session brings.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext

from voicefleet_agent import ahead, line, overflow, talk, tally, transfer
from voicefleet_agent.audio import SAMPLE_RATE
from voicefleet_agent.caller import (
    CALLED_NUMBER,
    CALLER_NUMBER,
    ENDED,
    first_caller,
    hang_up,
    hear,
    settle,
    until_answered,
    until_gone,
)
from voicefleet_agent.conversation import Conversation, Ending
from voicefleet_agent.listening import Ears
from voicefleet_agent.live import Live
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.phrases import Phrases
from voicefleet_agent.records import Entry, Journal, Recorder
from voicefleet_agent.records.journal import DEATHS
from voicefleet_agent.settings import Settings, read_timing
from voicefleet_agent.speaking import QUEUE_MS, Mouth
from voicefleet_api.callers import caller_in
from voicefleet_api.calls import CallRecord
from voicefleet_api.phonenumber import dialled
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.replies import Break
from voicefleet_dialogue.state import Outcome, Saved

CALLER_TIMEOUT = 20.0
"""Seconds until a room with nobody in it, or without a media path, is given up.

Callers ring for less."""
LOST_TIMEOUT = 2.0
"""Seconds to find the caller whose call has lost its process: who is not there has hung up."""
QUIET_LINE = 3.0
"""Seconds without anything from the caller's telephone until another call of theirs is believed,"""
DEAD_LINE = 15.0
"""and until this one is over; LiveKit SIP waits as long, where it is there itself."""

_NO_MEDIA = "no media connection"
_LATE = "the overflow agent took the call"
_NEVER_TALKED = ("failed", _NO_MEDIA, _LATE)
"""Why a call ended, where the caller heard nothing and it is our fault."""

log = logging.getLogger(LOGGER)


async def answer(ctx: JobContext) -> None:
    """Talk with the caller until one side ends the call."""
    begun = time.monotonic()
    settings = Settings.from_env()
    client = overflow.client_of(ctx.job.metadata)
    if client is not None:
        settings = overflow.at_desk(settings, client)
    live = Live(settings, caller_in(ctx.job.room.name))
    log.info("call dispatched", extra={"action": "CallDispatched"})
    reason = "failed"
    call = _Call(ctx, settings, live, begun)
    try:
        reason = await call.run()
    finally:
        await live.aclose()
        _count(settings, ctx.job.id, reason, call.record)
        log.info(
            "call ended",
            extra={"action": "CallEnded", "reason": reason, "seconds": _seconds_since(begun)},
        )
        ctx.shutdown(reason)


def _count(settings: Settings, job_id: str, reason: str, record: CallRecord | None) -> None:
    failed = reason in _NEVER_TALKED or (record is not None and not record.success)
    answer_ms = record.latency.total if record is not None else None
    try:
        tally.note(settings.tally, job_id, failed=failed, answer_ms=answer_ms)
    except OSError as error:
        log.error("call not counted", extra={"action": "NotCounted", "error": type(error).__name__})


class _Call:
    def __init__(self, ctx: JobContext, settings: Settings, live: Live, begun: float) -> None:
        self._ctx = ctx
        self._live = live
        self._begun = begun
        self._made = Phrases(settings.phrases)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recorder: Recorder | None = None
        self._conversation: Conversation | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._dialogue: Dialogue | None = None
        self._settings = settings
        self._journal = Journal(settings.spool)
        self._lost = _read(lambda: self._journal.of_room(ctx.room.name))
        """The talk in this room, which another process had begun."""
        self._gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """The caller is; True: against their will."""
        self._cut_off = False
        self.record: CallRecord | None = None
        """Once it is over."""

    async def run(self) -> str:
        """The call itself; says why it ended."""
        reason = "failed"
        try:
            async with asyncio.timeout(self._settings.max_call_seconds):
                reason = await self._run()
        except TimeoutError:
            reason = "maximum length"
            await hang_up(self._ctx)
        except asyncio.CancelledError:
            # The worker is gone; the next one goes on with the call, and with its record.
            self._recorder = None
            raise
        finally:
            if self._recorder is not None and self._dialogue is not None:
                self._recorder.state("Logging")
                self.record = self._recorder.finish(
                    reason, self._dialogue.outcome, cut_off=self._cut_off
                )
        return reason

    async def _run(self) -> str:
        ctx = self._ctx
        ctx.room.on("disconnected", lambda reason: settle(self._gone, reason not in ENDED))
        # Made ahead as a rule; where the words are brand-new this runs beside connecting.
        greeting = self._start(
            ahead.speak_somehow(
                self._made,
                self._live.providers.speaker.preferred,
                self._live.config.opening,
                self._live.config.locale,
            )
        )
        try:
            async with asyncio.timeout(CALLER_TIMEOUT):
                await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
        except TimeoutError:
            return _NO_MEDIA
        if overflow.is_taken(ctx.room, self._live.config.overflow):
            return "the client's agent took the call" if self._live.config.overflow else _LATE
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=QUEUE_MS)
        publishing = self._start(
            ctx.room.local_participant.publish_track(
                rtc.LocalAudioTrack.create_audio_track("voice", source),
                rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
            )
        )
        try:
            async with asyncio.timeout(LOST_TIMEOUT if self._lost else CALLER_TIMEOUT):
                caller = await first_caller(ctx.room)
        except TimeoutError:
            return "no caller"
        left = self._start(until_gone(ctx.room, caller, self._gone))
        talking = self._start(self._talk(source, caller, publishing, greeting))
        try:
            claimed = self._start(self._until_claimed())
            while True:
                await asyncio.wait({left, talking, claimed}, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    dead = self._recorder is not None and self._recorder.line_lost
                    self._cut_off = left.result() or dead
                    if not self._cut_off:
                        return "caller left"
                    await hang_up(ctx)
                    return "line lost"
                if claimed.done():
                    await hang_up(ctx)
                    return "went on in another call"
                ending = talking.result()
                if (reason := await self._finish(ending, caller, left)) is not None:
                    return reason
                assert self._conversation is not None
                talking = self._start(self._conversation.unreached(ending.reason))
        finally:
            # A caller who is gone before the media connection stands has no reason to be waited
            # for.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await source.aclose()

    async def _talk(
        self,
        source: rtc.AudioSource,
        caller: rtc.RemoteParticipant,
        publishing: asyncio.Task[rtc.LocalTrackPublication],
        greeting: asyncio.Task[None],
    ) -> Ending:
        number = caller.attributes.get(CALLER_NUMBER)
        saved, after = self._taken_up(number)
        dialogue = talk.begin(self._live, self._settings, number, saved)
        record = Recorder(
            self._settings,
            self._live.config,
            caller=number,
            called=caller.attributes.get(CALLED_NUMBER),
            variant=self._live.config.variant(caller_in(self._ctx.job.room.name)),
            room=self._ctx.room.name,
            talk=lambda: dialogue.saved,
            lost=self._lost,
        )
        self._live.meter = record
        self._recorder, self._dialogue = record, dialogue
        conversation: Conversation
        mouth = Mouth(source, lambda utterance: conversation.sounds(utterance))
        conversation = Conversation(
            dialogue,
            self._live.look,
            lambda text: ahead.find(self._made, self._live.providers.speaker, text),
            mouth,
            record,
            fallback=self._live.config.forward_to,
            timing=read_timing(self._settings.models),
        )

        recorded = self._live.config.disclosure is not None

        def sound(heard: bytes, said: bytes) -> None:
            if recorded:
                record.audio("caller", heard, SAMPLE_RATE)
                record.audio("agent", said, SAMPLE_RATE)

        ears = Ears(mouth.reference, conversation.window, sound)
        conversation.hears(ears)
        self._conversation = conversation
        await (await publishing).wait_for_subscription()
        await until_answered(self._ctx.room, caller)
        try:
            if after != "lost":
                await greeting
        except (ahead.SpeechFailed, OSError) as error:
            # Better a person, or an end, than silence.
            log.error("no greeting", extra={"action": "VoiceFailed", "error": type(error).__name__})
            person = self._live.config.forward_to
            return Ending("Transfer" if person else "Failed", "no voice speaks", person)
        self._start(self._live.providers.brief(dialogue.briefing()))
        self._start(mouth.run())
        self._hearing = self._start(hear(self._ctx.room, caller, ears))

        def silent(seconds: float) -> None:
            # Noticed before LiveKit is sure of it.
            if caller.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP:
                record.line(lost=seconds >= QUIET_LINE)
                if seconds >= DEAD_LINE:
                    settle(self._gone, True)

        self._start(line.watch(self._ctx.room, record.quality, silent))
        log.info(
            "greeted",
            extra={"action": "Greeted", "firstSoundSeconds": _seconds_since(self._begun)},
        )

        def on_key(dtmf: rtc.SipDTMF) -> None:
            if dtmf.participant is not None and dtmf.participant.identity == caller.identity:
                conversation.key(dtmf.digit)

        self._ctx.room.on("sip_dtmf_received", on_key)
        if self._lost is not None and self._lost.deaths + 1 >= DEATHS:
            return await conversation.give_up("agent ended")
        return await conversation.run(after)

    def _taken_up(self, number: str | None) -> tuple[Saved | None, Break | None]:
        """The talk to go on with: of this call, or of one in which the caller was cut off."""
        if self._lost is not None:
            return self._lost.talk, "lost"
        client_id = self._live.config.client_id
        before = _read(lambda: self._journal.claim(number, client_id)) if number else None
        if before is None:
            return None, None
        log.info("talk taken up", extra={"action": "TalkTakenUp", "before": before.call_id})
        # What came of that call stands in its own record.
        return replace(before.talk, outcome=Outcome(slots=before.talk.outcome.slots)), "cut_off"

    async def _until_claimed(self) -> None:
        """Return when the caller has rung again: this line is dead."""
        while True:
            await asyncio.sleep(1)
            if self._recorder is not None and self._recorder.claimed:
                return

    async def _finish(
        self, ending: Ending, caller: rtc.RemoteParticipant, left: asyncio.Task[bool]
    ) -> str | None:
        """Connect the caller elsewhere, or hang up; None where the talk goes on instead."""
        assert self._recorder is not None
        assert self._dialogue is not None
        outcome = self._dialogue.outcome
        if ending.kind == "Transfer" and ending.number is not None:
            self._recorder.state("Transferring")
            connected = await self._connect(ending, ending.number, caller, left)
            if connected is not None:
                outcome.transferred_to = ending.number
                if outcome.result in ("HungUp", "Answered"):
                    outcome.result = "Transferred"
                if connected == "Call":
                    await self._stand_by(caller)
                return "transferred"
            if self._dialogue.state.phase == "Ended":
                return None
            # The talk itself is broken: there is nothing to come back to.
            outcome.transferred_to = None
        if ending.kind != "End" and outcome.result in ("HungUp", "Answered", "Transferred"):
            outcome.result = "Failed"
        await hang_up(self._ctx)
        return ending.reason

    async def _connect(
        self,
        ending: Ending,
        phone: str,
        caller: rtc.RemoteParticipant,
        left: asyncio.Task[bool],
    ) -> Literal["Call", "Refer"] | None:
        """With a person, by our call where that is wanted or needed; how it succeeded.

        An extension is only for us to press: where we are refused the carrier is not asked.
        """
        if caller.kind != rtc.ParticipantKind.PARTICIPANT_KIND_SIP:
            log.warning("only a phone call can be transferred", extra={"action": "NoTransfer"})
            return None
        config, dialogue, conversation = self._live.config, self._dialogue, self._conversation
        number, extension = dialled(phone)
        trunk = config.outbound_trunk if config.transfer == "Warm" or extension else None
        if trunk is not None and conversation is not None and dialogue is not None:
            told = dialogue.handover(ending.reason)
            reached = await transfer.call(
                self._ctx, caller, left, phone, trunk, lambda: conversation.tell(told)
            )
            if reached != "Refused":
                return "Call" if reached == "Connected" else None
        if extension:
            return None
        reached = await transfer.refer(self._ctx, caller, number)
        return "Refer" if reached == "Connected" else None

    async def _stand_by(self, caller: rtc.RemoteParticipant) -> None:
        """Caller and person talk with each other: nobody listens, and both hang up with one."""
        assert self._recorder is not None
        assert self._dialogue is not None
        if self._hearing is not None:
            self._hearing.cancel()
        self._recorder.progress(self._dialogue.outcome)
        await transfer.until_one_leaves(self._ctx.room, caller)
        await hang_up(self._ctx)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task


def _read(find: Callable[[], Entry | None]) -> Entry | None:
    """Nothing where the disk fails: the talk begins anew."""
    try:
        return find()
    except OSError as error:
        log.error(
            "journal not read",
            extra={"action": "JournalNotRead", "error": type(error).__name__},
        )
        return None


def _seconds_since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)
