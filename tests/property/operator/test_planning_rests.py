"""Planning comes to rest, is empty at rest, and spends no more than the spec asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.clients import billing, claim, desired, settled, telephony, voice
from voicefleet_operator.planning.desired import Desired, nothing
from voicefleet_operator.planning.observed import Observed
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.simulate import assume

pytestmark = pytest.mark.property


@st.composite
def wanted(draw: st.DrawFn) -> Desired:
    """Any client that the API admits."""
    suspended = draw(st.booleans())
    names = draw(st.lists(st.sampled_from("abcde"), unique=True, min_size=1))
    whole = desired(
        suspended=suspended,
        billing=billing(
            price_id=draw(st.sampled_from(["price_solo", "price_pro"])),
            collection=draw(st.sampled_from(["Invoice", "Checkout", "Card"])),
            activation=draw(st.sampled_from(["Immediately", "OnPayment"])),
        ),
        telephony=telephony(
            numbers=tuple(claim(name) for name in names),
            calls_out=draw(st.booleans()),
            secure=draw(st.booleans()),
            voice_webhook=draw(st.sampled_from([None, "https://voice.example"])),
        ),
    )
    return replace(
        whole,
        billing=whole.billing if draw(st.booleans()) else None,
        telephony=whole.telephony if draw(st.booleans()) else None,
        name=whole.name if draw(st.booleans()) else None,
        voice=draw(st.sampled_from([None, voice("a" * 64), voice("b" * 64)])),
        unit=None if suspended else whole.unit,
    )


@given(st.lists(wanted(), min_size=1, max_size=5))
def test_any_history_of_edits_converges_and_rests(history: list[Desired]) -> None:
    observed = Observed()
    for step in history:
        observed = settled(step, observed)
        assert plan(step, observed).actions == ()
    end = nothing(history[-1].mark, "Now")
    observed = settled(end, observed)
    assert plan(end, observed) == Plan()
    assert observed.numbers == ()
    assert observed.rules == observed.inbound_trunks == observed.names == observed.voices == ()
    assert observed.outbound_trunks == ()
    assert observed.units == {}
    assert observed.subscription is None or not observed.subscription.live


@given(wanted(), wanted())
def test_no_edit_buys_a_number_that_the_client_has(first: Desired, second: Desired) -> None:
    observed = settled(first)
    have = {number.number for number in observed.numbers}
    todo = plan(second, observed)
    bought = [a.args["claim"].name for a in todo.actions if a.kind == ActionKind.CLAIM_NUMBER]
    assert len(bought) == len(set(bought))
    assert not have & set(bought)


@given(wanted(), st.data())
def test_a_plan_that_was_carried_out_in_part_is_finished_by_the_next(
    client: Desired, data: st.DataObject
) -> None:
    observed = Observed()
    todo = plan(client, observed)
    # Any prefix in plan order respects the DAG: dependencies are added before dependents.
    cut = data.draw(st.integers(0, len(todo.actions)))
    part = replace(todo, actions=todo.actions[:cut])
    observed = assume(client, observed, part)
    settled(client, observed)


@given(wanted(), st.data())
def test_whatever_was_carried_out_can_be_taken_back(client: Desired, data: st.DataObject) -> None:
    observed = Observed()
    todo = plan(client, observed)
    cut = data.draw(st.integers(0, len(todo.actions)))
    observed = assume(client, observed, replace(todo, actions=todo.actions[:cut]))
    back = Desired(mark=client.mark, rollback=True)
    observed = settled(back, observed)
    assert plan(back, observed) == Plan()
    assert observed.numbers == observed.rules == observed.inbound_trunks == observed.names == ()
    assert observed.voices == ()
    assert (observed.subscription, observed.checkout, observed.carrier_trunk) == (None, None, None)
