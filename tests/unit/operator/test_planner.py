"""The planner: smallest set of actions, order, and what it never does."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from support.clients import OVERFLOW, billing, claim, desired, settled, telephony
from voicefleet_api.meta import ConditionType
from voicefleet_operator.planning.desired import nothing
from voicefleet_operator.planning.health import answering, findings
from voicefleet_operator.planning.observed import NumberObject, Observed
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.simulate import assume

pytestmark = pytest.mark.unit


def kinds(todo: Plan) -> list[ActionKind]:
    return [action.kind for action in todo.actions]


def before(todo: Plan, first: ActionKind, second: ActionKind) -> bool:
    """Whether `second` follows `first` in the DAG, directly or not."""
    by_id = {action.id: action for action in todo.actions}

    def follows(action_id: str) -> bool:
        return any(
            step in by_id and (by_id[step].kind == first or follows(step))
            for step in by_id[action_id].after
        )

    return all(follows(action.id) for action in todo.actions if action.kind == second)


def test_a_new_client_gets_everything_and_numbers_follow_the_subscription() -> None:
    todo = plan(desired(), Observed())
    assert set(kinds(todo)) == {
        ActionKind.CREATE_CUSTOMER,
        ActionKind.CREATE_SUBSCRIPTION,
        ActionKind.CLAIM_NUMBER,
        ActionKind.CREATE_CARRIER_TRUNK,
        ActionKind.SET_ORIGINATION,
        ActionKind.APPLY_UNIT,
        ActionKind.CREATE_NAME,
    }
    assert before(todo, ActionKind.CREATE_CUSTOMER, ActionKind.CREATE_SUBSCRIPTION)
    assert before(todo, ActionKind.CREATE_SUBSCRIPTION, ActionKind.CLAIM_NUMBER)
    assert (todo.cost_minor, todo.revenue_minor) == (115, 49900)


def test_an_unchanged_client_has_an_empty_plan() -> None:
    observed = settled(desired())
    assert plan(desired(), observed) == Plan()


def test_nothing_is_bought_before_payment() -> None:
    wanted = desired(billing=billing(activation="OnPayment", collection="Checkout"))
    todo = plan(wanted, Observed())
    assert kinds(todo) == [ActionKind.CREATE_CUSTOMER, ActionKind.CREATE_CHECKOUT]
    settled_until_payment = replace(settled(desired()), activated=False)
    assert settled_until_payment.subscription is not None
    unpaid = replace(
        settled_until_payment,
        numbers=(),
        subscription=replace(settled_until_payment.subscription, paid=False),
    )
    todo = plan(desired(billing=billing(activation="OnPayment")), unpaid)
    assert ActionKind.CLAIM_NUMBER not in kinds(todo)
    assert [wait.reason for wait in todo.waits] == ["AwaitingPayment"]


def test_a_closed_gate_does_not_reopen_for_a_client_that_was_active_once() -> None:
    observed = settled(desired())
    assert observed.subscription is not None
    overdue = replace(
        observed, subscription=replace(observed.subscription, status="past_due", paid=False)
    )
    assert plan(desired(billing=billing(activation="OnPayment")), overdue).actions == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"billing": billing(price_id="price_solo", plan="Solo")}, {ActionKind.CHANGE_PRICE}),
        ({"billing": billing(customer_name="Brighter Smile")}, {ActionKind.UPDATE_CUSTOMER}),
        ({"telephony": telephony(numbers=(claim(), claim("second")))}, {ActionKind.CLAIM_NUMBER}),
        (
            {"telephony": telephony(forward_to="+14155550111")},
            {ActionKind.UPDATE_CARRIER_TRUNK},
        ),
        (
            {"telephony": telephony(max_call_seconds=60)},
            {ActionKind.UPDATE_INBOUND_TRUNK},
        ),
        (
            {"telephony": telephony(carrier_networks=frozenset({"198.51.100.0/24"}))},
            {ActionKind.UPDATE_INBOUND_TRUNK},
        ),
        (
            {"telephony": telephony(origination=("sip:192.0.2.2:5060",))},
            {ActionKind.SET_ORIGINATION},
        ),
        ({"telephony": telephony(overflow=OVERFLOW)}, {ActionKind.REPLACE_RULE}),
    ],
)
def test_a_change_costs_the_smallest_set_of_actions(change: dict, expected: set) -> None:
    observed = settled(desired())
    assert set(kinds(plan(desired(**change), observed))) == expected


def test_a_receptionist_change_reconfigures_and_does_not_restart() -> None:
    observed = settled(desired())
    unit = desired().unit
    assert unit is not None
    todo = plan(desired(unit=replace(unit, config_hash="config-2")), observed)
    assert kinds(todo) == [ActionKind.CONFIGURE_UNIT]
    todo = plan(desired(unit=replace(unit, spec_hash="spec-2")), observed)
    assert kinds(todo) == [ActionKind.APPLY_UNIT]


def test_suspending_forwards_calls_and_resuming_takes_them_back() -> None:
    observed = settled(desired())
    suspended = desired(suspended=True, unit=None)
    todo = plan(suspended, observed)
    assert set(kinds(todo)) == {ActionKind.FORWARD_NUMBER, ActionKind.REMOVE_UNIT}
    after = settled(suspended, observed)
    numbers = after.carrier_numbers.values()
    assert all(n.trunk_sid is None and "4155550199" in (n.voice_url or "") for n in numbers)
    resumed = plan(desired(), after)
    assert kinds(resumed) == [ActionKind.APPLY_UNIT]
    assert kinds(plan(desired(), assume(desired(), after, resumed))) == [ActionKind.ROUTE_NUMBER]


def test_calls_come_by_instructions_and_over_the_trunk_again_in_one_step_each() -> None:
    voice = desired(
        telephony=telephony(
            voice_webhook="https://voice.example/",
            origination=("sip:192.0.2.1:5060", "sip:192.0.2.2:5060"),
        )
    )
    trunk = replace(voice, telephony=replace(voice.telephony, voice_webhook=None))
    observed = settled(trunk)
    todo = plan(voice, observed)
    assert kinds(todo) == [ActionKind.ROUTE_NUMBER]
    after = assume(voice, observed, todo)
    [number] = after.carrier_numbers.values()
    twiml = parse_qs(urlsplit(number.voice_url or "").query)["Twiml"][0]
    assert f"<Sip>sip:{number.e164}@192.0.2.1:5060</Sip>" in twiml
    assert "https://voice.example/dial?client=vc-aaaaaaaaaa&amp;uri=" in twiml
    assert number.trunk_sid is None
    assert number.voice_fallback_url == "https://twimlets.com/forward?PhoneNumber=%2B14155550199"
    assert answering(voice, after).status
    assert plan(voice, after) == Plan()
    back = plan(trunk, after)
    assert kinds(back) == [ActionKind.ROUTE_NUMBER]
    [number] = assume(trunk, after, back).carrier_numbers.values()
    assert (number.voice_url, number.voice_fallback_url) == (None, None)


@pytest.mark.parametrize("field", ["voice_url", "voice_fallback_url"])
def test_instructions_that_somebody_changed_are_put_back(field: str) -> None:
    voice = desired(telephony=telephony(voice_webhook="https://voice.example"))
    whole = settled(voice)
    [number] = whole.carrier_numbers.values()
    changed = replace(number, **{field: "https://elsewhere.example/"})
    drifted = replace(whole, carrier_numbers={number.e164: changed})
    todo = plan(voice, drifted)
    assert kinds(todo) == [ActionKind.ROUTE_NUMBER]
    assert assume(voice, drifted, todo).carrier_numbers == whole.carrier_numbers


def test_a_number_that_rings_elsewhere_is_switched_once_the_agent_is_registered() -> None:
    whole = settled(desired())
    [number] = whole.carrier_numbers.values()
    elsewhere = replace(number, trunk_sid=None, voice_url="https://voice.example/answer")
    served = replace(whole, carrier_numbers={number.e164: elsewhere})
    assert kinds(plan(desired(), served)) == [ActionKind.ROUTE_NUMBER]
    units = {name: replace(unit, registered=False) for name, unit in served.units.items()}
    waiting = plan(desired(), replace(served, units=units))
    assert kinds(waiting) == []
    assert [wait.reason for wait in waiting.waits] == ["AgentNotRegistered"]


@pytest.mark.parametrize(
    ("changes", "actions"),
    [
        ({}, []),
        ({"price_minor": 39900}, [ActionKind.CHANGE_PRICE]),
        ({"like_a_plan": False}, [ActionKind.CHANGE_PRICE]),
        ({"id": "sub_other"}, [ActionKind.CHANGE_PRICE]),
    ],
)
def test_a_subscription_taken_over_keeps_its_price_while_it_is_the_plans(
    changes: dict, actions: list
) -> None:
    whole = settled(desired())
    assert whole.subscription is not None
    own = replace(
        whole.subscription, id="sub_own", price_id="price_own", price_minor=49900, currency="usd"
    )
    wanted = billing(existing_customer_id="cus_own", existing_subscription_id="sub_own")
    todo = plan(desired(billing=wanted), replace(whole, subscription=replace(own, **changes)))
    assert kinds(todo) == actions


def test_a_renamed_subdomain_is_made_before_the_old_one_goes() -> None:
    observed = settled(desired())
    name = desired().name
    assert name is not None
    todo = plan(desired(name=replace(name, label="smile")), observed)
    assert set(kinds(todo)) == {ActionKind.CREATE_NAME, ActionKind.DELETE_NAME}
    assert before(todo, ActionKind.CREATE_NAME, ActionKind.DELETE_NAME)


def test_a_removed_number_leaves_livekit_before_it_is_given_back() -> None:
    two = desired(telephony=telephony(numbers=(claim(), claim("second"))))
    todo = plan(desired(), settled(two))
    assert set(kinds(todo)) == {ActionKind.UPDATE_INBOUND_TRUNK, ActionKind.RELEASE_NUMBER}
    assert before(todo, ActionKind.UPDATE_INBOUND_TRUNK, ActionKind.RELEASE_NUMBER)
    assert todo.cost_minor == -115


@pytest.mark.parametrize("second", ["a", "z"])
def test_of_two_numbers_for_one_entry_the_routed_one_stays(second: str) -> None:
    """A replaced leader's last request has claimed another free number."""
    observed = settled(desired())
    (mine,) = observed.numbers
    extra = replace(mine, name=second, e164="+14155550188", sid="PN-extra")
    todo = plan(desired(), replace(observed, numbers=(mine, extra)))
    (release,) = todo.actions
    assert (release.kind, release.args["object_name"]) == (ActionKind.RELEASE_NUMBER, second)
    assert release.args["policy"] == "Retain"
    assert release.reversible


