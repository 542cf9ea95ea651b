"""Rate limits, pauses that a vendor asks for, and circuit breakers; each of one account."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Rejected,
    Throttled,
    Unavailable,
    VendorDown,
)
from voicefleet_operator.drivers.guard import Guard, Guards

pytestmark = pytest.mark.unit

DOWN = Unavailable("TwilioUnreachable", "refused")


async def ask(guard: Guard, error: Exception | None = None, status: int = 200) -> None:
    async with guard.request(writes=False) as answer:
        answer.status = status
        if error is not None:
            raise error


async def fail(guard: Guard, times: int, error: Exception = DOWN) -> None:
    for _ in range(times):
        with pytest.raises(type(error)):
            await ask(guard, error)


def breaker(pause: float = 30) -> Guard:
    return Guard("twilio", failures=3, pause=pause)


@pytest.mark.parametrize("how", [DOWN, Ambiguous("TwilioFailed", "no answer"), TimeoutError(), 503])
async def test_the_circuit_opens_after_failures_in_a_row(how: Exception | int) -> None:
    guard = breaker()
    for _ in range(3):
        if isinstance(how, int):
            await ask(guard, status=how)
        else:
            await fail(guard, 1, how)
    sent = 0
    for _ in range(1000):
        with pytest.raises(VendorDown) as refused:
            async with guard.request(writes=False):
                sent += 1
    assert sent == 0
    assert refused.value.reason == "VendorDown"
    assert "twilio has not worked since 20" in refused.value.message
    assert "tried again every 30 s" in refused.value.message
    assert 15 < refused.value.retry_after <= 30


@pytest.mark.parametrize("answer", [Rejected("InvalidRequest", "no"), Throttled("slowly", 0), None])
async def test_any_answer_ends_the_row(answer: Exception | None) -> None:
    guard = breaker()
    await fail(guard, 2)
    if answer is None:
        await ask(guard, status=404)
    else:
        await fail(guard, 1, answer)
    await fail(guard, 2)
    await ask(guard)


async def test_one_request_probes_and_closes_the_circuit() -> None:
    guard = breaker(pause=0.05)
    await fail(guard, 3)
    await asyncio.sleep(0.06)
    async with guard.request(writes=False):
        with pytest.raises(VendorDown):  # There is one probe at a time.
            await ask(guard)
    await ask(guard)


async def test_a_probe_that_fails_leaves_it_open() -> None:
    guard = breaker(pause=0.05)
    await fail(guard, 3)
    await asyncio.sleep(0.06)
    await fail(guard, 1)
    with pytest.raises(VendorDown):
        await ask(guard)


async def test_a_pause_that_the_vendor_asks_for_is_for_all_of_the_account() -> None:
    guards = Guards()
    main, other = guards.of("stripe", "one"), guards.of("stripe", "another")
    assert guards.of("stripe", "one") is main
    async with main.request(writes=True) as answer:
        answer.status, answer.headers = 429, {"Retry-After": "70"}
    with pytest.raises(Throttled) as refused:
        await ask(main)
    assert 35 < refused.value.retry_after <= 70
    await ask(other)


async def test_one_accounts_circuit_is_not_anothers() -> None:
    guards = Guards()
    await fail(guards.of("twilio", "AC1"), 10)
    with pytest.raises(VendorDown):
        await ask(guards.of("twilio", "AC1"))
    await ask(guards.of("twilio", "AC2"))
    await ask(guards.of("stripe", "AC1"))


async def test_requests_are_spread_over_time() -> None:
    guard, loop = Guard("stripe", rate=100), asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(ask(guard) for _ in range(50)))
    # A quarter of a second's worth goes at once.
    assert 0.2 < loop.time() - began < 1


async def test_only_live_accounts_have_a_rate() -> None:
    guard, loop = Guards().of("stripe", "sandbox"), asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(ask(guard) for _ in range(500)))
    assert loop.time() - began < 1
    assert Guards().of("stripe", "live", live=True)._limiter is not None


async def test_the_fence_is_asked_after_the_wait_for_a_turn() -> None:
    order: list[str] = []
    guard = Guard("stripe", rate=4, fence=lambda: order.append("fence"))
    await ask(guard)

    async def write() -> None:
        async with guard.request(writes=True):
            order.append("sent")

    task = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    assert order == []
    await task
    assert order == ["fence", "sent"]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_became_of_requests_is_counted() -> None:
    guard = Guard("counted", failures=2)
    await ask(guard)
    await fail(guard, 1, Rejected("InvalidRequest", "no"))
    await ask(guard, status=429)
    await fail(guard, 2)
    assert value("voicefleet_vendor_circuits_open", vendor="counted") == 1
    await fail(guard, 3, VendorDown("", 0))
    counted = {
        result: value("voicefleet_vendor_requests_total", vendor="counted", result=result)
        for result in ("answered", "throttled", "failed", "not_sent")
    }
    assert counted == {"answered": 2, "throttled": 1, "failed": 2, "not_sent": 3}
    assert value("voicefleet_vendor_request_seconds_count", vendor="counted") == 5
    guard._next_try = 0
    await ask(guard)
    assert value("voicefleet_vendor_circuits_open", vendor="counted") == 0
