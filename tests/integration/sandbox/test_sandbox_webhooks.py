"""Stripe's events: signed as Stripe signs them, tried again, and not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from integration.sandbox.vendors import World, running

pytestmark = pytest.mark.integration


class Receiver:
    """An endpoint that refuses the first few deliveries."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.refusals = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body, self.headers["Stripe-Signature"]))
                receiver.refusals -= 1
                self.send_response(500 if receiver.refusals >= 0 else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Keep quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where events go."""
    made = Receiver()
    yield made
    made.close()


def until(check: Callable[[], Any]) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + 60
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def hook(world: World, receiver: Receiver, *kinds: str) -> str:
    """Register the endpoint; its secret."""
    made = world.stripe().webhook_endpoints.create({"url": receiver.url, "enabled_events": kinds})
    secret: str = made.secret
    return secret


def test_signed_and_verified_by_the_sdk(world: World, receiver: Receiver) -> None:
    secret = hook(world, receiver, "customer.created")
    customer = world.customer()
    world.price()
    [(body, signature)] = until(lambda: receiver.got)
    event = stripe.Webhook.construct_event(body, signature, secret)
    assert (event.type, event.data.object.id) == ("customer.created", customer.id)
    assert world.stripe().events.retrieve(event.id).type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", signature, secret)


def test_refused_deliveries_are_tried_again(world: World, receiver: Receiver) -> None:
    hook(world, receiver, "*")
    receiver.refusals = 2
    world.stripe().customers.create({"name": "A"})
    until(lambda: len(receiver.got) == 3)
    time.sleep(1.5)
    assert len(receiver.got) == 3
    assert len({body for body, _ in receiver.got}) == 1


def test_a_checkout_tells_the_story(world: World, receiver: Receiver) -> None:
    session = world.stripe().checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": world.price().id, "quantity": 1}],
            "success_url": "https://x.example",
        }
    )
    secret = hook(world, receiver, "checkout.session.completed", "invoice.paid")
    world.own("POST", f"/checkout/{session.id}", data={"pay": "yes"})
    until(lambda: len(receiver.got) == 2)
    events = [stripe.Webhook.construct_event(*got, secret) for got in receiver.got]
    assert {e.type for e in events} == {"checkout.session.completed", "invoice.paid"}


def test_renewals_are_told(world: World, receiver: Receiver) -> None:
    world.subscribe(world.customer(), world.price())
    hook(world, receiver, "invoice.paid")
    world.advance(32 * 86400)
    until(lambda: len(receiver.got) == 1)


def test_nothing_is_told_of_what_was_undone(world: World, receiver: Receiver) -> None:
    customer, price = world.customer("pm_card_chargeDeclined"), world.price()
    hook(world, receiver, "*")
    with pytest.raises(stripe.CardError):
        world.subscribe(customer, price, payment_behavior="error_if_incomplete")
    time.sleep(0.3)
    assert receiver.got == []


def test_what_was_not_delivered_is_after_a_new_start(receiver: Receiver, tmp_path: Path) -> None:
    data = tmp_path / "sandbox.sqlite"
    receiver.refusals = 3
    with running(data) as world:
        hook(world, receiver, "customer.created")
        world.stripe().customers.create({"name": "A"})
        until(lambda: receiver.got)
    receiver.refusals = 0
    before = len(receiver.got)
    with running(data):
        until(lambda: len(receiver.got) > before)