def test_a_number_is_given_back_once_and_then_waited_for() -> None:
    observed = settled(desired())
    leaving = tuple(replace(obj, phase="Released") for obj in observed.numbers)
    for wanted in (nothing(desired().mark, "Now"), desired(telephony=None)):
        todo = plan(wanted, replace(observed, numbers=leaving))
        assert ActionKind.RELEASE_NUMBER not in kinds(todo)
        assert [wait.reason for wait in todo.waits] == ["ReleasingNumbers"]


def test_deletion_goes_in_the_designs_order() -> None:
    observed = settled(desired())
    todo = plan(nothing(desired().mark, "Now"), observed)
    order = [
        ActionKind.DELETE_RULE,
        ActionKind.DELETE_INBOUND_TRUNK,
        ActionKind.CANCEL_SUBSCRIPTION,
        ActionKind.RELEASE_NUMBER,
        ActionKind.DELETE_CARRIER_TRUNK,
        ActionKind.REMOVE_UNIT,
        ActionKind.DELETE_NAME,
    ]
    assert kinds(todo) == order
    for first, second in itertools.pairwise(order[:6]):
        assert before(todo, first, second), (first, second)
    after = settled(nothing(desired().mark, "Now"), observed)
    assert plan(nothing(desired().mark, "Now"), after) == Plan()


