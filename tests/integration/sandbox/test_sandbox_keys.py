"""Stripe's idempotency keys, as https://docs.stripe.com/api/idempotent_requests words them."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
import stripe

from integration.sandbox.vendors import World

pytestmark = pytest.mark.integration


def post(world: World, key: str, path: str = "/v1/customers", **params: Any) -> httpx.Response:
    """A request as the SDK sends it, with all that comes back."""
    return httpx.post(
        f"{world.url}/stripe{path}",
        data=params,
        headers={"Authorization": f"Bearer {world.stripe_key}", "Idempotency-Key": key},
        timeout=60,
        trust_env=False,
    )


def test_first_answer_is_repeated(world: World) -> None:
    first, second = (post(world, "op-1", name="One") for _ in range(2))
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(world.stripe().customers.list().data) == 1
    [booked] = [r for r in world.own("GET", "/_sandbox/requests") if r["seq"] == 1]
    assert (booked["idempotency_key"], booked["status"]) == ("op-1", 200)
    assert "One" not in str(booked)


def test_other_parameters_under_a_key_are_an_error(world: World) -> None:
    post(world, "op-1", name="One")
    for answer in (
        post(world, "op-1", name="Two"),
        post(world, "op-1", "/v1/products", name="One"),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"
    with pytest.raises(stripe.IdempotencyError):
        world.stripe().customers.create({"name": "Three"}, {"idempotency_key": "op-1"})
    assert len(world.stripe().customers.list().data) == 1


def test_a_refusal_by_the_endpoint_is_kept(world: World) -> None:
    price, customer = world.price(), world.customer("pm_card_chargeDeclined")
    wish = {
        "customer": customer.id,
        "items[0][price]": price.id,
        "payment_behavior": "error_if_incomplete",
    }
    first = post(world, "op-1", "/v1/subscriptions", **wish)
    assert (first.status_code, first.json()["error"]["code"]) == (402, "card_declined")
    card = world.stripe().payment_methods.attach("pm_card_visa", {"customer": customer.id})
    world.stripe().customers.update(
        customer.id, {"invoice_settings": {"default_payment_method": card.id}}
    )
    again = post(world, "op-1", "/v1/subscriptions", **wish)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (402, "true")
    assert post(world, "op-2", "/v1/subscriptions", **wish).status_code == 200
    assert [e["kind"] for e in world.ledger() if e["kind"].startswith("sub")] == [
        "subscription.created"
    ]


def test_what_fails_validation_is_not_kept(world: World) -> None:
    assert post(world, "op-1", nonsense="1").json()["error"]["code"] == "parameter_unknown"
    assert post(world, "op-1", name="One").status_code == 200


def test_a_server_error_is_kept_once_it_was_carried_out(world: World) -> None:
    world.fault("error", vendor="stripe", method="POST", status=500, done=True)
    answers = [post(world, "op-1", name="One") for _ in range(2)]
    assert [a.status_code for a in answers] == [500, 500]
    assert [a.headers.get("idempotent-replayed") for a in answers] == [None, "true"]
    assert len(world.stripe().customers.list().data) == 1


def test_a_failure_of_the_repetition_does_not_replace_the_answer(world: World) -> None:
    assert post(world, "op-1", name="One").status_code == 200
    world.fault("error", vendor="stripe", method="POST", status=500, done=True)
    assert post(world, "op-1", name="One").status_code == 500
    assert post(world, "op-1", name="One").status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("throttle", 429), ("error", 503)])
def test_what_was_never_begun_is_not_kept(world: World, kind: str, status: int) -> None:
    world.fault(kind, vendor="stripe", status=503)
    assert post(world, "op-1", name="One").status_code == status
    made = post(world, "op-1", name="One")
    assert (made.status_code, made.headers.get("idempotent-replayed")) == (200, None)


def test_the_same_key_while_it_is_under_way(world: World) -> None:
    world.fault("delay", vendor="stripe", method="POST", seconds=1.5)
    answers: list[int] = []
    first = threading.Thread(
        target=lambda: answers.append(post(world, "op-1", name="One").status_code)
    )
    first.start()
    time.sleep(0.5)
    second = post(world, "op-1", name="One")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    first.join()
    assert answers == [200]
    assert post(world, "op-1", name="One").headers["idempotent-replayed"] == "true"


def test_keys_are_pruned_after_a_day(world: World) -> None:
    post(world, "op-1", name="One")
    world.advance(86300)
    assert "idempotent-replayed" in post(world, "op-1", name="One").headers
    world.advance(200)
    assert "idempotent-replayed" not in post(world, "op-1", name="One").headers
    assert len(world.stripe().customers.list().data) == 2


def test_keys_are_an_accounts_own_and_only_of_posts(world: World) -> None:
    post(world, "op-1", name="One")
    mine = world.stripe_key
    world.stripe_key = f"{mine}other"
    assert "idempotent-replayed" not in post(world, "op-1", name="One").headers
    world.stripe_key = mine
    listed = world.stripe().customers.list({}, {"idempotency_key": "op-2"})
    world.customer()
    assert len(world.stripe().customers.list({}, {"idempotency_key": "op-2"}).data) == 1 + len(
        listed.data
    )
