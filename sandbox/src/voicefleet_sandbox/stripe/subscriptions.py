"""Subscriptions: begin, change and end.

What time does to them is in `cycle.py`.
"""

from __future__ import annotations

from typing import Any

from voicefleet_sandbox.store import Document
from voicefleet_sandbox.stripe import invoices, lines
from voicefleet_sandbox.stripe.calendar import monthly, period_end
from voicefleet_sandbox.stripe.cards import card_declined, declines, owned_card, usable_card
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.shapes import blank_subscription, subscription_item
from voicefleet_sandbox.stripe.wire import (
    StripeError,
    integer,
    merged_metadata,
    missing,
    missing_param,
    need,
    truth,
)

ENDED = ("canceled", "incomplete_expired")


# --- begin ------------------------------------------------------------------------------------


def create_subscription(ctx: Context) -> Document:
    """POST /v1/subscriptions."""
    params = ctx.params
    customer = ctx.get("customer", need(params, "customer"), "customer")
    if customer.get("deleted"):
        raise missing("customer", customer["id"], "customer")
    by_invoice = params.get("collection_method") == "send_invoice"
    if by_invoice != ("days_until_due" in params):
        raise StripeError(
            "If `collection_method` is set to `send_invoice`, you must pass in the"
            " `days_until_due` value."
            if by_invoice
            else "You can only pass `days_until_due` if `collection_method` is `send_invoice`.",
            param="days_until_due",
        )
    given = params.get("default_payment_method") or None
    if given is not None:
        owned_card(ctx, given, customer["id"], "default_payment_method")
    trial = integer(params, "trial_period_days", 0)
    behavior = params.get("payment_behavior", "allow_incomplete")
    card = None
    if not by_invoice and not trial and behavior != "default_incomplete":
        card = usable_card(ctx, customer, given)
        if declines(card) and behavior == "error_if_incomplete":
            raise card_declined()
    return begin(
        ctx, customer["id"], need(params, "items"), trial_days=trial,
        days_until_due=int(params["days_until_due"]) if by_invoice else None,
        default_card=given, charge=card["id"] if card else None, metadata=params.get("metadata"),
        description=params.get("description"),
    )  # fmt: skip


def begin(
    ctx: Context,
    customer: str,
    wanted: list[Document],
    *,
    trial_days: int,
    days_until_due: int | None,
    default_card: str | None,
    charge: str | None,
    metadata: Any,
    description: str | None = None,
) -> Document:
    """Make the subscription with its first invoice, and book it.

    `charge`: the card that pays the first invoice; without one it stays open, but for a trial and
    for collection by invoice (`days_until_due`).
    """
    prices = [(price_of(ctx, item, n), item) for n, item in enumerate(wanted)]
    if not prices:
        raise missing_param("items")
    if len({(p["recurring"]["interval"], p["currency"]) for p, _ in prices}) > 1:
        raise StripeError("Items must have one interval and one currency.", param="items")
    start = ctx.now
    anchor = start + trial_days * 86400
    end_ = anchor if trial_days else period_end(anchor, start, prices[0][0]["recurring"])
    doc = blank_subscription(customer, start, prices[0][0]["currency"])
    doc |= {
        "billing_cycle_anchor": anchor,
        "collection_method": "charge_automatically" if days_until_due is None else "send_invoice",
        "days_until_due": days_until_due,
        "default_payment_method": default_card,
        "description": description,
        "metadata": merged_metadata({}, metadata),
        "status": "trialing" if trial_days else "active",
        "trial_end": end_ if trial_days else None,
        "trial_start": start if trial_days else None,
    }
    for price, given in prices:
        item = subscription_item(doc["id"], price, integer(given, "quantity", 1), start, end_)
        item["metadata"] = merged_metadata({}, given.get("metadata"))
        doc["items"]["data"].append(item)
        ctx.put("subscription_item", {"id": item["id"], "subscription": doc["id"]})
    ctx.put("subscription", doc)
    first = [lines.recurring_line(ctx, doc, item) for item in doc["items"]["data"]]
    invoice = invoices.draw(ctx, doc, first, reason="subscription_create")
    if days_until_due is None or trial_days:
        invoice = invoices.finalize(ctx, invoice)
        if invoice["status"] == "open" and not (charge and invoices.charge(ctx, invoice, charge)):
            doc["status"] = "incomplete"
    ctx.put("subscription", doc)
    ctx.book("subscription.created", doc["id"], **money(doc), is_open=True)
    ctx.emit("customer.subscription.created", doc)
    return doc


def money(doc: Document) -> dict[str, Any]:
    """What the ledger says of a subscription."""
    cost = sum(monthly(item["price"], item["quantity"]) for item in doc["items"]["data"])
    return {"monthly": cost, "currency": doc["currency"], "mark": doc["metadata"]}


