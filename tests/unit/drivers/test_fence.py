"""What changes something at a vendor asks the fence immediately before; what reads does not."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from voicefleet_operator.drivers.dns import DNSDriver
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.livekit import LiveKitDriver
from voicefleet_operator.drivers.runtime.guarded import GuardedRuntime
from voicefleet_operator.drivers.runtime.stub import StubRuntime
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.kube import NotLeader
from voicefleet_operator.planning.observed import Mark, UnitSpec

pytestmark = pytest.mark.unit

MARK = Mark("vf-1", "vc-1", "default", "dentist")
NOBODY = "http://127.0.0.1:1"
ACCOUNT = "AC" + "0" * 32


def closed() -> None:
    raise NotLeader


def fenced() -> Guard:
    return Guard(fence=closed)


def stripe(guard: Guard | None = None) -> StripeDriver:
    return StripeDriver("sk_test_x", base_url=NOBODY, fleet_id="vf-1", guard=guard or fenced())


def twilio() -> TwilioDriver:
    return TwilioDriver(ACCOUNT, auth_token="x", base_url=NOBODY, fleet_id="vf-1", guard=fenced())


def livekit() -> LiveKitDriver:
    return LiveKitDriver(NOBODY, "key", "s" * 32, fleet_id="vf-1", guard=fenced())


def dns() -> DNSDriver:
    return DNSDriver(
        server="127.0.0.1", port=1, zone="fleet.test", tsig_name="key.",
        tsig_algorithm="hmac-sha256", tsig_secret=base64.b64encode(b"x" * 32).decode(),
        fleet_id="vf-1", guard=fenced(),
    )  # fmt: skip


Call = Callable[[Any], Awaitable[Any]]


@pytest.mark.parametrize(
    ("make", "write", "read"),
    [
        (
            stripe,
            lambda d: d.create_customer("op-1", mark=MARK, name="Dentist", email=None),
            lambda d: d.get_customer("cus_1"),
        ),
        (twilio, lambda d: d.release_number("PN1"), lambda d: d.inventory()),
        (livekit, lambda d: d.delete_trunk("ST_1"), lambda d: d.inventory()),
        (
            dns,
            lambda d: d.create("dentist", target="192.0.2.1", ttl=60, mark=MARK),
            lambda d: d.inventory(),
        ),
    ],
    ids=["stripe", "twilio", "livekit", "dns"],
)
async def test_only_writes_are_fenced(make: Callable[[], Any], write: Call, read: Call) -> None:
    driver = make()
    with pytest.raises(NotLeader):
        await write(driver)
    with pytest.raises(VendorError):
        await read(driver)
    await driver.close()


async def test_each_repeat_by_the_sdk_asks_again() -> None:
    asked = 0

    def closes() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise NotLeader

    driver = stripe(Guard(fence=closes))
    with pytest.raises(NotLeader):
        await driver.create_customer("op-1", mark=MARK, name="Dentist", email=None)
    assert asked == 2
    await driver.close()


async def test_a_fenced_runtime_does_nothing() -> None:
    driver = StubRuntime()
    guarded = GuardedRuntime(driver, fenced())
    for write in (
        guarded.apply(UnitSpec("vc-1", MARK, "{}", 256, {})),
        guarded.configure("vc-1", "{}"),
        guarded.remove("vc-1"),
    ):
        with pytest.raises(NotLeader):
            await write
    assert await guarded.list() == {}
