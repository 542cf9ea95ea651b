"""Which customer and which number are one client, and what is left with which reason."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet_api.fleet import Plan
from voicefleet_api.voiceclient import VoiceClient
from voicefleet_cli.adoption import Found, Held, manifest, propose
from voicefleet_operator.planning.observed import CarrierNumber, Customer, Subscription

pytestmark = pytest.mark.unit

PLANS = [
    Plan(name="Solo", monthly_price_minor=29900, max_numbers=1),
    Plan(name="Pro", monthly_price_minor=49900),
]
ONE, TWO = "+14155550101", "+14155550102"


def customer(key: str, *numbers: str, name: str = "Bright Smile") -> tuple[str, Customer]:
    return "main", Customer(f"cus_{key}", name, f"{key}@x.example", None, frozenset(numbers))


def subscription(key: str, price: int = 29900, **changes: Any) -> Subscription:
    fixed: dict[str, Any] = {"currency": "usd", "price_minor": price, **changes}
    return Subscription(
        f"sub_{key}{price}", f"cus_{key}", "active", "si_1", "price_own", False, True, None, **fixed
    )


def number(e164: str, account: str = "main") -> tuple[str, CarrierNumber]:
    return account, CarrierNumber(f"PN{e164}", e164, "front desk", None, "https://voice.example")


def reasons(found: Found) -> str:
    assert found.clients == []
    return "\n".join(f"{what}: {why}" for what, why in found.left)


def test_a_customer_that_names_a_number_is_one_client_with_it() -> None:
    held = Held([customer("a", ONE)], [subscription("a")], [number(ONE)])
    found = propose(held, PLANS, {}, ())
    assert found.left == []
    [client] = found.clients
    made = manifest(client, "default", "agency", "dentist")
    VoiceClient.model_validate({"spec": made["spec"]})
    spec = made["spec"]
    assert (made["metadata"], spec["plan"]) == (
        {"name": "bright-smile", "namespace": "agency"},
        "Solo",
    )
    existing = {"customerID": "cus_a", "subscriptionID": "sub_a29900"}
    assert spec["billing"]["existing"] == existing
    [claim] = spec["telephony"]["numbers"]
    assert (claim["source"], claim["e164"], claim["reclaimPolicy"]) == ("Existing", ONE, "Retain")


def test_the_users_word_counts_more_than_what_stripe_says() -> None:
    held = Held(
        [customer("a", ONE), customer("b")], [subscription("a"), subscription("b")], [number(ONE)]
    )
    found = propose(held, PLANS, {ONE: "cus_b"}, ())
    assert [client.customer.id for client in found.clients] == ["cus_b"]
    assert [what for what, _ in found.left] == ["cus_a (Bright Smile)"]


def test_names_are_free_and_labels() -> None:
    held = Held(
        [customer("a", ONE, name="Bright Smile!"), customer("b", TWO, name="日本" + "x" * 90)],
        [subscription("a"), subscription("b")],
        [number(ONE), number(TWO)],
    )
    names = [c.name for c in propose(held, PLANS, {}, ["bright-smile"]).clients]
    assert names == ["bright-smile-2", "x" * 57]


NAMES_ONE = [customer("a", ONE)]
LEFT = {
    "two customers name it": (
        Held([*NAMES_ONE, customer("b", ONE)], [subscription("a"), subscription("b")],
             [number(ONE)]),
        "cus_a, cus_b all name it",
    ),
    "nobody names it": (Held((), (), [number(ONE)]), f"--map {ONE}="),
    "no subscription": (Held(NAMES_ONE, (), [number(ONE)]), "no customer with a live subscription"),
    "no number": (Held(NAMES_ONE, [subscription("a")], ()), "--map NUMBER=cus_a"),
    "two subscriptions": (
        Held(NAMES_ONE, [subscription("a"), subscription("a", 49900)], [number(ONE)]),
        "sub_a29900, sub_a49900",
    ),
    "no such price": (
        Held(NAMES_ONE, [subscription("a", 25000)], [number(ONE)]),
        "sub_a25000 is charged 250.00 usd a month, which is no plan's price; add one to spec.plans",
    ),
    "another currency": (
        Held(NAMES_ONE, [subscription("a", currency="eur")], [number(ONE)]),
        "currency: eur",
    ),
    "not like a plan": (
        Held(NAMES_ONE, [subscription("a", like_a_plan=False)], [number(ONE)]),
        "only one item at a monthly price",
    ),
    "too many numbers": (
        Held([customer("a", ONE, TWO)], [subscription("a")], [number(ONE), number(TWO)]),
        "plan Solo includes 1 number(s), it has 2",
    ),
    "numbers of two accounts": (
        Held([customer("a", ONE, TWO)], [subscription("a", 49900)],
             [number(ONE), number(TWO, "other")]),
        "different telephony accounts",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("held", "reason"), LEFT.values(), ids=LEFT)
def test_what_is_not_certain_is_left_with_the_reason(held: Held, reason: str) -> None:
    assert reason in reasons(propose(held, PLANS, {}, ()))


@pytest.mark.parametrize(("e164", "who"), [(TWO, "cus_a"), (ONE, "cus_nobody")])
def test_a_mapping_of_what_is_not_there_is_said(e164: str, who: str) -> None:
    held = Held(NAMES_ONE, [subscription("a")], [number(ONE)] if e164 == ONE else ())
    assert "--map names" in reasons(propose(held, PLANS, {e164: who}, ()))
