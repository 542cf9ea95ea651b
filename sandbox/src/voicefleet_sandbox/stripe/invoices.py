"""Invoices: drawn up by subscriptions, finalized, and paid by card, by hand, or at Checkout.

An invoice begins as a draft. The first one of a subscription that is charged to a card is finalized
at once, every other one an hour later (https://docs.stripe.com/billing/invoices/subscription).
"""

from __future__ import annotations

from typing import Any

from voicefleet_sandbox.store import Document
from voicefleet_sandbox.stripe.cards import card_declined, declines, usable_card
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.lines import blank_invoice
from voicefleet_sandbox.stripe.wire import StripeError, merged_metadata, truth

_DRAFT_SECONDS = 3600
_BY_SUBSCRIPTION = "parent__subscription_details__subscription"


def draw(ctx: Context, subscription: Document, lines: list[Document], *, reason: str) -> Document:
    """A draft over `lines`, which finalizes by itself in an hour."""
    doc = blank_invoice(ctx, subscription, lines)
    doc |= {
        "auto_advance": True,
        "automatically_finalizes_at": ctx.now + _DRAFT_SECONDS,
        "billing_reason": reason,
    }
    subscription["latest_invoice"] = doc["id"]
    ctx.emit("invoice.created", doc)
    return ctx.put("invoice", doc)


def subscription_of(doc: Document) -> str:
    """The subscription that the invoice is of."""
    id_: str = doc["parent"]["subscription_details"]["subscription"]
    return id_


def finalize(ctx: Context, doc: Document) -> Document:
    """Draft to open, the customer's balance taken into account; nothing due is paid at once."""
    customer = ctx.get("customer", doc["customer"])
    balance = customer.get("balance", 0) if doc["total"] else 0
    due = doc["total"] + balance
    left = min(due, 0)
    if left != balance and not customer.get("deleted"):
        ctx.put("customer", {**customer, "balance": left})
    doc |= {
        "status": "open", "auto_advance": doc["collection_method"] == "charge_automatically",
        "automatically_finalizes_at": None, "effective_at": ctx.now,
        "number": f"{customer.get('invoice_prefix', 'GONE')}-{doc['id'][-4:].upper()}",
        "starting_balance": balance, "ending_balance": left,
        "amount_due": max(due, 0), "amount_remaining": max(due, 0),
        "hosted_invoice_url": f"{ctx.base_url}/invoice/{doc['id']}",
    }  # fmt: skip
    doc["status_transitions"]["finalized_at"] = ctx.now
    days = ctx.get("subscription", subscription_of(doc))["days_until_due"]
    if days is not None:
        doc["due_date"] = ctx.now + 86400 * days
    ctx.emit("invoice.finalized", doc)
    if doc["total"] < 0:
        # What was paid too much is the customer's, for the next invoice.
        ctx.book("invoice.credited", doc["id"], amount=doc["total"], **booking(doc))
    if doc["amount_due"] == 0:
        return settle(ctx, doc)
    return ctx.put("invoice", doc)


def booking(doc: Document) -> dict[str, Any]:
    """What the ledger says of an invoice beside its amount."""
    details = doc["parent"]["subscription_details"]
    return {
        "currency": doc["currency"],
        "mark": {**details["metadata"], "subscription": details["subscription"]},
    }


def settle(ctx: Context, doc: Document, *, out_of_band: bool = False) -> Document:
    """The invoice is paid; the charge is booked."""
    doc |= {
        "status": "paid",
        "amount_paid": doc["amount_due"],
        "amount_paid_off_stripe": doc["amount_due"] if out_of_band else 0,
        "amount_remaining": 0,
        "attempted": not out_of_band,
        "attempt_count": doc["attempt_count"] + (0 if out_of_band else 1),
        "auto_advance": False,
    }
    doc["status_transitions"]["paid_at"] = ctx.now
    if doc["amount_due"] > 0:
        ctx.book("invoice.charged", doc["id"], amount=doc["amount_due"], **booking(doc))
    ctx.emit("invoice.paid", doc)
    return ctx.put("invoice", doc)


def charge(ctx: Context, doc: Document, card: str | None) -> bool:
    """Charge an open invoice to the card (or the customer's default); whether the bank agreed."""
    if doc["status"] == "paid":
        return True
    try:
        paid = not declines(usable_card(ctx, ctx.get("customer", doc["customer"]), card))
    except StripeError:
        paid = False
    if paid:
        doc |= settle(ctx, doc)
    else:
        doc |= {"attempted": True, "attempt_count": doc["attempt_count"] + 1}
        ctx.put("invoice", doc)
        ctx.emit("invoice.payment_failed", doc)
    return paid


