"""The LiveKit driver against a real LiveKit server with Redis."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from livekit import api

from integration.drivers.harness import FLEET, BadServer, LiveKit, reset, saying, silent
from support.clients import OVERFLOW
from voicefleet_api.dispatch import DispatchMetadata
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from voicefleet_operator.drivers.livekit import LiveKitDriver
from voicefleet_operator.planning.observed import (
    Candidate,
    DispatchRule,
    InboundTrunk,
    Mark,
    OutboundTrunk,
)

pytestmark = pytest.mark.integration

CARRIER = frozenset({"192.0.2.0/24", "198.51.100.7"})


@pytest.fixture
async def driver(livekit: LiveKit) -> AsyncIterator[LiveKitDriver]:
    """The fleet's driver."""
    made = LiveKitDriver(livekit.url, livekit.api_key, livekit.api_secret, fleet_id=FLEET)
    yield made
    await made.close()


@pytest.fixture
async def raw(livekit: LiveKit) -> AsyncIterator[api.LiveKitAPI]:
    """LiveKit past the driver, as another program uses it; all objects are removed afterwards."""
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lk:
        yield lk
        rules = await lk.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
        for rule in rules.items:
            await lk.sip.delete_dispatch_rule(
                api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule.sip_dispatch_rule_id)
            )
        trunks = await lk.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
        out = await lk.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        for trunk in (*trunks.items, *out.items):
            await lk.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id))


@pytest.fixture
def numbers() -> frozenset[str]:
    """Two numbers that nobody else in this run has."""
    return frozenset(f"+1415{secrets.randbelow(10**7):07}" for _ in range(2))


async def make_trunk(
    driver: LiveKitDriver, mark: Mark, numbers: frozenset[str], **changes: Any
) -> InboundTrunk:
    """A trunk as the planner asks for it."""
    usual = {"numbers": numbers, "allowed_addresses": CARRIER, "max_call_seconds": 1800}
    wanted: dict[str, Any] = {**usual, **changes}
    return await driver.create_trunk(mark=mark, **wanted)


async def test_trunk_carries_everything(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    made = await make_trunk(driver, mark, numbers)
    assert made == InboundTrunk(made.id, numbers, CARRIER, 1800, mark)
    assert (await driver.inventory()).trunks == {made.id: made}
    [seen] = (await raw.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())).items
    assert seen.ringing_timeout.seconds == 8
    assert json.loads(seen.metadata)["voicefleet"] == {
        "fleetID": FLEET,
        "clientID": mark.client_id,
        "namespace": "default",
        "name": "bright-smile",
    }


async def test_a_way_out(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    wanted = {"address": "a.pstn.twilio.com", "numbers": numbers, "username": "u", "password": "p"}
    made = await driver.create_outbound(mark=mark, **wanted)
    assert made == OutboundTrunk(made.id, "a.pstn.twilio.com", numbers, "u", mark)
    assert (await driver.inventory()).outbound == {made.id: made}
    changed = await driver.update_outbound(
        made.id, mark=mark, secure=True, **{**wanted, "username": "v", "password": "q"}
    )
    assert changed == replace(made, username="v", secure=True)
    assert (await driver.inventory()).outbound == {made.id: changed}
    [seen] = (await raw.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())).items
    assert (seen.auth_username, seen.auth_password) == ("v", "q")
    for _ in range(2):
        await driver.delete_trunk(made.id)
    assert (await driver.inventory()).outbound == {}


@pytest.mark.parametrize("missing", ["numbers", "allowed_addresses"])
async def test_no_open_trunk_is_made(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str], missing: str
) -> None:
    empty: dict[str, Any] = {missing: frozenset()}
    wanted: dict[str, Any] = {"numbers": numbers, "allowed_addresses": CARRIER, **empty}
    with pytest.raises(Rejected) as error:
        await driver.create_trunk(mark=mark, max_call_seconds=1800, **wanted)
    assert error.value.reason == "OpenTrunk"
    made = await make_trunk(driver, mark, frozenset({"+14155550003"}))
    with pytest.raises(Rejected):
        await driver.update_trunk(trunk_id=made.id, mark=mark, max_call_seconds=1800, **wanted)
    assert (await driver.inventory()).trunks == {made.id: made}


