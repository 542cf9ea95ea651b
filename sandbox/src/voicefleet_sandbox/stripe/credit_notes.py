"""Credit notes over paid invoices: what was paid goes back to the card.

https://docs.stripe.com/api/credit_notes/create. Only whole refunds of what was paid are made here;
notes over open invoices, lines and credits to the customer's balance are not.
"""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.invoices import booking
from voicefleet_sandbox.stripe.wire import StripeError, integer

_NULL = (
    "customer_account", "customer_balance_transaction", "effective_at", "memo",
    "out_of_band_amount", "shipping_cost", "voided_at",
)  # fmt: skip


def create_credit_note(ctx: Context) -> Document:
    """POST /v1/credit_notes."""
    invoice = ctx.get("invoice", ctx.params["invoice"], "invoice")
    amount = integer(ctx.params, "amount", 0)
    refund = integer(ctx.params, "refund_amount", 0)
    if invoice["status"] != "paid":
        raise StripeError(
            f"Credit notes with a refund are for paid invoices; this one is {invoice['status']}.",
            param="invoice",
        )
    if amount != refund:
        raise StripeError(
            "The sum of credit amount, refund amount and out of band amount must equal the amount"
            " of the credit note.",
            param="refund_amount",
        )
    left = (
        invoice["amount_paid"]
        - invoice["amount_paid_off_stripe"]
        - invoice["post_payment_credit_notes_amount"]
    )
    if not 0 < amount <= left:
        raise StripeError(
            f"The refund amount ({amount}) must be positive and at most what is left of the"
            f" payment ({left}).",
            param="refund_amount",
        )
    invoice["post_payment_credit_notes_amount"] += amount
    ctx.put("invoice", invoice)
    note: Document = dict.fromkeys(_NULL) | {
        "id": (id_ := new_id("cn_")),
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": ctx.now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice": invoice["id"],
        "lines": {
            "object": "list", "has_more": False, "url": f"/v1/credit_notes/{id_}/lines", "data": [],
        },
        "livemode": False,
        "metadata": ctx.params.get("metadata") or {},
        "number": f"{invoice['number']}-CN-01",
        "pdf": f"{ctx.base_url}/credit_note/{id_}",
        "post_payment_amount": amount,
        "pre_payment_amount": 0,
        "pretax_credit_amounts": [],
        "reason": ctx.params.get("reason"),
        "refunds": [{"amount_refunded": amount, "refund": new_id("re_"), "type": "refund"}],
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment",
    }  # fmt: skip
    ctx.book("invoice.refunded", invoice["id"], amount=-amount, **booking(invoice))
    ctx.emit("credit_note.created", note)
    return ctx.put("credit_note", note)


def list_credit_notes(ctx: Context) -> Document:
    """GET /v1/credit_notes."""
    fields = {name: ctx.params[name] for name in ("customer", "invoice") if name in ctx.params}
    return ctx.page("credit_note", "/v1/credit_notes", **fields)
