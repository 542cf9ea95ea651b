"""What an agency has already is taken over: nothing is bought, and no call is lost on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.stack import Object, Stack, client, conditions, until

pytestmark = pytest.mark.integration

ANSWER = "https://voice.agency.example/answer"


def run_import(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("voicefleet")),
            "import",
            "--profession=dentist",
            *arguments,
        ],
        env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)},
        capture_output=True,
        text=True,
    )


class Agency:
    """What was made by hand at the vendors, by a person."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def number(self, e164: str) -> str:
        auth, path = self.stack.twilio_numbers()
        body = {"PhoneNumber": e164, "VoiceUrl": ANSWER}
        bought = self.stack.sandbox.post(f"{path}.json", auth=auth, data=body)
        assert bought.status_code == 201, bought.text
        return e164

    def subscription(self, name: str, amount: int, **customer: Any) -> Any:
        api = self.stack.stripe().v1
        made = api.customers.create({"name": name, "email": "a@agency.example", **customer})
        product = api.products.create({"name": f"Voice agent for {name}"})
        price = api.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": amount,
                "recurring": {"interval": "month"},
            }
        )
        return api.subscriptions.create(
            {
                "customer": made.id,
                "items": [{"price": price.id}],
                "collection_method": "send_invoice",
                "days_until_due": 14,
            }
        )


@pytest.fixture
def agency(stack: Stack) -> Agency:
    return Agency(stack)


def number(stack: Stack, e164: str) -> Object:
    [found] = [n for n in stack.twilio_lists()["numbers"] if n["phone_number"] == e164]
    return found


def test_what_an_agency_has_is_taken_over_without_a_purchase(stack: Stack, agency: Agency) -> None:
    named, mapped = agency.number("+13032201007"), agency.number("+13032201008")
    by_phone = agency.subscription("Old Town Dental", 29900, phone=named)
    by_hand = agency.subscription("Mapped Movers", 49900)
    odd = agency.subscription("Odd Price", 25000, metadata={"agent": agency.number("+13032201009")})
    # A client of ours is on the same accounts: none of its things may be offered.
    stack.apply(client("ours"))
    stack.wait("ours", "Answering")
    ledger, sequence = stack.ledger(), stack.last_request()

    done = run_import(stack, "--map", f"{mapped}={by_hand.customer}")
    assert done.returncode == 2, done.stderr
    assert f"{odd.id} is charged 250.00 usd a month, which is no plan's price" in done.stderr
    manifests = {m["metadata"]["name"]: m for m in yaml.safe_load_all(done.stdout)}
    assert set(manifests) == {"old-town-dental", "mapped-movers"}
    assert stack.writes_since(sequence) == []

    # Killed when the vendor has taken the mark and the reply is still on its way.
    stack.fault("pause", vendor="stripe", method="POST", pathRegex=f"/subscriptions/{by_phone.id}")
    stack.kubectl("apply", "-f", "-", stdin=done.stdout)
    until(stack.held, "no mark on the subscription is held")
    assert number(stack, named)["voice_url"] == ANSWER
    stack.stop_operator()
    stack.clear_faults()
    stack.start_operator()
    for name, subscription, e164 in (
        ("old-town-dental", by_phone, named),
        ("mapped-movers", by_hand, mapped),
    ):
        state = stack.wait(name, "Ready")["status"]
        stack.wait(name, "Answering")
        assert state["primaryNumber"] == e164
        [mine] = stack.subscriptions(name)
        assert mine["id"] == subscription.id
        before = subscription.to_dict()["items"]["data"][0]["price"]["id"]
        assert mine["items"]["data"][0]["price"]["id"] == before
        client_id = state["clientID"]
        assert client_id in number(stack, e164)["friendly_name"]
        check_switched_last(stack, sequence, number(stack, e164))
    # Marks are all that has changed: no purchase, no subscription, no charge, no other price.
    booked = stack.ledger()[len(ledger) :]
    kinds = sorted(entry["kind"] for entry in booked)
    assert kinds == 2 * ["number.renamed"] + 2 * ["subscription.updated"]
    assert [entry["amountMinor"] for entry in booked] == [0, 0, 0, 0]
    prices = {e["id"]: e["monthlyMinor"] for e in ledger}
    assert {e["id"]: e["monthlyMinor"] for e in booked}.items() <= prices.items()
    again = run_import(stack)
    assert "old-town" not in again.stdout + again.stderr

    stack.delete("old-town-dental", "mapped-movers")
    for e164 in (named, mapped):
        kept = number(stack, e164)
        assert kept["trunk_sid"] is None
    assert [e for e in stack.ledger() if e["kind"] == "number.released"] == [
        e for e in ledger if e["kind"] == "number.released"
    ]


def check_switched_last(stack: Stack, since: int, mine: Object) -> None:
    """One request touches the number's routing, and it sets the trunk: it never rings nowhere."""
    assert mine["trunk_sid"]
    log = stack.sandbox.get("/_sandbox/requests", params={"since": since}).json()
    routing = [
        set(entry["parameters"])
        for entry in log
        if entry["method"] == "POST"
        and entry["path"].endswith(f"/IncomingPhoneNumbers/{mine['sid']}.json")
        and {"VoiceUrl", "TrunkSid"} & set(entry["parameters"])
    ]
    assert routing == [{"VoiceUrl", "VoiceFallbackUrl", "TrunkSid"}]


def test_another_price_is_refused_before_anything_is_changed(stack: Stack, agency: Agency) -> None:
    mine = agency.subscription("Dear Dental", 25000)
    billing = {"existing": {"customerID": mine.customer, "subscriptionID": mine.id}}
    e164 = agency.number("+13032201010")
    numbers = [{"name": "main", "source": "Existing", "e164": e164}]
    stack.apply(client("dear", plan="Solo", billing=billing, telephony={"numbers": numbers}))
    until(
        lambda: (
            conditions(stack.client("dear")).get("BillingReady", {}).get("reason") == "PriceDiffers"
        ),
        "the difference is not said",
    )
    said = conditions(stack.client("dear"))["BillingReady"]["message"]
    assert "250.00 usd a month, but plan Solo costs 299.00 usd" in said
    assert stack.subscriptions("dear") == []
    assert number(stack, e164)["voice_url"] == ANSWER
    stack.delete("dear")
    assert number(stack, e164)["voice_url"] == ANSWER
    assert stack.stripe().v1.subscriptions.retrieve(mine.id).status == "active"


def test_a_number_of_the_agency_rings_on_in_the_fleets_pool_and_after_it(
    stack: Stack, agency: Agency
) -> None:
    e164 = agency.number("+13032201011")
    spec = {"fleetRef": {"name": "default"}, "account": "main", "source": "Existing", "e164": e164}
    meta = {"name": "pooled"}
    stack.apply(
        {
            "apiVersion": "voicefleet.dev/v1alpha1",
            "kind": "PhoneNumber",
            "metadata": meta,
            "spec": spec,
        }
    )
    until(
        lambda: stack.get("pn", "pooled").get("status", {}).get("phase") == "Available",
        "the number is not taken up",
    )
    held = number(stack, e164)
    assert held["friendly_name"].startswith("voicefleet/")
    assert held["voice_url"] == ANSWER
    stack.kubectl("delete", "pn", "pooled", "--timeout=60s")
    freed = number(stack, e164)
    assert (freed["friendly_name"], freed["voice_url"]) == (e164, ANSWER)
