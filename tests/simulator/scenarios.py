"""The stories that are told with every fault at every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from simulator.branches import Scenario
from simulator.vendors import BAD_WORDS
from simulator.world import SWEEP, Fault, World, numbers

_BUY = "twilio POST */IncomingPhoneNumbers.json"


async def _client(world: World) -> None:
    world.apply("a")


async def _client_and_sweep(world: World) -> None:
    world.apply("a")
    await asyncio.sleep(SWEEP)


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


async def _warm(world: World) -> None:
    world.apply("a", telephony={"transfer": "Warm"})


async def _refer(world: World) -> None:
    world.apply("a", telephony={"transfer": "Refer"})


async def _encrypted(world: World) -> None:
    await _warm(world)
    await asyncio.sleep(30)
    world.encrypt(True)


async def _encrypt(world: World) -> None:
    world.encrypt(True)


async def _decrypt(world: World) -> None:
    world.encrypt(False)


async def _voice(world: World) -> None:
    world.apply("a", telephony={"ingress": "ProgrammableVoice", "transfer": "Warm"})


async def _trunk(world: World) -> None:
    world.apply("a", telephony={"ingress": "Trunk"})


async def _prompt(world: World) -> None:
    world.greet("words", "Good morning")


def _rolled_out(strategy: str) -> Callable[[World], Awaitable[None]]:
    async def apply(world: World) -> None:
        world.apply("a", rollout={"strategy": strategy, "words": "RollOut"})

    return apply


async def _twice(world: World) -> None:
    await _prompt(world)
    await asyncio.sleep(100)
    world.greet("words", "Good afternoon")


async def _bad_words(world: World) -> None:
    world.greet("words", BAD_WORDS)


async def _delete_in_a_rollout(world: World) -> None:
    await _prompt(world)
    await world.until("runtime apply")
    world.delete("a")


async def _suspend(world: World) -> None:
    world.apply("a", suspend=True)


async def _resume(world: World) -> None:
    world.apply("a", suspend=False)


async def _own_voice(world: World) -> None:
    world.own_voice("one")


async def _client_with_voice(world: World) -> None:
    world.apply("a")
    await asyncio.sleep(30)
    world.own_voice("one")


async def _other_recording(world: World) -> None:
    world.own_voice("two")
    # Secrets are not watched: the next look at everything sees it.
    await asyncio.sleep(SWEEP)


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
    await asyncio.sleep(SWEEP)


async def _released(world: World) -> None:
    world.release_in_twilio()
    await asyncio.sleep(SWEEP)


async def _nothing(world: World) -> None:
    pass


async def _first_start(world: World) -> None:
    world.begin()


async def _restart(world: World) -> None:
    world.restart()


def _loser(world: World) -> dict[str, str]:
    """Of two clients and one number, whoever did not get it."""
    without = [o for o in world.kube.all("phonenumbers") if not o["status"].get("e164")]
    return {o["spec"]["claimRef"]["name"]: "NoNumbersAvailable" for o in without}


SCENARIOS = [
    Scenario("first start", _first_start),
    Scenario("restart", _restart, before=_client),
    Scenario("create", _client, before=_nothing),
    Scenario("upgrade", _upgrade, before=_client),
    Scenario("downgrade", _downgrade, before=_large),
    Scenario("add a number", _two_numbers, before=_client),
    Scenario("remove a number", _one_number, before=_two_numbers),
    Scenario("change the prompt", _prompt, before=_client),
    Scenario("roll out blue-green, twice", _twice, before=_rolled_out("BlueGreen")),
    Scenario("roll out by a canary", _prompt, before=_rolled_out("Canary")),
    Scenario(
        "roll out what is bad", _bad_words, _rolled_out("Canary"),
        lambda _world: {"a": "RolledBack"},
    ),
    Scenario("delete in a rollout", _delete_in_a_rollout, before=_rolled_out("BlueGreen")),
    Scenario("connect callers by calls of ours", _warm, before=_client),
    Scenario("connect callers by the carrier again", _refer, before=_warm),
    Scenario("delete with a way out", _delete, before=_warm),
    Scenario("encrypt calls", _encrypt, before=_warm),
    Scenario("encrypt calls no more", _decrypt, before=_encrypted),
    Scenario("take calls by instructions", _voice, before=_warm),
    Scenario("take calls over the trunk again", _trunk, before=_voice),
    Scenario("clone a voice", _own_voice, before=_client),
    Scenario("clone another recording", _other_recording, before=_client_with_voice),
    Scenario("delete with a voice", _delete, before=_client_with_voice),
    Scenario("suspend", _suspend, before=_client),
    Scenario("resume", _resume, before=_suspended),
    Scenario("delete", _delete, before=_client),
    Scenario("delete while creating", _delete_while_creating, before=_nothing),
    Scenario("create, delete, create under one name", _again_under_one_name, before=_nothing),
    Scenario("two clients race for the last number", _race, _nothing, _loser, stock=1),
    Scenario("edit while the previous generation is applied", _edit_while_applied, before=_nothing),
    Scenario(
        "a person cancels the subscription", _cancelled, _client,
        lambda _world: {"a": "SubscriptionCancelled"},
    ),
    Scenario(
        "a person releases the number", _released, _client, lambda _world: {"a": "NumberMissing"}
    ),
    *(
        Scenario(f"create, although at {name} {fault}", _client_and_sweep, _nothing,
                 mishap=(name, fault))
        for name, fault in [
            ("stripe POST /v1/customers", Fault.KILLED_BEFORE),
            ("stripe POST /v1/subscriptions", Fault.KILLED_BEFORE),
            ("kube POST phonenumbers", Fault.STALE),
        ]
    ),
    *(
        Scenario(f"connect callers by calls of ours, although at {name} {Fault.KILLED_LATE}",
                 _warm, _client, mishap=(name, Fault.KILLED_LATE))
        for name in (
            "twilio POST */SIP/CredentialLists.json",
            "twilio POST */SIP/CredentialLists/*/Credentials.json",
        )
    ),
    Scenario(
        "restart, although the cache is stale", _restart, _client,
        mishap=("kube GET fleets", Fault.STALE),
    ),
]  # fmt: skip
