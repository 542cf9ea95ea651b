"""Guards at the sandbox: what is refused never arrives there, and an unknown outcome stays one."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from integration.drivers.harness import FLEET, Sandbox
from voicefleet_operator.drivers.errors import Ambiguous, Throttled, VendorDown
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.planning.observed import Mark

pytestmark = pytest.mark.integration


def twilio(sandbox: Sandbox, guard: Guard) -> TwilioDriver:
    account = f"AC{secrets.token_hex(16)}"
    return TwilioDriver(
        account, auth_token="secret", base_url=sandbox.url, fleet_id=FLEET, guard=guard
    )


def stripe(sandbox: Sandbox, guard: Guard) -> StripeDriver:
    key = f"sk_test_{secrets.token_hex(12)}"
    return StripeDriver(key, base_url=sandbox.url, fleet_id=FLEET, guard=guard)


async def test_a_thousand_refusals_do_not_arrive_and_an_answer_closes_the_circuit(
    sandbox: Sandbox,
) -> None:
    driver, other = twilio(sandbox, Guard("twilio", failures=5, pause=5)), twilio(sandbox, Guard())
    await sandbox.fault("error", vendor="twilio", status=503, method="DELETE", times=5)
    for _ in range(5):
        with pytest.raises(Ambiguous):
            await driver.release_number("PN1")
    async with sandbox.watched() as requests:
        for _ in range(1000):
            with pytest.raises(VendorDown) as refused:
                await driver.release_number("PN1")
        await other.inventory()
    assert {r["method"] for r in requests} == {"GET"}
    await asyncio.sleep(refused.value.retry_after)
    await driver.release_number("PN1")
    await driver.inventory()
    await driver.close()
    await other.close()


@pytest.mark.parametrize("make", [stripe, twilio])
async def test_retry_after_holds_the_whole_account(sandbox: Sandbox, make: type) -> None:
    driver = make(sandbox, Guard())
    await sandbox.fault("throttle", method="GET", retryAfter=60)
    with pytest.raises(Throttled):
        await driver.inventory()
    async with sandbox.watched() as requests:
        with pytest.raises(Throttled) as refused:
            await driver.inventory()
    assert requests == []
    assert 30 < refused.value.retry_after <= 60
    await driver.close()


async def test_an_unknown_outcome_stays_unknown_when_its_repeat_is_refused(
    sandbox: Sandbox, mark: Mark
) -> None:
    driver = stripe(sandbox, Guard("stripe", failures=1))
    await sandbox.fault("drop", vendor="stripe", method="POST")
    with pytest.raises(Ambiguous, match="not worked since"):
        await driver.create_customer("op-1", mark=mark, name="Dentist", email=None)
    with pytest.raises(VendorDown):
        await driver.create_customer("op-2", mark=mark, name="Dentist", email=None)
    await driver.close()
