"""What stands on an invoice, and the shape of an invoice before it is finalized."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import Context


def recurring_line(ctx: Context, subscription: Document, item: Document) -> Document:
    """A period of one item."""
    price, amount = item["price"], item["price"]["unit_amount"] * item["quantity"]
    if subscription["status"] == "trialing":
        amount = 0
    period = {"start": item["current_period_start"], "end": item["current_period_end"]}
    return _line(subscription, item["id"], price, item["quantity"], amount, period, "Service")


def proration_items(
    ctx: Context, subscription: Document, item: Document, old: Document, old_quantity: int
) -> list[Document]:
    """Unused time of the old price credited, the rest of the period at the new price charged.

    By the second, as Stripe counts (https://docs.stripe.com/billing/subscriptions/prorations).
    """
    share, day = share_left(ctx, item), datetime.fromtimestamp(ctx.now, UTC).strftime("%d %b %Y")
    new = item["price"]
    credit = -round(old["unit_amount"] * old_quantity * share)
    debit = round(new["unit_amount"] * item["quantity"] * share)
    return [
        _proration(ctx, subscription, item, old, old_quantity, credit, f"Unused time after {day}"),
        _proration(
            ctx, subscription, item, new, item["quantity"], debit, f"Remaining time after {day}"
        ),
    ]


def unused_time(ctx: Context, subscription: Document, item: Document) -> Document:
    """Credit for what is left of a period whose subscription ends now."""
    price, share = item["price"], share_left(ctx, item)
    amount = -round(price["unit_amount"] * item["quantity"] * share)
    return _proration(ctx, subscription, item, price, item["quantity"], amount, "Unused time")


def share_left(ctx: Context, item: Document) -> float:
    """The part of the current period that is still to come, 0 to 1."""
    length: int = item["current_period_end"] - item["current_period_start"]
    left: int = item["current_period_end"] - ctx.now
    return max(0.0, min(1.0, left / length))


def _proration(
    ctx: Context,
    subscription: Document,
    item: Document,
    price: Document,
    quantity: int,
    amount: int,
    text: str,
) -> Document:
    doc: Document = {
        "id": new_id("ii_"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "date": ctx.now,
        "description": text,
        "discountable": False,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "subscription_details": {
                "subscription": subscription["id"], "subscription_item": item["id"],
            },
            "type": "subscription_details",
        },
        "period": {"start": ctx.now, "end": item["current_period_end"]},
        "pricing": _pricing(price),
        "proration": True,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": None,
    }  # fmt: skip
    ctx.emit("invoiceitem.created", doc)
    return ctx.put("invoiceitem", doc)


def take_pending(ctx: Context, subscription: Document) -> list[Document]:
    """Lines for what waits for the next invoice; it waits no longer."""
    of_it = {"parent__subscription_details__subscription": subscription["id"]}
    lines = []
    for doc in reversed(ctx.all("invoiceitem", **of_it)):
        if doc["invoice"] is not None:
            continue
        line = _line(
            subscription, doc["parent"]["subscription_details"]["subscription_item"],
            None, doc["quantity"], doc["amount"], doc["period"], doc["description"],
        )  # fmt: skip
        line |= {"pricing": doc["pricing"], "discountable": False}
        line["parent"]["subscription_item_details"] |= {
            "invoice_item": doc["id"], "proration": True,
        }  # fmt: skip
        lines.append(line)
    return lines


def _pricing(price: Document) -> Document:
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _line(
    subscription: Document,
    item: str,
    price: Document | None,
    quantity: int,
    amount: int,
    period: dict[str, int],
    text: str,
) -> Document:
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "amount": amount,
        "currency": subscription["currency"],
        "description": text,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": None,
                "subscription": subscription["id"],
                "subscription_item": item,
            },
            "type": "subscription_item_details",
        },
        "period": period,
        "pretax_credit_amounts": [],
        "pricing": _pricing(price) if price else None,
        "quantity": quantity,
        "subscription": subscription["id"],
        "subtotal": amount,
        "taxes": [],
    }


def blank_invoice(ctx: Context, subscription: Document, lines: list[Document]) -> Document:
    """A draft; pending items on it know it from now on."""
    id_, item = new_id("in_"), subscription["items"]["data"][0]
    for line in lines:
        line["invoice"] = id_
        pending = line["parent"]["subscription_item_details"]["invoice_item"]
        if pending:
            ctx.put("invoiceitem", {**ctx.get("invoiceitem", pending), "invoice": id_})
    customer = ctx.get("customer", subscription["customer"])
    total = sum(line["amount"] for line in lines)
    nothing: dict[str, Any] = dict.fromkeys(_NULL)
    return nothing | {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "amount_due": max(total, 0),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": max(total, 0),
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None,
            "status": None,
        },
        "collection_method": subscription["collection_method"],
        "created": ctx.now,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": {
            "object": "list", "has_more": False, "url": f"/v1/invoices/{id_}/lines", "data": lines,
        },
        "livemode": False,
        "metadata": {},
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"], "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None, "payment_method_options": None, "payment_method_types": None,
        },
        "period_end": item["current_period_end"],
        "period_start": item["current_period_start"],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None, "marked_uncollectible_at": None, "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }  # fmt: skip


_NULL = (
    "account_tax_ids", "application", "automatically_finalizes_at", "custom_fields",
    "customer_account", "customer_address", "customer_phone", "customer_shipping",
    "default_payment_method", "default_source", "description", "due_date", "effective_at",
    "ending_balance", "footer", "from_invoice", "hosted_invoice_url", "invoice_pdf",
    "last_finalization_error", "latest_revision", "next_payment_attempt", "number",
    "on_behalf_of", "receipt_number", "rendering", "shipping_cost", "shipping_details",
    "statement_descriptor", "test_clock", "webhooks_delivered_at",
)  # fmt: skip
