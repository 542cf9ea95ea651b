"""Customers."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe import subscriptions
from voicefleet_sandbox.stripe.cards import attach, owned_card
from voicefleet_sandbox.stripe.context import Context
from voicefleet_sandbox.stripe.wire import merged_metadata, missing

_TEXTS = ("name", "email", "phone", "description")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def create_customer(ctx: Context) -> Document:
    """POST /v1/customers."""
    return new_customer(ctx)


def new_customer(ctx: Context) -> Document:
    """A customer as the parameters say; Checkout makes one where none was given."""
    doc: Document = {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": ctx.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "email": None,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    aliases = {}
    if "payment_method" in ctx.params:
        given = ctx.params["payment_method"]
        aliases[given] = attach(ctx, given, doc["id"])["id"]
    _change(ctx, doc, aliases)
    ctx.emit("customer.created", doc)
    return ctx.put("customer", doc)


def _change(ctx: Context, doc: Document, aliases: dict[str, str]) -> None:
    for name in _TEXTS:
        if name in ctx.params:
            doc[name] = ctx.params[name] or None
    if "address" in ctx.params:
        address = ctx.params["address"]
        doc["address"] = {key: address.get(key) for key in _ADDRESS} if address else None
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    default = ctx.params.get("invoice_settings", {}).get("default_payment_method")
    if default is not None:
        card = default and owned_card(
            ctx,
            aliases.get(default, default),
            doc["id"],
            "invoice_settings[default_payment_method]",
        )
        doc["invoice_settings"]["default_payment_method"] = card["id"] if card else None


def get_customer(ctx: Context, id_: str) -> Document:
    """GET /v1/customers/{id}; a deleted one is a stump."""
    return ctx.get("customer", id_)


def _living(ctx: Context, id_: str) -> Document:
    doc = ctx.get("customer", id_)
    if doc.get("deleted"):
        raise missing("customer", id_)
    return doc


def update_customer(ctx: Context, id_: str) -> Document:
    """POST /v1/customers/{id}."""
    doc = _living(ctx, id_)
    _change(ctx, doc, {})
    ctx.emit("customer.updated", doc)
    return ctx.put("customer", doc)


def delete_customer(ctx: Context, id_: str) -> Document:
    """DELETE /v1/customers/{id}; its subscriptions end at once."""
    _living(ctx, id_)
    for subscription in ctx.all("subscription", customer=id_):
        if subscription["status"] not in subscriptions.ENDED:
            subscriptions.end(ctx, subscription)
    stump = {"id": id_, "object": "customer", "deleted": True}
    ctx.emit("customer.deleted", stump)
    return ctx.put("customer", stump)


def list_customers(ctx: Context) -> Document:
    """GET /v1/customers."""
    email = ctx.params.get("email")

    def wanted(doc: Document) -> bool:
        return not doc.get("deleted") and email in (None, doc["email"])

    return ctx.page("customer", "/v1/customers", wanted)