def test_origination_urls_that_were_not_read_are_left_alone() -> None:
    observed = settled(desired())
    assert observed.carrier_trunk is not None
    unread = replace(observed, carrier_trunk=replace(observed.carrier_trunk, origination=None))
    assert plan(desired(), unread) == Plan()
    emptied = replace(observed, carrier_trunk=replace(observed.carrier_trunk, origination=()))
    assert kinds(plan(desired(), emptied)) == [ActionKind.SET_ORIGINATION]


def test_deletion_at_period_end_cancels_once() -> None:
    observed = settled(desired())
    wanted = nothing(desired().mark, "AtPeriodEnd")
    after = settled(wanted, observed)
    assert after.subscription is not None
    assert after.subscription.cancel_at_period_end
    assert plan(wanted, after).actions == ()


def test_a_subscription_that_a_person_cancelled_is_not_renewed() -> None:
    observed = settled(desired())
    assert observed.subscription is not None
    left = replace(observed, subscription=replace(observed.subscription, status="canceled"))
    todo = plan(desired(), left)
    assert todo.actions == ()
    assert [(w.reason, w.stalled) for w in todo.waits] == [("SubscriptionCancelled", True)]
    other = desired(billing=billing(existing_subscription_id="sub_other"))
    assert kinds(plan(other, left)) == [ActionKind.ADOPT_SUBSCRIPTION]


