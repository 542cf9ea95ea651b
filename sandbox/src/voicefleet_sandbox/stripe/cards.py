"""Payment methods: test cards, whose they are, and whether the bank says yes."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.wire import StripeError, missing

# https://docs.stripe.com/testing: last four digits by the name of the test card.
_CARDS = {
    "pm_card_visa": "4242",
    "pm_card_mastercard": "4444",
    "pm_card_amex": "8431",
    "pm_card_chargeDeclined": "0002",
    "pm_card_visa_chargeDeclined": "0002",
    "pm_card_chargeCustomerFail": "0341",
    "tok_visa": "4242",
    "tok_mastercard": "4444",
    "tok_amex": "8431",
    "tok_chargeDeclined": "0002",
    "tok_visa_chargeDeclined": "0002",
    "tok_chargeCustomerFail": "0341",
}
_DECLINING = ("0002", "0341")
_PLAIN = "tok_visa"


def create_payment_method(ctx: Context) -> Document:
    """POST /v1/payment_methods with `card[token]`."""
    if ctx.params.get("type") != "card":
        raise StripeError("The sandbox knows type=card only.", param="type")
    token = ctx.params.get("card", {}).get("token", _PLAIN)
    if token not in _CARDS:
        raise StripeError(f"No such token: '{token}'", code="resource_missing", param="card[token]")
    return ctx.put("payment_method", _card(ctx, token, ctx.params.get("metadata", {})))


def _card(ctx: Context, kind: str, metadata: dict[str, str]) -> Document:
    return {
        "id": new_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": {
                "city": None, "country": None, "line1": None, "line2": None, "postal_code": None,
                "state": None,
            },
            "email": None, "name": None, "phone": None, "tax_id": None,
        },
        "card": {
            "brand": "visa", "checks": None, "country": "US", "display_brand": "visa",
            "exp_month": 12, "exp_year": 2034, "fingerprint": "sandbox", "funding": "credit",
            "generated_from": None, "last4": _CARDS[kind], "networks": None,
            "regulated_status": "unregulated", "three_d_secure_usage": None, "wallet": None,
        },
        "created": ctx.now,
        "customer": None,
        "livemode": False,
        "metadata": metadata,
        "type": "card",
    }  # fmt: skip


def get_payment_method(ctx: Context, id_: str) -> Document:
    """GET /v1/payment_methods/{id}."""
    return ctx.get("payment_method", id_)


def list_payment_methods(ctx: Context) -> Document:
    """GET /v1/payment_methods."""
    wanted = {"customer": ctx.params["customer"]} if "customer" in ctx.params else {}
    return ctx.page("payment_method", "/v1/payment_methods", **wanted)


def attach_payment_method(ctx: Context, id_: str) -> Document:
    """POST /v1/payment_methods/{id}/attach."""
    customer = ctx.params["customer"]
    if ctx.get("customer", customer, "customer").get("deleted"):
        raise missing("customer", customer, "customer")
    return attach(ctx, id_, customer, "id")


def attach(ctx: Context, id_: str, customer: str, param: str = "payment_method") -> Document:
    """Attach a card; a test card's name (`pm_card_visa`) makes one of its kind."""
    if id_ in _CARDS:
        doc = _card(ctx, id_, {})
    else:
        doc = ctx.get("payment_method", id_, param)
        if doc["customer"] not in (None, customer):
            raise StripeError(
                "The payment method you provided has already been attached to a customer.",
                param=param,
            )
    doc["customer"] = customer
    ctx.emit("payment_method.attached", doc)
    return ctx.put("payment_method", doc)


def detach_payment_method(ctx: Context, id_: str) -> Document:
    """POST /v1/payment_methods/{id}/detach."""
    doc = ctx.get("payment_method", id_)
    if doc["customer"] is None:
        raise StripeError(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible."
        )
    doc["customer"] = None
    return ctx.put("payment_method", doc)


def owned_card(ctx: Context, id_: str, customer: str, param: str) -> Document:
    """A card of this customer's; raises Stripe's refusal of any other."""
    doc = ctx.store.get(VENDOR, ctx.account, "payment_method", id_)
    if doc is None or doc["customer"] != customer:
        raise StripeError(
            f"The customer does not have a payment method with the ID {id_}. The payment method"
            " must be attached to the customer.",
            code="resource_missing",
            param=param,
        )
    return doc


def usable_card(ctx: Context, customer: Document, given: str | None) -> Document:
    """The card that is charged; raises what Stripe does where there is none.

    `given`, or the customer's default: a card that is merely attached is not charged.
    """
    if given is not None:
        return owned_card(ctx, given, customer["id"], "default_payment_method")
    settings = customer.get("invoice_settings") or {}
    if settings.get("default_payment_method") is None:
        raise StripeError(
            "This customer has no attached payment source or default payment method. Please"
            " consider adding a default payment method. For more information, visit"
            " https://stripe.com/docs/billing/subscriptions/payment-methods-setting.",
            code="resource_missing",
        )
    return ctx.get("payment_method", settings["default_payment_method"], "payment_method")


def declines(card: Document) -> bool:
    """Whether the bank says no."""
    return card["card"]["last4"] in _DECLINING


def card_declined() -> StripeError:
    """The bank's no (https://docs.stripe.com/declines)."""
    return StripeError(
        "Your card was declined.",
        status=402,
        type_="card_error",
        code="card_declined",
        decline_code="generic_decline",
    )
