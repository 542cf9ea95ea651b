"""Checkout sessions in mode `subscription`, and the page that completes them."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.catalog import attach
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.subscriptions import begin
from voicefleet_sandbox.stripe.wire import (
    StripeError,
    created_filter,
    merged_metadata,
    need,
    page,
)

_LIFETIME = 24 * 3600


def create_session(ctx: Context) -> Document:
    """POST /v1/checkout/sessions."""
    params = ctx.params
    if need(params, "mode") != "subscription":
        raise StripeError("The sandbox knows mode=subscription only.", param="mode")
    customer = ctx.get("customer", need(params, "customer"), "customer")
    price = ctx.get("price", need(need(params, "line_items")[0], "price"), "line_items[0][price]")
    id_ = new_id("cs_test_", 40)
    doc: Document = {
        "id": id_,
        "object": "checkout.session",
        "amount_subtotal": price["unit_amount"],
        "amount_total": price["unit_amount"],
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "client_reference_id": params.get("client_reference_id"),
        "created": ctx.now,
        "currency": price["currency"],
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer["id"],
        "customer_email": None,
        "expires_at": ctx.now + _LIFETIME,
        "invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "mode": "subscription",
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "shipping_options": [],
        "status": "open",
        "subscription": None,
        "success_url": params.get("success_url"),
        "url": f"{ctx.base_url}/checkout/{id_}",
    }  # fmt: skip
    # What Stripe keeps to itself until the session is paid.
    ctx.put(
        "checkout_terms",
        {"id": id_, "price": price["id"], "subscription_data": params.get("subscription_data", {})},
    )
    return ctx.put("checkout.session", doc)


def _fresh(ctx: Context, doc: Document) -> Document:
    if doc["status"] == "open" and doc["expires_at"] <= ctx.now:
        return _expire(ctx, doc)
    return doc


def _expire(ctx: Context, doc: Document) -> Document:
    doc |= {"status": "expired", "url": None}
    ctx.emit("checkout.session.expired", doc)
    return ctx.put("checkout.session", doc)


def get_session(ctx: Context, id_: str) -> Document:
    """GET /v1/checkout/sessions/{id}."""
    return _fresh(ctx, ctx.get("checkout.session", id_))


def expire_session(ctx: Context, id_: str) -> Document:
    """POST /v1/checkout/sessions/{id}/expire."""
    doc = get_session(ctx, id_)
    if doc["status"] != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout'
            f" Session has a status of {doc['status']}."
        )
    return _expire(ctx, doc)


def list_sessions(ctx: Context) -> Document:
    """GET /v1/checkout/sessions."""
    items = [_fresh(ctx, doc) for doc in ctx.all("checkout.session")]
    items = created_filter(items, ctx.params)
    for name in ("customer", "status", "subscription"):
        if name in ctx.params:
            items = [doc for doc in items if doc[name] == ctx.params[name]]
    return page("/v1/checkout/sessions", items, ctx.params)


def complete(ctx: Context, id_: str) -> Document:
    """The payer has paid: a paid subscription comes of the session. Twice is the same as once."""
    doc = get_session(ctx, id_)
    if doc["status"] == "complete":
        return doc
    if doc["status"] != "open":
        raise StripeError("This Checkout Session has expired.")
    terms = ctx.get("checkout_terms", id_)
    data = terms["subscription_data"]
    trial = int(data.get("trial_period_days", 0))
    card = attach(ctx, "pm_card_visa", doc["customer"])
    subscription = begin(
        ctx, doc["customer"], ctx.get("price", terms["price"]),
        status="trialing" if trial else "active", trial_days=trial, days_until_due=None,
        card=card["id"], metadata=data.get("metadata"), paid=True,
    )  # fmt: skip
    doc |= {
        "status": "complete",
        "payment_status": "paid",
        "subscription": subscription["id"],
        "invoice": subscription["latest_invoice"],
        "url": None,
    }
    ctx.emit("checkout.session.completed", doc)
    return ctx.put("checkout.session", doc)
