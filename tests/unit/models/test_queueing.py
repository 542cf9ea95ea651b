"""Whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from voicefleet_models.queueing import FairQueue, TooLate, TooMany

pytestmark = pytest.mark.unit


class Bench:
    """Turns on a queue, recorded in the order in which they were granted."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.served: list[str] = []
        self.go = asyncio.Event()

    def ask(
        self, client: str, name: str, seconds: float = 60, *, ahead: bool = False
    ) -> asyncio.Task[None]:
        deadline = asyncio.get_running_loop().time() + seconds

        async def turn() -> None:
            async with self.queue.turn(client, deadline, ahead=ahead):
                self.served.append(name)
                await self.go.wait()

        return asyncio.create_task(turn())


async def test_a_flood_of_one_client_delays_another_by_one_turn() -> None:
    bench = Bench(FairQueue(running=1, per_client=8))
    tasks = [bench.ask("flood", f"flood{number}") for number in range(6)]
    await asyncio.sleep(0)
    tasks += [bench.ask("other", "other0"), bench.ask("other", "other1")]
    await asyncio.sleep(0)
    bench.go.set()
    await asyncio.gather(*tasks)
    assert bench.served[:4] == ["flood0", "other0", "flood1", "other1"]


async def test_within_a_client_the_nearest_deadline_is_first() -> None:
    bench = Bench(FairQueue(running=1, per_client=8))
    tasks = [
        bench.ask("one", "first", 9),
        bench.ask("one", "later", 8),
        bench.ask("one", "soon", 2),
    ]
    await asyncio.sleep(0)
    bench.go.set()
    await asyncio.gather(*tasks)
    assert bench.served == ["first", "soon", "later"]


async def test_a_caller_goes_before_all_that_is_made_ahead() -> None:
    bench = Bench(FairQueue(running=1, per_client=8))
    tasks = [bench.ask("busy", "busy0")]
    tasks += [bench.ask(f"idle{number}", f"ahead{number}", 1, ahead=True) for number in range(3)]
    tasks += [bench.ask("busy", "ahead3", 1, ahead=True)]
    await asyncio.sleep(0)
    tasks += [bench.ask("busy", "busy1"), bench.ask("late", "late0")]
    await asyncio.sleep(0)
    bench.go.set()
    await asyncio.gather(*tasks)
    assert bench.served[:3] == ["busy0", "late0", "busy1"]
    assert sorted(bench.served[3:]) == ["ahead0", "ahead1", "ahead2", "ahead3"]


async def test_a_client_does_not_take_all_places_at_once() -> None:
    bench = Bench(FairQueue(running=2, per_client=8))
    tasks = [bench.ask("one", "one0"), bench.ask("one", "one1"), bench.ask("two", "two0")]
    await asyncio.sleep(0.01)
    assert bench.served == ["one0", "two0"]
    bench.go.set()
    await asyncio.gather(*tasks)


async def test_what_comes_too_late_is_dropped_and_never_run() -> None:
    bench = Bench(FairQueue(running=1, per_client=8))
    running, late = bench.ask("one", "one0"), bench.ask("two", "two0", 0.02)
    with pytest.raises(TooLate):
        await late
    bench.go.set()
    await running
    assert bench.served == ["one0"]


async def test_who_is_cancelled_gives_his_place_back() -> None:
    bench = Bench(FairQueue(running=1, per_client=8))
    running, waiting, last = (bench.ask(name, name) for name in ("one", "two", "three"))
    await asyncio.sleep(0)
    # The running one frees the place in the same moment in which the next has left the queue.
    running.cancel()
    waiting.cancel()
    bench.go.set()
    await last
    assert bench.served == ["one", "three"]


async def test_no_more_of_a_client_than_its_limit() -> None:
    queue = FairQueue(running=1, per_client=2)
    with queue.admitted("one"):
        with queue.admitted("one"), pytest.raises(TooMany), queue.admitted("one"):
            pass
        with queue.admitted("two"), queue.admitted("one"):
            pass
