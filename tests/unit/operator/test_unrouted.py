"""What of a number's way is taken back when a client gives it up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from support.manifests import phone_number
from voicefleet_api.phonenumber import PhoneNumberSpec
from voicefleet_operator.planning.ingress import hosted
from voicefleet_operator.planning.observed import CarrierNumber, CarrierTrunk, TelephonyInventory
from voicefleet_operator.reconcilers.phonenumber import _Pass

pytestmark = pytest.mark.unit

OURS, THEIRS = hosted("<Response/>"), "https://voice.example/answer"
FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"
VOICE = {"voice_url": "", "voice_fallback_url": ""}


@pytest.mark.parametrize(
    ("source", "held", "cleared"),
    [
        ("Purchase", {"trunk_sid": "TK1"}, {"trunk_sid": ""}),
        ("Purchase", {"voice_url": OURS, "voice_fallback_url": FORWARD}, VOICE),
        ("Purchase", {"voice_url": THEIRS, "voice_fallback_url": THEIRS}, VOICE),
        ("Existing", {"trunk_sid": "TK1"}, {"trunk_sid": ""}),
        ("Existing", {"voice_url": OURS, "voice_fallback_url": FORWARD}, VOICE),
        ("Existing", {"voice_url": THEIRS, "voice_fallback_url": THEIRS}, {}),
        ("Existing", {"trunk_sid": "TK2"}, {}),
    ],
)
async def test_ways_of_ours_are_taken_back(
    source: str, held: dict[str, str], cleared: dict[str, str]
) -> None:
    listing = TelephonyInventory()
    listing.trunks["TK1"] = CarrierTrunk("TK1", "voicefleet/f/c", "", None, ())

    async def listed() -> TelephonyInventory:
        return listing

    run: Any = _Pass.__new__(_Pass)
    run.telephony = SimpleNamespace(listing=listed)
    manifest = phone_number(source=source, request=None, e164="+14155550100")
    run.spec = PhoneNumberSpec.model_validate(manifest["spec"])
    way = {"trunk_sid": None, "voice_url": None, **held}
    number = CarrierNumber("PN1", "+14155550100", "front desk", **way)  # type: ignore[arg-type]
    assert await run._unrouted(number) == cleared
