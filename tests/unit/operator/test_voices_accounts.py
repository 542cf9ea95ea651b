"""Accounts for voices that are gone, or whose Secrets are of no use."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from support import manifests
from support.clients import MARK, desired, voice
from voicefleet_api.fleet import FleetSpec
from voicefleet_api.meta import ConditionType
from voicefleet_api.voiceclient import VoiceClientSpec, VoiceClientStatus, VoiceStatus
from voicefleet_operator.drivers.errors import Ambiguous
from voicefleet_operator.drivers.guard import Guards
from voicefleet_operator.execution.status import Journal
from voicefleet_operator.kube import KubeError
from voicefleet_operator.planning.desired import Desired, nothing
from voicefleet_operator.planning.health import findings
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.voices import voiced
from voicefleet_operator.reconcilers.observe import observe
from voicefleet_operator.world import Listed, World, add_voices, build_world

pytestmark = pytest.mark.unit

SAMPLE = "a" * 64
WHOLE = {"apiKey": "quiet", "speechKey": "quieter"}


def fleet(*accounts: str) -> FleetSpec:
    """A fleet with nothing but these accounts for voices."""
    voices = [
        {"name": name, "mode": "Sandbox", "secretRef": {"namespace": "system", "name": name}}
        for name in accounts
    ]
    made = manifests.fleet(
        voices={"accounts": voices} if voices else None, billing=None, telephony=None
    )
    return FleetSpec.model_validate(made["spec"])


def context(world: World, wanted: Desired, *, known: bool) -> Any:
    """A client of account "main", as far as `observe` looks."""
    consent = voice(SAMPLE).consent
    made = VoiceStatus(voice_id="v-1", sample_sha256=SAMPLE, consent=consent)
    writer: Any = SimpleNamespace(status=VoiceClientStatus(voice=made if known else None))
    return SimpleNamespace(
        store=SimpleNamespace(numbers_of=lambda _: []),
        mark=MARK,
        desired=wanted,
        spec=VoiceClientSpec.model_validate({"business": {"name": "Shop"}, "plan": "Pro"}),
        world=world,
        writer=writer,
        journal=Journal(writer),
    )


async def seen(ctx: Any) -> Observed:
    return await observe(ctx, activated=False, runtime_classes=set(), trusted_trunk=None)


async def test_an_account_without_its_keys_is_left_out_until_it_has_them() -> None:
    secrets = {"half": {"apiKey": "quiet"}, "whole": WHOLE}
    status = 404

    async def read(_: str, name: str) -> dict[str, str]:
        if name not in secrets:
            raise KubeError(status, f"{name} was not read")
        return secrets[name]

    world = await build_world("vf-aaaaaaaa", fleet("gone", "half", "whole"), read)
    assert list(world.voices) == list(world.speech_keys) == ["whole"]
    assert "gone was not read" in world.unusable["gone"]
    assert "'speechKey'" in world.unusable["half"]
    status = 503
    with pytest.raises(KubeError, match="503"):
        await add_voices(world, read, Guards())
    secrets |= {"gone": WHOLE, "half": WHOLE}
    await add_voices(world, read, Guards())
    assert sorted(world.voices) == ["gone", "half", "whole"]
    assert not world.unusable
    await world.close()


async def test_a_voice_waits_for_its_accounts_secret_and_calls_do_not() -> None:
    world = World("vf-aaaaaaaa", fleet("main"), unusable={"main": "there is no Secret"})
    wanted = desired(voice=voice(SAMPLE), billing=None, telephony=None, name=None)
    observed = await seen(context(world, wanted, known=True))
    found = {f.type: f for f in findings(wanted, observed, plan(wanted, observed), [])}
    assert found[ConditionType.VOICE_READY].reason == "SecretNotUsable"
    assert found[ConditionType.VOICE_READY].message == "there is no Secret"
    # Without a key the agent speaks with the pipeline's voices alone.
    assert voiced(wanted, observed) == wanted.unit


async def test_a_voice_in_an_account_that_is_gone_is_not_forgotten() -> None:
    world, gone = World("vf-aaaaaaaa", fleet()), nothing(MARK, "Now")
    observed = await seen(context(world, gone, known=True))
    assert [v.id for v in observed.voices] == ["v-1"]
    assert [wait.reason for wait in plan(gone, observed).waits] == ["AccountNotFound"]
    assert not plan(gone, await seen(context(world, gone, known=False))).waits


class Silent:
    """A vendor whose listing fails, once it is let."""

    def __init__(self) -> None:
        self.tries = 0
        self.asked, self.fails = asyncio.Event(), asyncio.Event()
        self.fails.set()

    async def list_all(self) -> None:
        self.tries += 1
        self.asked.set()
        await self.fails.wait()
        raise Ambiguous("ElevenLabsSilent", "no answer")


async def test_a_listing_that_failed_rests_for_everybody() -> None:
    vendor = Silent()
    listed = Listed(None, vendor.list_all, rest=60.0)
    for _ in range(3):
        with pytest.raises(Ambiguous):
            await listed.listing()
        listed.forget()
    assert vendor.tries == 1


async def test_only_one_waits_while_a_failed_listing_is_tried_again() -> None:
    vendor = Silent()
    listed = Listed(None, vendor.list_all, rest=1e-9)
    with pytest.raises(Ambiguous):
        await listed.listing()
    vendor.asked.clear()
    vendor.fails.clear()
    waiting = asyncio.create_task(listed.listing())
    await vendor.asked.wait()
    with pytest.raises(Ambiguous):
        await asyncio.wait_for(listed.listing(), 5.0)
    assert not waiting.done()
    vendor.fails.set()
    with pytest.raises(Ambiguous):
        await waiting
