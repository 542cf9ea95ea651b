"""Whatever is asked in whatever order, faults included: the open ledger is what the vendors list.

Requests go past the network: a store, Stripe's and Twilio's side of the sandbox, no server.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from voicefleet_sandbox.store import Store
from voicefleet_sandbox.stripe import api as stripe_api
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.cycle import pass_time
from voicefleet_sandbox.stripe.wire import StripeError, parse_form
from voicefleet_sandbox.twilio import api as twilio_api
from voicefleet_sandbox.twilio.wire import TwilioError

pytestmark = pytest.mark.property

ACCOUNTS = ("AC" + "1" * 32, "AC" + "2" * 32)
KEYS = st.sampled_from(["op-1", "op-2", "op-3", None, None, None])
CARDS = st.sampled_from(["pm_card_visa", "pm_card_chargeDeclined", None])


class Vendors(RuleBasedStateMachine):
    """Two carrier accounts that compete for five numbers, and one of billing."""

    customers = Bundle("customers")
    subscriptions = Bundle("subscriptions")
    sessions = Bundle("sessions")
    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(None)
        self.store.set_meta("stock", json.dumps({"415": 5}))
        self.api = stripe_api.Api(self.store)
        product = self.ask("POST", "/v1/products", name="Agent")["id"]
        self.prices = [
            self.ask(
                "POST", "/v1/prices", product=product, currency="usd", unit_amount=str(amount),
                **{"recurring[interval]": "month"},
            )["id"]
            for amount in (0, 29900, 49900)
        ]  # fmt: skip

    def teardown(self) -> None:
        self.store.close()

    def ask(self, method: str, path: str, key: str | None = None, **form: str) -> Any:
        """Ask Stripe; what it answers, errors included."""
        call = stripe_api.Call(method, path, parse_form(form.items()), "http://x", key)
        reply = self.api.handle("acct_1", call)
        assert reply.status < 500
        return json.loads(reply.body)

    def carrier(self, account: str, method: str, path: str, **form: str) -> Any:
        """Ask Twilio; None for a refusal or an empty answer."""
        try:
            whole = f"/2010-04-01/Accounts/{account}{path}"
            _, body = twilio_api.handle(self.store, account, method, whole, form)
        except TwilioError:
            return None
        return json.loads(body) if body else None

    # --- billing ------------------------------------------------------------------------------

    @rule(target=customers, card=CARDS, key=KEYS)
    def customer(self, card: str | None, key: str | None) -> Any:
        form = {"name": "A"}
        if card:
            form |= {
                "payment_method": card,
                "invoice_settings[default_payment_method]": card,
            }
        return self.ask("POST", "/v1/customers", key, **form).get("id", "cus_none")

    @rule(
        target=subscriptions,
        customer=customers,
        price=st.integers(0, 2),
        how=st.sampled_from(["card", "strict", "invoice", "trial"]),
        key=KEYS,
    )
    def subscribe(self, customer: str, price: int, how: str, key: str | None) -> Any:
        form = {"customer": customer, "items[0][price]": self.prices[price], "metadata[m]": how}
        if how == "strict":
            form["payment_behavior"] = "error_if_incomplete"
        elif how == "invoice":
            form |= {"collection_method": "send_invoice", "days_until_due": "14"}
        elif how == "trial":
            form["trial_period_days"] = "3"
        return self.ask("POST", "/v1/subscriptions", key, **form).get("id", "sub_none")

    @rule(id_=subscriptions, price=st.integers(0, 2), behavior=st.sampled_from(
        ["none", "create_prorations", "always_invoice"]))  # fmt: skip
    def change(self, id_: str, price: int, behavior: str) -> None:
        items = self.ask("GET", "/v1/subscription_items", subscription=id_).get("data", [])
        for item in items:
            self.ask(
                "POST", f"/v1/subscriptions/{id_}", proration_behavior=behavior,
                **{"items[0][id]": item["id"], "items[0][price]": self.prices[price]},
            )  # fmt: skip

    @rule(id_=subscriptions, later=st.booleans())
    def cancel_later(self, id_: str, later: bool) -> None:
        self.ask("POST", f"/v1/subscriptions/{id_}", cancel_at_period_end=str(later).lower())

    @rule(id_=subscriptions, name=st.sampled_from(["a", "b", ""]))
    def rename(self, id_: str, name: str) -> None:
        self.ask("POST", f"/v1/subscriptions/{id_}", **{"metadata[m]": name})

    @rule(id_=subscriptions, final=st.sampled_from(["true", "false"]))
    def cancel(self, id_: str, final: str) -> None:
        self.ask("DELETE", f"/v1/subscriptions/{id_}", invoice_now=final, prorate=final)

    @rule(id_=customers)
    def delete_customer(self, id_: str) -> None:
        self.ask("DELETE", f"/v1/customers/{id_}")

    @rule(target=sessions, customer=customers, price=st.integers(0, 2), key=KEYS)
    def checkout(self, customer: str, price: int, key: str | None) -> Any:
        made = self.ask(
            "POST", "/v1/checkout/sessions", key, mode="subscription", customer=customer,
            **{"line_items[0][price]": self.prices[price], "line_items[0][quantity]": "1"},
        )  # fmt: skip
        return made.get("id", "cs_none")

    @rule(id_=sessions)
    def pay(self, id_: str) -> None:
        from voicefleet_sandbox.stripe.checkout import complete

        try:
            with self.store.transaction():
                complete(Context(self.store, "acct_1", {}, "http://x"), id_)
        except StripeError:
            return

    @rule(days=st.sampled_from([1, 3, 31, 70]))
    def wait(self, days: int) -> None:
        with self.store.transaction():
            self.store.advance(days * 86400)
            pass_time(Context(self.store, "acct_1", {}, "http://x"))

    # --- numbers ------------------------------------------------------------------------------

    @rule(target=numbers, account=st.sampled_from(ACCOUNTS), exact=st.booleans())
    def buy(self, account: str, exact: bool) -> Any:
        form = {"PhoneNumber": "+14152201002"} if exact else {"AreaCode": "415"}
        made = self.carrier(account, "POST", "/IncomingPhoneNumbers.json", **form)
        return (account, made["sid"]) if made else (account, "PN0")

    @rule(number=numbers, name=st.sampled_from(["a", "b"]))
    def name_number(self, number: tuple[str, str], name: str) -> None:
        path = f"/IncomingPhoneNumbers/{number[1]}.json"
        self.carrier(number[0], "POST", path, FriendlyName=name)

    @rule(number=numbers)
    def release(self, number: tuple[str, str]) -> None:
        self.carrier(number[0], "DELETE", f"/IncomingPhoneNumbers/{number[1]}.json")

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def open_ledger_is_what_the_vendors_list(self) -> None:
        listed = {
            s["id"]: (s["items"]["data"][0]["price"]["unit_amount"], s["metadata"])
            for s in self.ask("GET", "/v1/subscriptions", limit="100").get("data", [])
            if not s["cancel_at_period_end"]
        }
        booked = {
            e["id"]: (e["monthlyMinor"], e["mark"])
            for e in self.store.ledger(vendor="stripe", only_open=True)
        }
        assert booked == listed
        held = {
            n["sid"]: (account, n["phone_number"], n["friendly_name"])
            for account in ACCOUNTS
            for n in self.carrier(account, "GET", "/IncomingPhoneNumbers.json")[
                "incoming_phone_numbers"
            ]
        }
        assert held == {
            e["id"]: (e["account"], e["mark"]["phoneNumber"], e["mark"]["friendlyName"])
            for e in self.store.ledger(vendor="twilio", only_open=True)
        }
        assert len({number for _, number, _ in held.values()}) == len(held) <= 5

    @invariant()
    def money_taken_is_money_on_paid_invoices(self) -> None:
        invoices = self.store.all("stripe", "acct_1", "invoice")
        paid = sum(doc["amount_paid"] for doc in invoices)
        ledger = self.store.ledger(vendor="stripe")
        assert paid == sum(e["amountMinor"] for e in ledger if e["kind"] == "invoice.charged")
        for doc in invoices:
            assert doc["total"] == sum(line["amount"] for line in doc["lines"]["data"])
            if doc["status"] == "paid":
                assert doc["amount_paid"] == doc["amount_due"]
                # What is not charged is on the customer's balance, and the reverse.
                assert doc["amount_due"] + doc["ending_balance"] == (
                    doc["total"] + doc["starting_balance"]
                )


Vendors.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestVendors = Vendors.TestCase