def price_of(ctx: Context, item: Document, index: int = 0) -> Document:
    """The price that an item names; raises where nothing can be subscribed to at it."""
    where = f"items[{index}][price]"
    if "price" not in item:
        raise StripeError(
            f"Missing required param: {where}.", code="parameter_missing", param=where
        )
    price = ctx.get("price", item["price"], where)
    if not price["active"]:
        raise StripeError(
            f"The price specified is inactive. This field only accepts active prices: {where}.",
            param=where,
        )
    if price["type"] != "recurring":
        raise StripeError(
            "The price specified is set to `type=one_time` but this field only accepts prices with"
            " `type=recurring`.",
            param=where,
        )
    return price


# --- read -------------------------------------------------------------------------------------


def get_subscription(ctx: Context, id_: str) -> Document:
    """GET /v1/subscriptions/{id}."""
    return ctx.get("subscription", id_)


def list_subscriptions(ctx: Context) -> Document:
    """GET /v1/subscriptions; without `status` the ended ones are left out."""
    status, price = ctx.params.get("status"), ctx.params.get("price")
    method = ctx.params.get("collection_method")
    same = {"customer": ctx.params["customer"]} if "customer" in ctx.params else {}

    def wanted(doc: Document) -> bool:
        if status in (None, "ended"):
            fits = (doc["status"] in ENDED) == (status == "ended")
        else:
            fits = status in ("all", doc["status"])
        prices = {item["price"]["id"] for item in doc["items"]["data"]}
        return (
            fits
            and (price is None or price in prices)
            and method in (None, doc["collection_method"])
        )

    return ctx.page("subscription", "/v1/subscriptions", wanted, **same)


# --- change -----------------------------------------------------------------------------------


def update_subscription(ctx: Context, id_: str) -> Document:
    """POST /v1/subscriptions/{id}."""
    doc, params = ctx.get("subscription", id_), ctx.params
    if doc["status"] in ENDED and set(params) - {"metadata", "cancellation_details"}:
        raise StripeError(
            "A canceled subscription can only update its cancellation_details and metadata."
        )
    before = money(doc)
    for name in ("default_payment_method", "description"):
        if name in params:
            doc[name] = params[name] or None
    if doc["default_payment_method"] and "default_payment_method" in params:
        owned_card(ctx, doc["default_payment_method"], doc["customer"], "default_payment_method")
    if "collection_method" in params or "days_until_due" in params:
        _change_collection(ctx, doc)
    if "metadata" in params:
        doc["metadata"] = merged_metadata(doc["metadata"], params["metadata"])
    if "pause_collection" in params:
        pause = params["pause_collection"]
        doc["pause_collection"] = {"resumes_at": None, **pause} if pause else None
    _note_reason(ctx, doc)
    for index, given in enumerate(params.get("items", [])):
        _change_item(ctx, doc, given, index)
    if params.get("trial_end") == "now" and doc["status"] == "trialing":
        renew(ctx, doc, at=ctx.now)
    ending = doc["cancel_at_period_end"]
    if "cancel_at_period_end" in params:
        _cancel_later(ctx, doc, truth(params["cancel_at_period_end"]))
    if money(doc) != before and doc["status"] not in ENDED:
        ctx.book("subscription.updated", id_, **money(doc), is_open=not doc["cancel_at_period_end"])
    if doc["cancel_at_period_end"] != ending:
        later = doc["cancel_at_period_end"]
        kind = "subscription.ending" if later else "subscription.resumed"
        ctx.book(kind, id_, **money(doc), is_open=not later)
    ctx.emit("customer.subscription.updated", doc)
    return ctx.put("subscription", doc)


def _change_collection(ctx: Context, doc: Document) -> None:
    method = ctx.params.get("collection_method", doc["collection_method"])
    days = integer(ctx.params, "days_until_due", doc["days_until_due"] or 0)
    if (method == "send_invoice") != bool(days):
        raise StripeError(
            "`days_until_due` goes with `collection_method` `send_invoice`.", param="days_until_due"
        )
    doc |= {"collection_method": method, "days_until_due": days or None}


def _note_reason(ctx: Context, doc: Document) -> None:
    for name, value in ctx.params.get("cancellation_details", {}).items():
        doc["cancellation_details"][name] = value or None


def _cancel_later(ctx: Context, doc: Document, later: bool) -> None:
    if later == doc["cancel_at_period_end"]:
        return
    ends = doc["items"]["data"][0]["current_period_end"]
    doc |= {
        "cancel_at_period_end": later,
        "canceled_at": ctx.now if later else None,
        "cancel_at": ends if later else None,
    }
    doc["cancellation_details"]["reason"] = "cancellation_requested" if later else None


def _change_item(ctx: Context, doc: Document, given: Document, index: int) -> None:
    found = [item for item in doc["items"]["data"] if item["id"] == given.get("id")]
    if not found:
        raise missing("subscription_item", str(given.get("id")), f"items[{index}][id]")
    change_item(ctx, doc, found[0], given, index)


