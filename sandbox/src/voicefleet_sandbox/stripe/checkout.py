"""Checkout sessions in mode `subscription`, and the page that completes them."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe import subscriptions
from voicefleet_sandbox.stripe.cards import attach
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.customers import new_customer
from voicefleet_sandbox.stripe.wire import (
    StripeError,
    integer,
    merged_metadata,
    missing,
    need,
)

_LIFETIME = 24 * 3600


def create_session(ctx: Context) -> Document:
    """POST /v1/checkout/sessions."""
    params = ctx.params
    if need(params, "mode") != "subscription":
        raise StripeError("The sandbox knows mode=subscription only.", param="mode")
    customer = params.get("customer")
    if customer is not None and ctx.get("customer", customer, "customer").get("deleted"):
        raise missing("customer", customer, "customer")
    items = need(params, "line_items")
    prices = [subscriptions.price_of(ctx, item, n) for n, item in enumerate(items)]
    data = params.get("subscription_data", {})
    trial = integer(data, "trial_period_days", 0)
    pairs = zip(prices, items, strict=True)
    amount = sum(price["unit_amount"] * integer(item, "quantity", 1) for price, item in pairs)
    amount = 0 if trial else amount
    id_ = new_id("cs_test_", 40)
    doc: Document = {
        "id": id_,
        "object": "checkout.session",
        "amount_subtotal": amount,
        "amount_total": amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": ctx.now,
        "currency": prices[0]["currency"],
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer,
        "customer_email": params.get("customer_email"),
        "expires_at": integer(params, "expires_at", ctx.now + _LIFETIME),
        "invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "mode": "subscription",
        "payment_intent": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "shipping_options": [],
        "status": "open",
        "subscription": None,
        "success_url": params.get("success_url"),
        "url": f"{ctx.base_url}/checkout/{id_}",
    }  # fmt: skip
    # What Stripe keeps to itself until the session is paid.
    ctx.put("checkout_terms", {"id": id_, "items": items, "subscription_data": data})
    return ctx.put("checkout.session", doc)


def expire(ctx: Context, doc: Document) -> Document:
    """An open session cannot be paid any more."""
    doc |= {"status": "expired", "url": None}
    ctx.emit("checkout.session.expired", doc)
    return ctx.put("checkout.session", doc)


def get_session(ctx: Context, id_: str) -> Document:
    """GET /v1/checkout/sessions/{id}."""
    return ctx.get("checkout.session", id_)


def expire_session(ctx: Context, id_: str) -> Document:
    """POST /v1/checkout/sessions/{id}/expire."""
    doc = get_session(ctx, id_)
    if doc["status"] != "open":
        raise StripeError(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
            f" Session has a status of {doc['status']}."
        )
    return expire(ctx, doc)


def list_sessions(ctx: Context) -> Document:
    """GET /v1/checkout/sessions."""
    names = [name for name in ("customer", "status", "subscription") if name in ctx.params]
    return ctx.page(
        "checkout.session",
        "/v1/checkout/sessions",
        lambda doc: all(doc[name] == ctx.params[name] for name in names),
    )


def complete(ctx: Context, id_: str) -> Document:
    """The payer has paid: a paid subscription comes of the session. Twice is the same as once."""
    doc = get_session(ctx, id_)
    if doc["status"] == "complete":
        return doc
    if doc["status"] != "open":
        raise StripeError("This Checkout Session has expired.")
    if doc["customer"] is None:
        ctx.params = {"email": doc["customer_email"] or "", "name": ""}
        doc["customer"] = new_customer(ctx)["id"]
    elif ctx.get("customer", doc["customer"]).get("deleted"):
        raise missing("customer", doc["customer"], "customer")
    terms = ctx.get("checkout_terms", id_)
    data = terms["subscription_data"]
    trial = integer(data, "trial_period_days", 0)
    card = attach(ctx, "pm_card_visa", doc["customer"])
    subscription = subscriptions.begin(
        ctx, doc["customer"], terms["items"], trial_days=trial, days_until_due=None,
        default_card=card["id"], charge=card["id"], metadata=data.get("metadata"),
        description=data.get("description"),
    )  # fmt: skip
    doc |= {
        "status": "complete",
        "payment_status": "no_payment_required" if trial else "paid",
        "subscription": subscription["id"],
        "invoice": subscription["latest_invoice"],
        "url": None,
    }
    ctx.emit("checkout.session.completed", doc)
    return ctx.put("checkout.session", doc)
