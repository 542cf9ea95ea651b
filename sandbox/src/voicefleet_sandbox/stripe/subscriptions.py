"""Subscriptions of one item, with trial, proration, decline, renewal and end."""

from __future__ import annotations

from typing import Any

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.catalog import declines, usable_card
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.invoices import card_declined, draw
from voicefleet_sandbox.stripe.wire import (
    StripeError,
    created_filter,
    merged_metadata,
    missing,
    need,
    page,
    truth,
)

_MONTH = 30 * 86400
_ENDED = ("canceled", "incomplete_expired")


def create_subscription(ctx: Context) -> Document:
    """POST /v1/subscriptions."""
    params = ctx.params
    customer = ctx.get("customer", need(params, "customer"), "customer")
    if customer.get("deleted"):
        raise missing("customer", customer["id"], "customer")
    price = _price(ctx, need(params, "items")[0])
    trial = int(params.get("trial_period_days", 0))
    by_invoice = params.get("collection_method") == "send_invoice"
    if by_invoice and "days_until_due" not in params:
        raise StripeError(
            "If `collection_method` is set to `send_invoice`, you must pass in the"
            " `days_until_due` value.",
            param="days_until_due",
        )
    card = None
    if not by_invoice and not trial:
        card = usable_card(ctx, customer, params.get("default_payment_method"))
    declined = card is not None and declines(card)
    if declined and params.get("payment_behavior") == "error_if_incomplete":
        raise card_declined()
    status = "trialing" if trial else "incomplete" if declined else "active"
    return begin(
        ctx, customer["id"], price, status=status, trial_days=trial,
        days_until_due=int(params["days_until_due"]) if by_invoice else None,
        card=card["id"] if card else params.get("default_payment_method"),
        metadata=params.get("metadata"), paid=not by_invoice and not declined,
    )  # fmt: skip


def begin(
    ctx: Context,
    customer: str,
    price: Document,
    *,
    status: str,
    trial_days: int,
    days_until_due: int | None,
    card: str | None,
    metadata: Any,
    paid: bool,
) -> Document:
    """Make the subscription with its first invoice, and book it."""
    id_, start = new_id("sub_"), ctx.now
    end_ = start + (trial_days * 86400 or _MONTH)
    doc: Document = {
        "id": id_,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": end_ if trial_days else start,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically" if days_until_due is None else "send_invoice",
        "created": start,
        "currency": price["currency"],
        "customer": customer,
        "customer_account": None,
        "days_until_due": days_until_due,
        "default_payment_method": card,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={id_}",
            "data": [_item(id_, price, start, end_)],
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, metadata),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": start,
        "status": status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": end_ if trial_days else None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": start if trial_days else None,
    }
    amount = 0 if trial_days else price["unit_amount"]
    invoice = draw(ctx, doc, [("First month", amount)], reason="subscription_create", paid=paid)
    doc["latest_invoice"] = invoice["id"]
    ctx.put("subscription", doc)
    ctx.book("subscription.created", id_, **_money(doc), is_open=True)
    ctx.emit("customer.subscription.created", doc)
    return doc


def _money(doc: Document) -> dict[str, Any]:
    price = doc["items"]["data"][0]["price"]
    return {
        "monthly": price["unit_amount"],
        "currency": price["currency"],
        "mark": doc["metadata"],
    }


def _price(ctx: Context, item: Document) -> Document:
    price = ctx.get("price", need(item, "price"), "items[0][price]")
    if not price["active"]:
        raise StripeError(f"The price specified is inactive: {price['id']}", param="items[0]")
    if price["type"] != "recurring":
        raise StripeError("The price specified is set to `type=one_time`.", param="items[0]")
    return price


def _item(subscription: str, price: Document, start: int, end_: int) -> Document:
    return {
        "id": new_id("si_", 14),
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": start,
        "current_period_end": end_,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "price": price,
        "quantity": 1,
        "subscription": subscription,
        "tax_rates": [],
    }


def get_subscription(ctx: Context, id_: str) -> Document:
    """GET /v1/subscriptions/{id}."""
    return ctx.get("subscription", id_)


def update_subscription(ctx: Context, id_: str) -> Document:
    """POST /v1/subscriptions/{id}."""
    doc = ctx.get("subscription", id_)
    if doc["status"] in _ENDED:
        raise StripeError(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="resource_missing",
            status=404,
        )
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    if "cancel_at_period_end" in ctx.params:
        _cancel_later(ctx, doc, truth(ctx.params["cancel_at_period_end"]))
    if "pause_collection" in ctx.params:
        pause = ctx.params["pause_collection"]
        doc["pause_collection"] = {"resumes_at": None, **pause} if pause else None
    for given in ctx.params.get("items", []):
        _change_price(ctx, doc, given)
    ctx.put("subscription", doc)
    ctx.emit("customer.subscription.updated", doc)
    return doc


def _cancel_later(ctx: Context, doc: Document, later: bool) -> None:
    if later == doc["cancel_at_period_end"]:
        return
    doc["cancel_at_period_end"] = later
    doc["canceled_at"] = ctx.now if later else None
    doc["cancel_at"] = doc["items"]["data"][0]["current_period_end"] if later else None
    kind = "subscription.ending" if later else "subscription.resumed"
    ctx.book(kind, doc["id"], **_money(doc), is_open=not later)


