"""Invoices: drawn up by subscriptions, paid by card, by hand, or at Checkout."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.wire import StripeError, created_filter, page


def draw(
    ctx: Context,
    subscription: Document,
    lines: list[tuple[str, int]],
    *,
    reason: str,
    paid: bool,
) -> Document:
    """An invoice over `lines` (text, cents); open, or paid and booked."""
    total = sum(amount for _, amount in lines)
    id_ = new_id("in_")
    period = {
        "start": subscription["items"]["data"][0]["current_period_start"],
        "end": subscription["items"]["data"][0]["current_period_end"],
    }
    doc: Document = {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "account_tax_ids": None,
        "amount_due": max(total, 0),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": max(total, 0),
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "created": ctx.now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": subscription["customer"],
        "customer_address": None,
        "customer_email": None,
        "customer_name": None,
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": ctx.now + 86400 * (subscription["days_until_due"] or 0)
        if subscription["collection_method"] == "send_invoice"
        else None,
        "effective_at": ctx.now,
        "ending_balance": 0,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": f"{ctx.base_url}/invoice/{id_}",
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "has_more": False,
            "url": f"/v1/invoices/{id_}/lines",
            "data": [_line(subscription, id_, text, amount, period) for text, amount in lines],
        },
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": new_id("", 8).upper(),
        "on_behalf_of": None,
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
        "period_end": period["end"],
        "period_start": period["start"],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "open",
        "status_transitions": {
            "finalized_at": ctx.now, "marked_uncollectible_at": None, "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }  # fmt: skip
    ctx.put("invoice", doc)
    ctx.emit("invoice.finalized", doc)
    if total < 0:
        # What was paid too much goes to the customer's balance.
        customer = ctx.get("customer", subscription["customer"])
        if not customer.get("deleted"):
            ctx.put("customer", {**customer, "balance": customer["balance"] + total})
        ctx.book("invoice.credited", id_, amount=total, currency=doc["currency"])
    if paid or total <= 0:
        return settle(ctx, doc)
    return doc


def _line(
    subscription: Document, invoice: str, text: str, amount: int, period: dict[str, int]
) -> Document:
    item = subscription["items"]["data"][0]
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "amount": amount,
        "currency": subscription["currency"],
        "description": text,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": amount < 0,
                "proration_details": None,
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": period,
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": item["price"]["id"], "product": item["price"]["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(amount),
        },
        "quantity": 1,
        "subscription": subscription["id"],
        "subtotal": amount,
        "taxes": [],
    }


def settle(ctx: Context, doc: Document) -> Document:
    """The invoice is paid; the charge is booked."""
    doc |= {
        "status": "paid",
        "amount_paid": doc["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": doc["attempt_count"] + 1,
    }
    doc["status_transitions"]["paid_at"] = ctx.now
    if doc["amount_due"] > 0:
        ctx.book(
            "invoice.charged", doc["id"], amount=doc["amount_due"], currency=doc["currency"],
            mark=doc["parent"]["subscription_details"]["metadata"],
        )  # fmt: skip
    ctx.emit("invoice.paid", doc)
    return ctx.put("invoice", doc)


def get_invoice(ctx: Context, id_: str) -> Document:
    """GET /v1/invoices/{id}."""
    return ctx.get("invoice", id_)


def pay_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/pay."""
    from voicefleet_sandbox.stripe.catalog import declines, usable_card

    doc = ctx.get("invoice", id_)
    if doc["status"] == "paid":
        raise StripeError("Invoice is already paid", code="invoice_already_paid")
    if doc["status"] != "open":
        raise StripeError(f"This invoice is {doc['status']} and cannot be paid.")
    if ctx.params.get("paid_out_of_band") not in ("true", True):
        customer = ctx.get("customer", doc["customer"])
        if declines(usable_card(ctx, customer, ctx.params.get("payment_method"))):
            raise card_declined()
    doc = settle(ctx, doc)
    subscription = ctx.get("subscription", doc["parent"]["subscription_details"]["subscription"])
    if subscription["status"] in ("past_due", "incomplete", "unpaid"):
        subscription["status"] = "active"
        ctx.put("subscription", subscription)
        ctx.emit("customer.subscription.updated", subscription)
    return doc


def void_invoice(ctx: Context, id_: str) -> Document:
    """POST /v1/invoices/{id}/void."""
    doc = ctx.get("invoice", id_)
    if doc["status"] != "open":
        raise StripeError("You can only void open invoices.")
    doc["status"] = "void"
    doc["status_transitions"]["voided_at"] = ctx.now
    ctx.book("invoice.voided", id_)
    ctx.emit("invoice.voided", doc)
    return ctx.put("invoice", doc)


def list_invoices(ctx: Context) -> Document:
    """GET /v1/invoices."""
    items = created_filter(ctx.all("invoice"), ctx.params)
    for name in ("customer", "status"):
        if name in ctx.params:
            items = [doc for doc in items if doc[name] == ctx.params[name]]
    if "subscription" in ctx.params:
        items = [
            doc
            for doc in items
            if doc["parent"]["subscription_details"]["subscription"] == ctx.params["subscription"]
        ]
    return page("/v1/invoices", items, ctx.params)


def card_declined() -> StripeError:
    """The bank's no (https://docs.stripe.com/declines)."""
    return StripeError(
        "Your card was declined.",
        status=402,
        type_="card_error",
        code="card_declined",
        decline_code="generic_decline",
    )