def change_item(
    ctx: Context, doc: Document, item: Document, given: Document, index: int = 0
) -> None:
    """Another price or quantity, prorated as `proration_behavior` says."""
    old, old_quantity = item["price"], item["quantity"]
    if "metadata" in given:
        item["metadata"] = merged_metadata(item["metadata"], given["metadata"])
    if given.get("price", old["id"]) != old["id"]:
        item["price"] = price_of(ctx, given, index)
    item["quantity"] = integer(given, "quantity", old_quantity)
    if (item["price"]["id"], item["quantity"]) == (old["id"], old_quantity):
        return
    if any(
        item["price"]["recurring"][name] != old["recurring"][name]
        for name in ("interval", "interval_count")
    ):
        raise StripeError(
            "The sandbox does not change between prices of other intervals (Stripe does).",
            param=f"items[{index}][price]",
        )
    behavior = ctx.params.get("proration_behavior", "create_prorations")
    if behavior == "none" or doc["status"] not in ("active", "past_due"):
        return
    lines.proration_items(ctx, doc, item, old, old_quantity)
    if behavior == "always_invoice":
        ctx.put("subscription", doc)
        bill(ctx, doc, lines.take_pending(ctx, doc), reason="subscription_update", at_once=True)


def bill(
    ctx: Context, doc: Document, on_it: list[Document], *, reason: str, at_once: bool
) -> Document:
    """An invoice over these lines; `at_once`: not after an hour as a draft."""
    invoice = invoices.draw(ctx, doc, on_it, reason=reason)
    return collect(ctx, doc, invoice) if at_once else invoice


def collect(ctx: Context, doc: Document, invoice: Document) -> Document:
    """Finalize an invoice of the subscription and, where a card is charged, charge it."""
    invoice = invoices.finalize(ctx, invoice)
    if doc["collection_method"] == "charge_automatically" and invoice["status"] == "open":
        paid = invoices.charge(ctx, invoice, doc["default_payment_method"])
        if paid and doc["status"] == "past_due":
            doc["status"] = "active"
        elif not paid and ctx.params.get("payment_behavior") == "error_if_incomplete":
            raise card_declined()
        elif not paid and doc["status"] == "active":
            doc["status"] = "past_due"
    return invoice


def renew(ctx: Context, doc: Document, *, at: int) -> None:
    """A new period from `at` on, with its invoice (a draft for an hour)."""
    trial_ends = doc["status"] == "trialing"
    if trial_ends:
        doc |= {"status": "active", "trial_end": at, "billing_cycle_anchor": at}
    for item in doc["items"]["data"]:
        recurring = item["price"]["recurring"]
        item["current_period_start"] = at
        item["current_period_end"] = period_end(doc["billing_cycle_anchor"], at, recurring)
    on_it = lines.take_pending(ctx, doc)
    on_it += [lines.recurring_line(ctx, doc, item) for item in doc["items"]["data"]]
    invoice = bill(ctx, doc, on_it, reason="subscription_cycle", at_once=False)
    paused = doc["pause_collection"]
    if paused:
        _pause(ctx, invoice, paused["behavior"])


def _pause(ctx: Context, invoice: Document, behavior: str) -> None:
    # https://docs.stripe.com/billing/subscriptions/pause-payment
    stopped = {**invoice, "auto_advance": False, "automatically_finalizes_at": None}
    if behavior == "void":
        stopped["status"] = "void"
    elif behavior == "mark_uncollectible":
        stopped["status"] = "uncollectible"
    ctx.put("invoice", stopped)


# --- end --------------------------------------------------------------------------------------


def cancel_subscription(ctx: Context, id_: str) -> Document:
    """DELETE /v1/subscriptions/{id}."""
    doc = ctx.get("subscription", id_)
    if doc["status"] in ENDED:
        raise missing("subscription", id_)
    doc["cancellation_details"]["reason"] = "cancellation_requested"
    doc["canceled_at"] = ctx.now
    _note_reason(ctx, doc)
    return end(
        ctx, doc, invoice_now=truth(ctx.params.get("invoice_now")),
        prorate=truth(ctx.params.get("prorate")),
    )  # fmt: skip


def end(
    ctx: Context, doc: Document, *, invoice_now: bool = False, prorate: bool = False
) -> Document:
    """End it at once. `prorate` credits unused time, paid for or not, as Stripe does;
    `invoice_now` puts that and what was pending on a final invoice."""
    if prorate and doc["status"] in ("active", "past_due"):
        for item in doc["items"]["data"]:
            lines.unused_time(ctx, doc, item)
    invoices.stop_collection(ctx, doc["id"])
    if invoice_now and (on_it := lines.take_pending(ctx, doc)):
        bill(ctx, doc, on_it, reason="subscription_update", at_once=True)
    doc |= {"status": "canceled", "canceled_at": doc["canceled_at"] or ctx.now, "ended_at": ctx.now}
    ctx.put("subscription", doc)
    ctx.book("subscription.canceled", doc["id"], **money(doc), is_open=False)
    ctx.emit("customer.subscription.deleted", doc)
    return doc