def stop_collection(ctx: Context, subscription: str) -> None:
    """What an ended subscription still has open is not collected by itself any more."""
    for doc in ctx.all("invoice", **{_BY_SUBSCRIPTION: subscription}):
        if doc["status"] in ("draft", "open"):
            ctx.put("invoice", {**doc, "auto_advance": False, "automatically_finalizes_at": None})


# --- endpoints --------------------------------------------------------------------------------


def get_invoice(ctx: Context, id_: str) -> Document:
    """GET /v1/invoices/{id}."""
    return ctx.get("invoice", id_)


def finalize_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/finalize."""
    doc = ctx.get("invoice", id_)
    if doc["status"] != "draft":
        raise StripeError(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        )
    return finalize(ctx, doc)


def pay_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/pay; a draft is finalized first."""
    doc = ctx.get("invoice", id_)
    if doc["status"] == "draft":
        doc = finalize(ctx, doc)
        if doc["status"] == "paid":
            return doc
    if doc["status"] == "paid":
        raise StripeError("Invoice is already paid", code="invoice_already_paid")
    if doc["status"] == "void":
        raise StripeError("You cannot pay an invoice that is void.", code="invoice_not_editable")
    out_of_band = truth(ctx.params.get("paid_out_of_band"))
    if not out_of_band:
        card = ctx.params.get("payment_method")
        subscription = ctx.get("subscription", subscription_of(doc))
        card = card or subscription["default_payment_method"]
        if declines(usable_card(ctx, ctx.get("customer", doc["customer"]), card)):
            raise card_declined()
    doc = settle(ctx, doc, out_of_band=out_of_band)
    _revive(ctx, subscription_of(doc))
    return doc


def _revive(ctx: Context, id_: str) -> None:
    subscription = ctx.get("subscription", id_)
    if subscription["status"] in ("past_due", "incomplete", "unpaid"):
        subscription["status"] = "active"
        ctx.put("subscription", subscription)
        ctx.emit("customer.subscription.updated", subscription)


def void_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/void."""
    return _close(ctx, id_, "void", "voided_at", "invoice.voided")


def mark_uncollectible(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/mark_uncollectible."""
    return _close(
        ctx, id_, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible"
    )


def _close(ctx: Context, id_: str, status: str, stamp: str, event: str) -> Document:
    doc = ctx.get("invoice", id_)
    if doc["status"] not in ("open", "uncollectible") or doc["status"] == status:
        raise StripeError(
            f"You can only pass in open invoices. This invoice is {doc['status']}.",
        )
    doc |= {"status": status, "auto_advance": False}
    doc["status_transitions"][stamp] = ctx.now
    ctx.book(event, id_, **booking(doc))
    ctx.emit(event, doc)
    return ctx.put("invoice", doc)


def update_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}."""
    doc = ctx.get("invoice", id_)
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    if "auto_advance" in ctx.params:
        if doc["status"] != "draft":
            raise StripeError("Finalized invoices can't be updated in this way.")
        doc["auto_advance"] = truth(ctx.params["auto_advance"])
        doc["automatically_finalizes_at"] = (
            ctx.now + _DRAFT_SECONDS if doc["auto_advance"] else None
        )
    return ctx.put("invoice", doc)


def list_invoices(ctx: Context) -> Document:
    """GET /v1/invoices."""
    fields = {"customer": ctx.params["customer"]} if "customer" in ctx.params else {}
    if "subscription" in ctx.params:
        fields[_BY_SUBSCRIPTION] = ctx.params["subscription"]
    same = {
        name: ctx.params[name] for name in ("status", "collection_method") if name in ctx.params
    }
    return ctx.page(
        "invoice",
        "/v1/invoices",
        lambda doc: all(doc[name] == value for name, value in same.items()),
        **fields,
    )


def list_invoice_items(ctx: Context) -> Document:
    """GET /v1/invoiceitems; `pending=true`: not on an invoice yet."""
    pending = ctx.params.get("pending")
    wanted = {name: ctx.params[name] for name in ("customer", "invoice") if name in ctx.params}

    def keep(doc: Document) -> bool:
        return (pending is None or (doc["invoice"] is None) == truth(pending)) and all(
            doc[name] == value for name, value in wanted.items()
        )

    return ctx.page("invoiceitem", "/v1/invoiceitems", keep)
