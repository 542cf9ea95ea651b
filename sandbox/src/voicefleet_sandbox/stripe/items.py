"""Subscription items, the things that a subscription is made of."""

from __future__ import annotations

from voicefleet_sandbox.store import Document
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.subscriptions import ENDED, change_item, money
from voicefleet_sandbox.stripe.wire import missing


def _item_of(ctx: Context, id_: str) -> tuple[Document, Document]:
    reference = ctx.store.get(VENDOR, ctx.account, "subscription_item", id_)
    if reference is None:
        raise missing("subscription_item", id_)
    doc = ctx.get("subscription", reference["subscription"])
    return doc, next(item for item in doc["items"]["data"] if item["id"] == id_)


def get_item(ctx: Context, id_: str) -> Document:
    """GET /v1/subscription_items/{id}."""
    return _item_of(ctx, id_)[1]


def list_items(ctx: Context) -> Document:
    """GET /v1/subscription_items: a subscription has few."""
    doc = ctx.get("subscription", ctx.params["subscription"], "subscription")
    return {
        "object": "list", "url": "/v1/subscription_items", "has_more": False,
        "data": doc["items"]["data"],
    }  # fmt: skip


def update_item(ctx: Context, id_: str) -> Document:
    """POST /v1/subscription_items/{id}."""
    doc, item = _item_of(ctx, id_)
    if doc["status"] in ENDED:
        raise missing("subscription_item", id_)
    before = money(doc)
    change_item(ctx, doc, item, ctx.params)
    if money(doc) != before:
        ctx.book(
            "subscription.updated", doc["id"], **money(doc),
            is_open=not doc["cancel_at_period_end"],
        )  # fmt: skip
    ctx.emit("customer.subscription.updated", doc)
    ctx.put("subscription", doc)
    return item