def test_a_number_that_is_missing_at_the_carrier_is_not_bought_again() -> None:
    observed = replace(settled(desired()), carrier_numbers={})
    todo = plan(desired(), observed)
    assert todo.actions == ()
    assert [w.reason for w in todo.waits] == ["NumberMissing"]


def test_no_inbound_trunk_is_ever_planned_without_numbers() -> None:
    """A LiveKit trunk without numbers admits any: a pending number must not make one."""
    pending = NumberObject("pn", "main", "Pending", None, None, "Release", 115)
    todo = plan(desired(), replace(settled(desired()), numbers=(pending,)))
    assert ActionKind.CREATE_INBOUND_TRUNK not in kinds(todo)
    assert ActionKind.DELETE_INBOUND_TRUNK in kinds(todo)


def test_powers_are_independent() -> None:
    silent = settled(desired(telephony=None))
    assert silent.numbers == ()
    assert silent.carrier_trunk is None
    assert silent.subscription is not None
    free = settled(desired(billing=None))
    assert free.customer is None
    assert len(free.numbers) == 1


def test_a_spare_number_is_bound_instead_of_bought() -> None:
    todo = plan(desired(), Observed(spare={"main": "vc-old-main"}))
    assert ActionKind.BIND_NUMBER in kinds(todo)
    assert ActionKind.CLAIM_NUMBER not in kinds(todo)
    assert todo.cost_minor == 0


def test_a_wrong_rule_is_replaced_in_one_step() -> None:
    observed = settled(desired())
    crossed = replace(observed, rules=(replace(observed.rules[0], trunk_ids=frozenset({"other"})),))
    todo = plan(desired(), crossed)
    assert kinds(todo) == [ActionKind.REPLACE_RULE]
    assert todo.actions[0].power == ConditionType.TELEPHONY_READY


# --- calls of ours to a person -----------------------------------------------------------------


