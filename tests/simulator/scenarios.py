"""The stories that are told with every fault at every request."""

from __future__ import annotations

import asyncio

from simulator.branches import Scenario
from simulator.world import World, numbers

_BUY = "twilio POST */IncomingPhoneNumbers.json"


async def _client(world: World) -> None:
    world.apply("a")


async def _two_numbers(world: World) -> None:
    world.apply("a", telephony=numbers("main", "second"))


async def _suspended(world: World) -> None:
    world.apply("a")
    await asyncio.sleep(30)
    world.apply("a", suspend=True)


async def _upgrade(world: World) -> None:
    world.apply("a", plan="Large")


async def _large(world: World) -> None:
    world.apply("a", plan="Large")


async def _downgrade(world: World) -> None:
    world.apply("a", plan="Small")


async def _one_number(world: World) -> None:
    world.apply("a", telephony=numbers("main"))


async def _prompt(world: World) -> None:
    world.greet("words", "Good morning")


async def _suspend(world: World) -> None:
    world.apply("a", suspend=True)


async def _resume(world: World) -> None:
    world.apply("a", suspend=False)


async def _delete(world: World) -> None:
    world.delete("a")


async def _delete_while_creating(world: World) -> None:
    world.apply("a")
    await world.until(_BUY)
    world.delete("a")


async def _again_under_one_name(world: World) -> None:
    world.apply("a")
    await asyncio.sleep(100)
    world.delete("a")
    await asyncio.sleep(100)
    world.apply("a")


async def _race(world: World) -> None:
    world.apply("a")
    world.apply("b")


async def _edit_while_applied(world: World) -> None:
    world.apply("a")
    await world.until("stripe POST /v1/subscriptions")
    world.apply("a", plan="Large", telephony=numbers("main", "second"))


async def _cancelled(world: World) -> None:
    world.cancel_in_stripe()
    world.apply("a", plan="Large")


async def _released(world: World) -> None:
    world.release_in_twilio()
    world.apply("a", suspend=True)


SCENARIOS = [
    Scenario("create", _client),
    Scenario("upgrade", _upgrade, before=_client),
    Scenario("downgrade", _downgrade, before=_large),
    Scenario("add a number", _two_numbers, before=_client),
    Scenario("remove a number", _one_number, before=_two_numbers),
    Scenario("change the prompt", _prompt, before=_client),
    Scenario("suspend", _suspend, before=_client),
    Scenario("resume", _resume, before=_suspended),
    Scenario("delete", _delete, before=_client),
    Scenario("delete while creating", _delete_while_creating),
    Scenario("create, delete, create under one name", _again_under_one_name),
    Scenario("edit while the previous generation is applied", _edit_while_applied),
]
