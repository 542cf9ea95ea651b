"""Callers who come at the same moment to an agent that nobody has called yet; and what they leave
behind in its memory."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from support.stand_ins import Gateways

pytestmark = pytest.mark.integration

CALLERS = 5
TALK = 6.0
"""Seconds that a caller stays who has heard the greeting begin."""
TOGETHER = 15.0
"""The same, where the first must still be there when the fifth is, on a busy machine, too."""
PATIENCE = 20
"""Seconds until the greeting is given up. What it takes is measured by `make bench-density`; a test
may run on a busy machine."""
GROWTH_MIB = 2.0
"""What an agent may have grown by after ten calls, beside what its first five took."""


async def ring(call: Any, apart: float, talk: float) -> list[Any]:
    """So many callers, `apart` seconds one after the other; how it was for each."""

    async def caller(number: int) -> Any:
        await asyncio.sleep(number * apart)
        return await call({"sound": PATIENCE}, {"sleep": talk})

    calls = await asyncio.gather(*map(caller, range(CALLERS)), return_exceptions=True)
    assert not [call for call in calls if isinstance(call, BaseException)], calls
    return calls


async def test_five_who_ring_a_second_apart_are_all_greeted(
    agent: Any, call: Any, tones: Any
) -> None:
    most = 0

    async def count() -> None:
        nonlocal most
        while True:
            most = max(most, (await asyncio.to_thread(agent.health))["activeCalls"])
            await asyncio.sleep(0.1)

    async with Gateways(agent.models, speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        counting = asyncio.create_task(count())
        calls = await ring(call, apart=1.0, talk=TOGETHER)
        counting.cancel()
    print("first sound after", [heard.sounds()[0][0] for heard in calls])
    assert most == CALLERS
    greeting = 0.06 * len(agent.config["greeting"])
    for heard in calls:
        begin, end = heard.sounds(0.5)[0]
        assert end - begin == pytest.approx(min(greeting, TOGETHER), abs=1.0)


async def test_who_has_hung_up_is_not_waited_for(agent: Any, call: Any, tones: Any) -> None:
    """LiveKit's SIP bridge tells it, and then leaves the room; that is lost now and then."""
    async with Gateways(agent.models, speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        calling = asyncio.create_task(
            call({"sound": PATIENCE}, {"attributes": {"sip.callStatus": "hangup"}}, {"sleep": 12})
        )
        await agent.logged("CallEnded")
        # Not because the caller has left: it stays for a while.
        await asyncio.sleep(4)
        assert not calling.done()
        await calling
    assert '"reason": "caller left"' in agent.log()


def own_mib(worker: psutil.Process) -> float:
    """Memory that no file is behind, of the worker and what it forks calls from.

    Nobody else on the machine changes it, nor does it matter which pages are still shared.
    """
    processes = [worker, *worker.children(recursive=True)]
    return sum(m.rss - m.shared for m in (p.memory_info() for p in processes)) / 2**20


async def test_calls_leave_nothing_in_memory(agent: Any, call: Any, tones: Any) -> None:
    async def rung() -> tuple[float, int]:
        """Memory and descriptors after all have rung and hung up."""
        await ring(call, apart=0.2, talk=TALK)
        async with asyncio.timeout(60):
            while len(worker.children(recursive=True)) > idle:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return own_mib(worker), worker.num_fds()

    async with Gateways(agent.models, speak=tones):
        await agent.registered()
        await agent.logged("PhrasesReady")
        worker = psutil.Process(agent.process.pid)
        idle = len(worker.children(recursive=True))
        first = await rung()
        await rung()
        last = await rung()
    print(first, last)
    assert last[0] - first[0] < GROWTH_MIB
    assert last[1] <= first[1]