def _change_price(ctx: Context, doc: Document, given: Document) -> None:
    item = doc["items"]["data"][0]
    if given.get("id") != item["id"]:
        raise missing("subscription_item", str(given.get("id")), "items[0][id]")
    old, new = item["price"], _price(ctx, given)
    if old["id"] == new["id"]:
        return
    item["price"] = new
    if ctx.params.get("proration_behavior", "create_prorations") != "none" and (
        doc["status"] == "active"
    ):
        _prorate(ctx, doc, old, new)
    ctx.book("subscription.updated", doc["id"], **_money(doc), is_open=True)


def _share_left(ctx: Context, item: Document) -> float:
    length: int = item["current_period_end"] - item["current_period_start"]
    left: int = item["current_period_end"] - ctx.now
    return max(0.0, min(1.0, left / length))


def _prorate(ctx: Context, doc: Document, old: Document, new: Document) -> None:
    """Unused time is credited and the new price charged for the rest, on the next invoice."""
    left = _share_left(ctx, doc["items"]["data"][0])
    difference = round(new["unit_amount"] * left) - round(old["unit_amount"] * left)
    ctx.book(
        "subscription.prorated", doc["id"], amount=difference, currency=doc["currency"],
        mark=doc["metadata"],
    )  # fmt: skip
    pending = {"id": new_id("ii_"), "subscription": doc["id"], "amount": difference}
    ctx.put("pending_item", pending)


def cancel_subscription(ctx: Context, id_: str) -> Document:
    """DELETE /v1/subscriptions/{id}."""
    doc = ctx.get("subscription", id_)
    if doc["status"] in _ENDED:
        raise missing("subscription", id_)
    return end(
        ctx, doc, invoice_now=truth(ctx.params.get("invoice_now")),
        prorate=truth(ctx.params.get("prorate")),
    )  # fmt: skip


def end(
    ctx: Context, doc: Document, *, invoice_now: bool = False, prorate: bool = False
) -> Document:
    """End it at once; with a final invoice over what is pending and what was paid too much."""
    lines = [("Pending", amount) for amount in _take_pending(ctx, doc["id"])]
    latest = ctx.get("invoice", doc["latest_invoice"])
    item = doc["items"]["data"][0]
    if prorate and latest["status"] == "paid" and latest["amount_paid"] > 0:
        lines.append(("Unused time", -round(item["price"]["unit_amount"] * _share_left(ctx, item))))
    if invoice_now and lines:
        invoice = draw(ctx, doc, lines, reason="subscription_update", paid=True)
        doc["latest_invoice"] = invoice["id"]
    doc |= {"status": "canceled", "canceled_at": ctx.now, "ended_at": ctx.now}
    ctx.put("subscription", doc)
    ctx.book("subscription.canceled", doc["id"], **_money(doc), is_open=False)
    ctx.emit("customer.subscription.deleted", doc)
    return doc


def _take_pending(ctx: Context, subscription: str) -> list[int]:
    mine = [p for p in ctx.all("pending_item") if p["subscription"] == subscription]
    for pending in mine:
        ctx.store.delete("stripe", ctx.account, "pending_item", pending["id"])
    return [pending["amount"] for pending in mine]


def list_subscriptions(ctx: Context) -> Document:
    """GET /v1/subscriptions; without `status` the ended ones are left out."""
    items = created_filter(ctx.all("subscription"), ctx.params)
    wanted = ctx.params.get("status")
    if wanted is None:
        items = [doc for doc in items if doc["status"] not in _ENDED]
    elif wanted == "ended":
        items = [doc for doc in items if doc["status"] in _ENDED]
    elif wanted != "all":
        items = [doc for doc in items if doc["status"] == wanted]
    if "customer" in ctx.params:
        items = [doc for doc in items if doc["customer"] == ctx.params["customer"]]
    if "price" in ctx.params:
        items = [d for d in items if d["items"]["data"][0]["price"]["id"] == ctx.params["price"]]
    return page("/v1/subscriptions", items, ctx.params)


def renew_all(ctx: Context) -> None:
    """What the passing of time does: renewals, ends of period, ends of trial."""
    for doc in ctx.all("subscription"):
        while doc["status"] not in _ENDED and (
            doc["items"]["data"][0]["current_period_end"] <= ctx.now
        ):
            if doc["cancel_at_period_end"]:
                end(ctx, doc)
                break
            _renew(ctx, doc)


def _renew(ctx: Context, doc: Document) -> None:
    item = doc["items"]["data"][0]
    item["current_period_start"] = item["current_period_end"]
    item["current_period_end"] += _MONTH
    lines = [("Next month", item["price"]["unit_amount"])]
    lines += [("Proration", amount) for amount in _take_pending(ctx, doc["id"])]
    paid = False
    if doc["collection_method"] == "charge_automatically":
        try:
            customer = ctx.get("customer", doc["customer"])
            paid = not declines(usable_card(ctx, customer, doc["default_payment_method"]))
        except StripeError:
            paid = False
        doc["status"] = "active" if paid else "past_due"
    else:
        doc["status"] = "active"
    invoice = draw(ctx, doc, lines, reason="subscription_cycle", paid=paid)
    doc["latest_invoice"] = invoice["id"]
    ctx.put("subscription", doc)
    ctx.emit("customer.subscription.updated", doc)