def test_a_way_out_follows_the_carriers_trunk_and_then_the_agent_knows_it() -> None:
    wanted = desired(telephony=telephony(calls_out=True))
    numbered = assume(wanted, Observed(), plan(wanted, Observed()))
    todo = plan(wanted, replace(numbered, carrier_trunk=None))
    assert before(todo, ActionKind.CREATE_CARRIER_TRUNK, ActionKind.CREATE_OUTBOUND_TRUNK)
    observed = assume(wanted, numbered, plan(wanted, numbered))
    todo = plan(wanted, observed)
    assert kinds(todo) == [ActionKind.CONFIGURE_UNIT]
    config = json.loads(todo.actions[0].args["unit"].config_json)
    assert config["outboundTrunk"] == observed.outbound_trunks[0].id


def test_a_way_out_is_repaired_on_both_sides() -> None:
    wanted = desired(telephony=telephony(calls_out=True))
    well = settled(wanted)
    assert well.carrier_trunk is not None
    [way] = well.outbound_trunks
    for broken in (
        replace(well, carrier_trunk=replace(well.carrier_trunk, calls_out=False)),
        replace(well, outbound_user=""),
        replace(well, outbound_trunks=(replace(way, username="of a former secret"),)),
        replace(well, outbound_trunks=(replace(way, address="elsewhere"),)),
    ):
        assert kinds(plan(wanted, broken)) == [ActionKind.UPDATE_OUTBOUND_TRUNK]
    elsewhere = desired(telephony=telephony(calls_out=True, termination="192.0.2.7:5060"))
    [moved] = plan(elsewhere, well).actions
    assert moved.kind == ActionKind.UPDATE_OUTBOUND_TRUNK
    assert assume(elsewhere, well, plan(elsewhere, well)).outbound_trunks[0].address == (
        "192.0.2.7:5060"
    )
    twice = replace(well, outbound_trunks=(way, replace(way, id="late")))
    [gone] = plan(wanted, twice).actions
    assert (gone.kind, gone.args) == (
        ActionKind.DELETE_OUTBOUND_TRUNK, {"trunk_id": "late", "close": False},
    )  # fmt: skip


def test_encryption_goes_from_one_side_to_the_other_without_a_gap() -> None:
    """At each step, what the carrier sends is what LiveKit takes."""
    plain = desired(telephony=telephony(calls_out=True))
    tls = ("sip:192.0.2.1:5060;transport=tls",)
    secure = desired(telephony=telephony(calls_out=True, secure=True, origination=tls))
    steps = [
        ActionKind.SET_ORIGINATION,
        ActionKind.UPDATE_CARRIER_TRUNK,
        ActionKind.UPDATE_INBOUND_TRUNK,
    ]
    on, off = plan(secure, settled(plain)), plan(plain, settled(secure))
    for first, second in itertools.pairwise(steps):
        assert before(on, first, second)
        assert before(off, second, first)
    both = {*steps, ActionKind.UPDATE_OUTBOUND_TRUNK}
    assert set(kinds(on)) == set(kinds(off)) == both
    assert plan(secure, settled(secure)).actions == ()


def test_without_a_way_out_none_is_left() -> None:
    observed = settled(desired(telephony=telephony(calls_out=True)))
    todo = plan(desired(), observed)
    assert kinds(todo) == [ActionKind.DELETE_OUTBOUND_TRUNK, ActionKind.CONFIGURE_UNIT]
    assert "outboundTrunk" not in json.loads(todo.actions[1].args["unit"].config_json)


def test_contacts_that_are_not_called_are_named() -> None:
    wanted = desired(telephony=telephony(barred=("the owner", "billing")))
    observed = settled(wanted)
    found = findings(wanted, observed, plan(wanted, observed), [])
    [line] = [each for each in found if each.type == ConditionType.TELEPHONY_READY]
    assert line.status
    assert "not connected with the owner, billing" in line.message


def test_a_trunk_that_may_not_transfer_is_let() -> None:
    observed = settled(desired())
    assert observed.carrier_trunk is not None
    tight = replace(observed, carrier_trunk=replace(observed.carrier_trunk, transfers=False))
    assert kinds(plan(desired(), tight)) == [ActionKind.UPDATE_CARRIER_TRUNK]
