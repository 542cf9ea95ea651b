"""The queue: once in it, never twice at work, no change lost, back-off by key."""

from __future__ import annotations

import asyncio

import pytest

from voicefleet_operator.workqueue import Key, WorkQueue

pytestmark = pytest.mark.unit

A, B = Key("VoiceClient", "default", "a"), Key("VoiceClient", "default", "b")


async def test_a_key_stands_in_the_queue_once() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert [await queue.get(), await queue.get()] == [A, B]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.01)


async def test_a_change_during_the_work_is_worked_on_afterwards() -> None:
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    queue.add(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.01)
    queue.done(key)
    assert await queue.get() == A


async def test_back_off_grows_by_key_and_ends_with_success() -> None:
    queue = WorkQueue(base_delay=0.01, max_delay=0.04)
    delays = [queue.add_failed(A) for _ in range(5)]
    assert delays[0] <= 0.01
    assert 0.02 <= delays[-1] <= 0.04
    assert queue.add_failed(B) <= 0.01
    queue.forget(A)
    assert queue.add_failed(A) <= 0.01
    assert queue.add_failed(A, at_least=3) == 3


async def test_an_edit_does_not_wait_for_the_back_off() -> None:
    queue = WorkQueue()
    queue.add_failed(A, at_least=60)
    queue.add(A)
    assert await asyncio.wait_for(queue.get(), 30) == A


async def test_what_is_new_does_not_wait_for_what_is_broken() -> None:
    queue = WorkQueue(base_delay=0.0)
    broken = [Key("VoiceClient", "default", f"broken-{i}") for i in range(1000)]
    for key in broken:
        queue.add_failed(key)
    await asyncio.sleep(0.05)
    healthy = Key("VoiceClient", "default", "healthy")
    queue.add(healthy)
    assert healthy in [await queue.get() for _ in range(2)]


async def test_what_is_broken_keeps_its_share() -> None:
    queue = WorkQueue(base_delay=0.0)
    broken = Key("VoiceClient", "default", "broken")
    queue.add_failed(broken)
    await asyncio.sleep(0.01)
    for i in range(100):
        queue.add(Key("VoiceClient", "default", f"new-{i}"))
    assert broken in [await queue.get() for _ in range(8)]


async def test_drained_it_gives_nothing_out_and_waits_for_what_is_at_work() -> None:
    queue = WorkQueue()
    queue.add(A)
    key = await queue.get()
    drained = asyncio.create_task(queue.drain())
    queue.add(B)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.05)
    assert not drained.done()
    queue.done(key)
    await asyncio.wait_for(drained, 30)


async def test_the_oldest_key_is_the_one_that_waits_longest() -> None:
    queue = WorkQueue()
    assert queue.oldest() == 0
    queue.add(A)
    await asyncio.sleep(0.05)
    queue.add(B)
    assert queue.oldest() >= 0.05
    queue.done(await queue.get())
    assert queue.oldest() < 0.05
