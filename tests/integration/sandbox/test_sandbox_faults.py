"""Faults on demand: what the caller sees, and whether it was carried out."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
import stripe
from twilio.base.exceptions import TwilioRestException

from integration.sandbox.vendors import World

pytestmark = pytest.mark.integration


def buy(world: World, timeout: float = 20) -> httpx.Response:
    """A purchase, bare: no SDK between the line and us."""
    return httpx.post(
        f"{world.url}/twilio/api/2010-04-01/Accounts/{world.account_sid}/IncomingPhoneNumbers.json",
        data={"AreaCode": "415"},
        auth=(world.account_sid, "token"),
        timeout=timeout,
        trust_env=False,
    )


def bought(world: World) -> int:
    """How many numbers are held."""
    return len(world.ledger(only_open=True))


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        ("drop", httpx.RemoteProtocolError, 1),
        ("reset", httpx.ReadError, 0),
        ("hang", httpx.ReadTimeout, 1),
    ],
)
def test_lost_replies(world: World, kind: str, error: type[Exception], done: int) -> None:
    world.fault(kind, vendor="twilio", method="POST", seconds=1)
    with pytest.raises(error):
        buy(world, timeout=0.5)
    assert bought(world) == done
    log = world.own("GET", "/_sandbox/requests")
    assert [(r["fault"], r["method"]) for r in log] == [(kind, "POST")]
    assert buy(world).status_code == 201
    assert bought(world) == done + 1


@pytest.mark.parametrize(("carried_out", "count"), [(False, 0), (True, 1)])
def test_server_errors(world: World, carried_out: bool, count: int) -> None:
    world.fault("error", vendor="twilio", status=503, done=carried_out)
    answer = buy(world)
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert bought(world) == count


def test_limits_in_the_vendors_own_words(world: World) -> None:
    world.fault("throttle", times=2, retryAfter=3)
    with pytest.raises(stripe.RateLimitError) as stripes:
        world.stripe().customers.list()
    assert stripes.value.headers["Retry-After"] == "3"
    with pytest.raises(TwilioRestException) as twilios:
        world.twilio().api.v2010.account.fetch()
    assert (twilios.value.status, twilios.value.code) == (429, 20429)
    world.stripe().customers.list()


def test_delay_is_before_the_act(world: World) -> None:
    world.fault("delay", vendor="twilio", seconds=0.6)
    thread = threading.Thread(target=buy, args=(world,))
    thread.start()
    time.sleep(0.2)
    assert bought(world) == 0
    thread.join()
    assert bought(world) == 1


def test_pause_shows_what_is_booked_and_not_yet_said(world: World) -> None:
    rule = world.fault("pause", vendor="twilio", pathRegex=r"IncomingPhoneNumbers\.json$")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(buy(world).status_code))
    thread.start()
    deadline = time.monotonic() + 60
    while not (waiting := world.own("GET", "/_sandbox/faults")["waiting"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [(w["rule"], w["method"], w["status"]) for w in waiting] == [(rule, "POST", 201)]
    assert bought(world) == 1
    assert answers == []
    world.own("DELETE", f"/_sandbox/faults/{rule}")
    thread.join(60)
    assert answers == [201]
    assert world.own("GET", "/_sandbox/faults") == {"rules": [], "waiting": []}


def test_rules_are_counted(world: World) -> None:
    world.fault("error", vendor="twilio", status=500, skip=1, times=2)
    assert [buy(world).status_code for _ in range(4)] == [201, 500, 500, 201]
    world.fault("error", status=502, times=None, pathRegex="IncomingPhone")
    assert [buy(world).status_code for _ in range(3)] == [502] * 3
    world.stripe().customers.list()
    world.own("DELETE", "/_sandbox/faults")
    assert buy(world).status_code == 201


@pytest.mark.parametrize(
    "rule", [{}, {"kind": "x"}, {"kind": "drop", "pathRegex": "("}, {"kind": "drop", "typo": 1}]
)
def test_rules_that_make_no_sense(world: World, rule: dict[str, Any]) -> None:
    answer = httpx.post(f"{world.url}/_sandbox/faults", json=rule, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_reset_forgets(world: World) -> None:
    buy(world)
    world.customer()
    world.fault("drop", times=None)
    world.own("POST", "/_sandbox/reset")
    assert world.ledger() == []
    assert world.stripe().customers.list().data == []
    assert buy(world).status_code == 201
    assert world.own("GET", "/_sandbox/health") == {"status": "ok"}
