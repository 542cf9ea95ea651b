"""One call, from the dispatch to the moment the caller is gone.

It runs in a job's process. No `AgentSession`: nothing listens yet, and a session would bring
voice activity detection, a transcriber and their memory into every pod. The dialogue of a later
form takes over where the greeting ends.
"""

from __future__ import annotations

import asyncio
import logging
import time

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext

from voicefleet_agent import greetings
from voicefleet_agent.logs import LOGGER
from voicefleet_agent.settings import Settings, read_config
from voicefleet_agent.speech import SAMPLE_RATE

CALLER_TIMEOUT = 20.0
"""Seconds until a room with nobody in it, or without a media path, is given up.

Callers ring for less."""
ANSWER_TIMEOUT = 5.0
"""Seconds for LiveKit SIP to finish the SIP handshake once it has our track."""
FRAME_SAMPLES = SAMPLE_RATE // 50

# LiveKit SIP's own attribute on the caller (livekit/sip, pkg/sip/participant.go): "ringing",
# then "active" once the caller's side has acknowledged the answer. What is played earlier is lost.
CALL_STATUS = "sip.callStatus"

log = logging.getLogger(LOGGER)


async def answer(ctx: JobContext) -> None:
    """Greet the caller and stay until one side ends the call."""
    begun = time.monotonic()
    settings = Settings.from_env()
    config = read_config(settings.config)
    log.info("call dispatched", extra={"action": "CallDispatched"})
    # Made ahead as a rule; where the words are brand-new this runs beside connecting.
    speech = asyncio.create_task(_greeting(settings, config.greeting))
    reason = "failed"
    try:
        async with asyncio.timeout(settings.max_call_seconds):
            reason = await _talk(ctx, speech, begun)
    except TimeoutError:
        reason = "maximum length"
        # Leaving is not enough: LiveKit SIP keeps the caller in a room without an agent.
        await ctx.delete_room()
    finally:
        speech.cancel()
        log.info(
            "call ended",
            extra={"action": "CallEnded", "reason": reason, "seconds": _seconds_since(begun)},
        )
        ctx.shutdown(reason)


async def _talk(ctx: JobContext, speech: asyncio.Task[bytes], begun: float) -> str:
    """The call itself; says why it ended."""
    gone = asyncio.Event()
    ctx.room.on("disconnected", lambda *_: gone.set())
    try:
        async with asyncio.timeout(CALLER_TIMEOUT):
            await ctx.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE)
    except TimeoutError:
        return "no media connection"
    source = rtc.AudioSource(SAMPLE_RATE, 1)
    publishing = asyncio.create_task(
        ctx.room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("voice", source),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )
    )
    try:
        async with asyncio.timeout(CALLER_TIMEOUT):
            caller = await ctx.wait_for_participant()
    except TimeoutError:
        return "no caller"
    ended = asyncio.create_task(_until_gone(ctx.room, caller, gone))
    greeted = asyncio.create_task(_greet(ctx.room, source, publishing, caller, speech))
    try:
        await asyncio.wait({ended, greeted}, return_when=asyncio.FIRST_COMPLETED)
        if greeted.done():
            spoke_at = greeted.result()
            log.info(
                "greeted",
                extra={"action": "Greeted", "firstSoundSeconds": round(spoke_at - begun, 3)},
            )
        await ended
        return "caller left"
    finally:
        # A caller who is gone before the media connection stands has no reason to be waited for.
        for task in (ended, greeted, publishing):
            task.cancel()
        await source.aclose()


async def _greet(
    room: rtc.Room,
    source: rtc.AudioSource,
    publishing: asyncio.Task[rtc.LocalTrackPublication],
    caller: rtc.RemoteParticipant,
    speech: asyncio.Task[bytes],
) -> float:
    """Say the first words once the caller can hear them; returns when sound began (monotonic)."""
    await (await publishing).wait_for_subscription()
    await _until_answered(room, caller)
    pcm = await speech
    begun = time.monotonic()
    step = FRAME_SAMPLES * 2
    for at in range(0, len(pcm), step):
        block = pcm[at : at + step].ljust(step, b"\0")
        await source.capture_frame(rtc.AudioFrame(block, SAMPLE_RATE, 1, FRAME_SAMPLES))
    await source.wait_for_playout()
    return begun


async def _until_answered(room: rtc.Room, caller: rtc.RemoteParticipant) -> None:
    """Wait for the SIP call to be up; others (a browser, a test) are heard at once."""
    if caller.kind != rtc.ParticipantKind.PARTICIPANT_KIND_SIP:
        return
    changed = asyncio.Event()

    def on_change(*_: object) -> None:
        changed.set()

    room.on("participant_attributes_changed", on_change)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            while caller.attributes.get(CALL_STATUS) != "active":
                changed.clear()
                await changed.wait()
    except TimeoutError:
        log.warning("no sign that the call is up; speaking", extra={"action": "AnswerUnknown"})
    finally:
        room.off("participant_attributes_changed", on_change)


async def _until_gone(room: rtc.Room, caller: rtc.RemoteParticipant, gone: asyncio.Event) -> None:
    """Return when the caller has hung up or the room is closed."""

    def on_left(participant: rtc.RemoteParticipant) -> None:
        if participant.identity == caller.identity:
            gone.set()

    room.on("participant_disconnected", on_left)
    if caller.identity not in room.remote_participants:
        gone.set()
    await gone.wait()


async def _greeting(settings: Settings, text: str) -> bytes:
    return greetings.load(await greetings.ensure(settings.greetings, text))


def _seconds_since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)
