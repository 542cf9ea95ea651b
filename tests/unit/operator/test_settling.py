"""What becomes of a voice that was asked for, and whose making nobody has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from support.clients import MARK, desired, voice
from voicefleet_api.meta import ConditionType, Operation
from voicefleet_api.voiceclient import VoiceClientStatus
from voicefleet_operator.drivers.errors import Ambiguous
from voicefleet_operator.execution.status import Journal, now, settled
from voicefleet_operator.execution.voices import clone_voice
from voicefleet_operator.planning.desired import Desired, nothing
from voicefleet_operator.planning.observed import ClonedVoice, Observed, cloned_voices
from voicefleet_operator.planning.plan import Action, ActionKind, Plan
from voicefleet_operator.reconcilers.settling import settle
from voicefleet_operator.world import Listed

pytestmark = pytest.mark.unit

SAMPLE = "a" * 64
LONG_AGO = "2026-01-01T00:00:00Z"
DOWN = ("VendorDown", "elevenlabs has not worked")


def context(wanted: Desired, started_at: str, listed: float = 0.0) -> Any:
    """A client with a voice in its journal, as far as `settle` looks.

    `listed`: seconds since the voices were listed.
    """
    operation = Operation(
        id="op-1",
        action=ActionKind.CLONE_VOICE,
        target="of sample",
        request={"sample": SAMPLE},
        started_at=started_at,
    )
    writer: Any = SimpleNamespace(status=VoiceClientStatus(operations=[operation]))
    world = SimpleNamespace(all_listed=list, billing={})
    voices = SimpleNamespace(age=listed, forgotten=0)

    def forget() -> None:
        voices.forgotten += 1

    voices.forget = forget
    return SimpleNamespace(
        writer=writer, journal=Journal(writer), desired=wanted, world=world, voices=voices
    )


WANTED, GONE = desired(voice=voice(SAMPLE)), nothing(MARK, "Now")
THERE = Observed(voices=(ClonedVoice("v", SAMPLE[:32], MARK),))
ANOTHER = Observed(voices=(ClonedVoice("v", "b" * 32, MARK),))


@pytest.mark.parametrize(
    ("wanted", "observed", "started_at", "left"),
    [
        (WANTED, THERE, None, 0),
        (WANTED, ANOTHER, None, 1),
        (WANTED, Observed(), LONG_AGO, 0),
        # The vendor could not be asked: time alone settles nothing.
        (WANTED, Observed(voices_unseen=DOWN), LONG_AGO, 1),
        (GONE, THERE, None, 0),
        (GONE, Observed(), LONG_AGO, 0),
    ],
)
async def test_it_is_settled_by_what_is_seen_and_by_time(
    wanted: Desired, observed: Observed, started_at: str | None, left: int
) -> None:
    ctx = context(wanted, started_at or now())
    await settle(ctx, observed, Plan())
    assert len(ctx.writer.status.operations) == left


async def test_a_listing_from_before_settles_nothing_and_is_made_anew() -> None:
    a_minute_ago = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    ctx = context(WANTED, a_minute_ago, listed=50.0)
    await settle(ctx, Observed(), Plan())
    assert ctx.writer.status.operations
    assert ctx.voices.forgotten == 1
    ctx.voices.age = 0.0
    await settle(ctx, Observed(), Plan())
    assert not ctx.writer.status.operations


@pytest.mark.parametrize(
    ("observed", "started_at"),
    [(Observed(), None), (ANOTHER, None), (Observed(voices_unseen=DOWN), LONG_AGO)],
)
async def test_a_client_is_not_let_go_while_a_voice_may_still_be_made(
    observed: Observed, started_at: str | None
) -> None:
    ctx = context(GONE, started_at or now())
    with pytest.raises(Ambiguous):
        await settle(ctx, observed, Plan())
    assert ctx.writer.status.operations


async def test_a_repeated_request_is_waited_for_like_the_first() -> None:
    ctx = context(WANTED, LONG_AGO)
    [operation] = ctx.writer.status.operations
    saved, sent = [], []

    async def save() -> None:
        saved.append(operation.started_at)

    async def confirm() -> None:
        pass

    async def nothing_there() -> Any:
        return cloned_voices([])

    async def clone(**_: Any) -> ClonedVoice:
        sent.append(saved[-1:])
        raise Ambiguous("ElevenLabsSilent", "no answer")

    ctx.writer.save, ctx.writer.confirm = save, confirm
    ctx.voices = Listed(SimpleNamespace(clone=clone), nothing_there)
    ctx.mark, ctx.recording, ctx.receptionist = MARK, b"fLaC", None
    action = Action(ActionKind.CLONE_VOICE, ConditionType.VOICE_READY, "of sample", "none yet")
    for reason in ("ElevenLabsSilent", "Unsettled"):
        with pytest.raises(Ambiguous, match=reason):
            await clone_voice(ctx, action)
    # That it is sent anew was written before it was sent.
    assert sent == [[operation.started_at]]
    assert not settled(operation)