async def test_trunk_made_twice_is_one(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    """A reply was lost: the repeat meets the refusal of a second trunk and finds its own."""
    made = await make_trunk(driver, mark, numbers)
    assert await make_trunk(driver, mark, numbers, max_call_seconds=60) == made
    assert set((await driver.inventory()).trunks) == {made.id}


async def test_number_of_another_client_is_refused(
    driver: LiveKitDriver,
    raw: api.LiveKitAPI,
    mark: Mark,
    other_mark: Mark,
    numbers: frozenset[str],
) -> None:
    theirs = await make_trunk(driver, other_mark, numbers)
    with pytest.raises(Rejected) as error:
        await make_trunk(driver, mark, numbers)
    assert error.value.reason == "NumberRoutedElsewhere"
    assert theirs.id in error.value.message
    ours = await make_trunk(driver, mark, frozenset({"+14155550000"}))
    with pytest.raises(Rejected) as error:
        await driver.update_trunk(
            trunk_id=ours.id,
            mark=mark,
            numbers=numbers,
            allowed_addresses=CARRIER,
            max_call_seconds=1800,
        )
    assert error.value.reason == "NumberRoutedElsewhere"
    assert (await driver.inventory()).trunks == {theirs.id: theirs, ours.id: ours}


async def test_repeat_does_not_take_a_trunk_with_other_numbers(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    await make_trunk(driver, mark, numbers)
    with pytest.raises(Rejected) as error:
        await make_trunk(driver, mark, frozenset(sorted(numbers)[:1]))
    assert error.value.reason == "NumberRoutedElsewhere"


async def test_inventory_leaves_out_what_is_not_ours(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    """Wildcard trunks, other fleets, and metadata that somebody else writes."""
    for metadata in ("", "not json", "[]", '{"voicefleet": 1}'):
        await raw.sip.create_inbound_trunk(
            api.CreateSIPInboundTrunkRequest(
                trunk=api.SIPInboundTrunkInfo(
                    name="x", metadata=metadata, numbers=[f"+1212{secrets.randbelow(10**7):07}"]
                )
            )
        )
    await raw.sip.create_inbound_trunk(
        api.CreateSIPInboundTrunkRequest(
            trunk=api.SIPInboundTrunkInfo(name="wildcard", allowed_addresses=["192.0.2.1"])
        )
    )
    await make_trunk(driver, replace(mark, fleet_id="vf-bbbbbbbb"), frozenset({"+14155550001"}))
    made = await make_trunk(driver, mark, numbers)
    assert (await driver.inventory()).trunks == {made.id: made}


async def test_update_trunk(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    made = await make_trunk(driver, mark, numbers)
    changed = await driver.update_trunk(
        trunk_id=made.id,
        mark=mark,
        numbers=frozenset({"+14155550002"}),
        allowed_addresses=frozenset({"203.0.113.0/24"}),
        max_call_seconds=60,
        secure=True,
    )
    assert (changed.id, made.secure, changed.secure) == (made.id, False, True)
    assert (await driver.inventory()).trunks == {made.id: changed}
    assert (changed.numbers, changed.max_call_seconds) == (frozenset({"+14155550002"}), 60)
    with pytest.raises(Gone):
        await driver.update_trunk(
            trunk_id="ST_nothere",
            mark=mark,
            numbers=numbers,
            allowed_addresses=CARRIER,
            max_call_seconds=60,
        )


async def test_delete_is_success_when_gone(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    trunk = await make_trunk(driver, mark, numbers)
    rule = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    for _ in range(2):
        await driver.delete_rule(rule.id)
        await driver.delete_trunk(trunk.id)
    found = await driver.inventory()
    assert (found.trunks, found.rules) == ({}, {})


async def test_rule_leads_one_trunk_to_one_agent(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    trunk = await make_trunk(driver, mark, numbers)
    made = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    assert made == DispatchRule(made.id, frozenset({trunk.id}), "agent-a", mark)
    assert (await driver.inventory()).rules == {made.id: made}
    [seen] = (await raw.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())).items
    assert list(seen.trunk_ids) == [trunk.id]
    assert seen.rule.dispatch_rule_individual.room_prefix == f"call-{mark.client_id}-"
    [agent] = seen.room_config.agents
    assert agent.agent_name == "agent-a"
    assert json.loads(agent.metadata)["voicefleet"]["clientID"] == mark.client_id


async def test_rules_of_two_clients_stand_side_by_side(
    driver: LiveKitDriver,
    raw: api.LiveKitAPI,
    mark: Mark,
    other_mark: Mark,
    numbers: frozenset[str],
) -> None:
    """A rule without its trunk would take every call, and the second would be refused."""
    first, second = sorted(numbers)
    for owner, number in ((mark, first), (other_mark, second)):
        trunk = await make_trunk(driver, owner, frozenset({number}))
        await driver.create_rule(mark=owner, trunk_id=trunk.id, agent_name=owner.client_id)
    found = await driver.inventory()
    for rule in found.rules.values():
        [trunk_id] = rule.trunk_ids
        assert found.trunks[trunk_id].mark == rule.mark
    assert len(found.rules) == 2


async def test_rule_made_twice_is_one(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    trunk = await make_trunk(driver, mark, numbers)
    made = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    again = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    assert again == made
    assert set((await driver.inventory()).rules) == {made.id}


async def test_trunk_led_elsewhere_by_another_rule(
    driver: LiveKitDriver,
    raw: api.LiveKitAPI,
    mark: Mark,
    other_mark: Mark,
    numbers: frozenset[str],
) -> None:
    trunk = await make_trunk(driver, mark, numbers)
    await driver.create_rule(mark=other_mark, trunk_id=trunk.id, agent_name="agent-b")
    with pytest.raises(Rejected) as error:
        await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    assert error.value.reason == "NumberRoutedElsewhere"


async def test_replace_rule(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    """As in a blue-green switch: another agent, the same rule."""
    trunk = await make_trunk(driver, mark, numbers)
    made = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="blue")
    changed = await driver.replace_rule(made.id, mark=mark, trunk_id=trunk.id, agent_name="green")
    assert changed == replace(made, agent_name="green")
    assert (await driver.inventory()).rules == {made.id: changed}
    await driver.delete_rule(made.id)
    with pytest.raises(Gone):
        await driver.replace_rule(made.id, mark=mark, trunk_id=trunk.id, agent_name="green")


async def test_a_candidate_has_its_share(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    """As in a canary: two agents, complementary shares, one update each way."""
    trunk = await make_trunk(driver, mark, numbers)
    made = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="blue")
    share = Candidate("green", 10, "revision")
    changed = await driver.replace_rule(
        made.id, mark=mark, trunk_id=trunk.id, agent_name="blue", candidate=share
    )
    assert changed == replace(made, candidate=share)
    assert (await driver.inventory()).rules == {made.id: changed}
    [seen] = (await raw.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())).items
    told = {a.agent_name: json.loads(a.metadata)["callers"] for a in seen.room_config.agents}
    assert told == {
        "blue": {"first": 10, "end": 100, "salt": "revision"},
        "green": {"first": 0, "end": 10, "salt": "revision"},
    }
    # Changed by hand so that some callers have no agent: it is nobody's, and is set right.
    seen.room_config.agents[1].metadata = seen.room_config.agents[1].metadata.replace("10", "5")
    await raw.sip.update_dispatch_rule(made.id, seen)
    [found] = (await driver.inventory()).rules.values()
    assert (found.agent_name, found.candidate) == (None, None)
    back = await driver.replace_rule(made.id, mark=mark, trunk_id=trunk.id, agent_name="blue")
    assert back == made


async def test_the_overflow_agent_is_told_for_whom_it_speaks(
    driver: LiveKitDriver, raw: api.LiveKitAPI, mark: Mark, numbers: frozenset[str]
) -> None:
    trunk = await make_trunk(driver, mark, numbers)
    made = await driver.create_rule(
        mark=mark, trunk_id=trunk.id, agent_name="blue", overflow=OVERFLOW
    )
    assert made == DispatchRule(
        made.id, frozenset({trunk.id}), "blue", mark, candidate=None, overflow=OVERFLOW
    )
    share = Candidate("green", 10, "revision")
    both = await driver.replace_rule(
        made.id,
        mark=mark,
        trunk_id=trunk.id,
        agent_name="blue",
        candidate=share,
        overflow=OVERFLOW,
    )
    assert both == replace(made, candidate=share)
    assert (await driver.inventory()).rules == {made.id: both}
    [seen] = (await raw.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())).items
    blue, green, other = seen.room_config.agents
    assert "overflow" not in json.loads(blue.metadata) | json.loads(green.metadata)
    assert other.agent_name == OVERFLOW.agent_name
    told = DispatchMetadata.model_validate_json(other.metadata)
    assert (told.callers, told.overflow) == (None, OVERFLOW)
    # Another client's words by hand: the planner sees that they are others.
    other.metadata = other.metadata.replace("Bright Smile", "Pipeworks")
    await raw.sip.update_dispatch_rule(made.id, seen)
    [found] = (await driver.inventory()).rules.values()
    assert found.overflow is not None
    assert found.overflow.business_name == "Pipeworks"


async def test_wrong_secret(livekit: LiveKit) -> None:
    wrong = "wrong-secret-that-must-not-be-told-to-anybody"
    driver = LiveKitDriver(livekit.url, livekit.api_key, wrong, fleet_id=FLEET)
    with pytest.raises(Unauthorized) as error:
        await driver.inventory()
    assert wrong not in str(error.value)
    await driver.close()


async def test_nobody_there(nobody: str, mark: Mark, numbers: frozenset[str]) -> None:
    driver = LiveKitDriver(nobody, "key", "s" * 32, fleet_id=FLEET)
    with pytest.raises(Unavailable):
        await make_trunk(driver, mark, numbers)
    with pytest.raises(Unavailable):
        await driver.inventory()
    await driver.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (silent, Ambiguous),
        (reset, Ambiguous),
        (saying("503 Service Unavailable", "try later"), Ambiguous),
        (saying("408 Request Timeout", '{"code": "deadline_exceeded", "msg": "late"}'), Ambiguous),
        (saying("200 OK", "not protobuf"), Ambiguous),
        (saying("429 Too Many Requests", '{"code": "resource_exhausted"}'), Throttled),
        (saying("401 Unauthorized", "<html>"), Unauthorized),
        (saying("400 Bad Request", '{"code": "invalid_argument", "msg": "no"}'), Rejected),
    ],
)
async def test_bad_answers(
    bad_server: BadServer, mark: Mark, numbers: frozenset[str], answer: Any, kind: type
) -> None:
    driver = LiveKitDriver(await bad_server(answer), "key", "s" * 32, fleet_id=FLEET, timeout=0.5)
    with pytest.raises(kind):
        await make_trunk(driver, mark, numbers)
    await driver.close()


async def test_rule_is_not_moved_to_a_led_trunk(
    driver: LiveKitDriver,
    raw: api.LiveKitAPI,
    mark: Mark,
    other_mark: Mark,
    numbers: frozenset[str],
) -> None:
    first, second = sorted(numbers)
    trunk = await make_trunk(driver, mark, frozenset({first}))
    led = await make_trunk(driver, other_mark, frozenset({second}))
    ours = await driver.create_rule(mark=mark, trunk_id=trunk.id, agent_name="agent-a")
    await driver.create_rule(mark=other_mark, trunk_id=led.id, agent_name="agent-b")
    with pytest.raises(Rejected) as error:
        await driver.replace_rule(ours.id, mark=mark, trunk_id=led.id, agent_name="agent-a")
    assert error.value.reason == "NumberRoutedElsewhere"
    assert (await driver.inventory()).rules[ours.id] == ours
