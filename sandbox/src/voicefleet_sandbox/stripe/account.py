"""The account itself, its events, and where they are sent."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.wire import merged_metadata, missing, truth


def get_account(ctx: Context) -> Document:
    """GET /v1/account."""
    return {
        "id": ctx.account, "object": "account", "charges_enabled": True, "country": "US",
        "default_currency": "usd", "details_submitted": True, "payouts_enabled": True,
        "type": "standard",
    }  # fmt: skip


def get_balance(ctx: Context) -> Document:
    """GET /v1/balance."""
    nothing = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return {"object": "balance", "available": nothing, "livemode": False, "pending": nothing}


def get_event(ctx: Context, id_: str) -> Document:
    """GET /v1/events/{id}."""
    return ctx.get("event", id_)


def list_events(ctx: Context) -> Document:
    """GET /v1/events; a `type` may end in `*`."""
    wanted = ctx.params.get("types", [])
    if "type" in ctx.params:
        wanted = [ctx.params["type"]]

    def fits(doc: Document) -> bool:
        return not wanted or any(
            doc["type"].startswith(each[:-1]) if each.endswith("*") else doc["type"] == each
            for each in wanted
        )

    return ctx.page("event", "/v1/events", fits)


# --- webhook endpoints ------------------------------------------------------------------------


def create_webhook_endpoint(ctx: Context) -> Document:
    """POST /v1/webhook_endpoints; only this answer has the secret."""
    params = ctx.params
    doc = {
        "id": new_id("we_"), "object": "webhook_endpoint", "api_version": None,
        "application": None, "created": ctx.now, "description": params.get("description"),
        "enabled_events": params["enabled_events"], "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")), "status": "enabled",
        "url": params["url"], "secret": new_id("whsec_", 32),
    }  # fmt: skip
    return ctx.put("webhook_endpoint", doc)


def _without_secret(doc: Document) -> Document:
    return {key: value for key, value in doc.items() if key != "secret"}


def get_webhook_endpoint(ctx: Context, id_: str) -> Document:
    """GET /v1/webhook_endpoints/{id}."""
    return _without_secret(ctx.get("webhook_endpoint", id_))


def update_webhook_endpoint(ctx: Context, id_: str) -> Document:
    """POST /v1/webhook_endpoints/{id}."""
    doc = ctx.get("webhook_endpoint", id_)
    doc |= {k: ctx.params[k] for k in ("url", "enabled_events", "description") if k in ctx.params}
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    if "disabled" in ctx.params:
        doc["status"] = "disabled" if truth(ctx.params["disabled"]) else "enabled"
    return _without_secret(ctx.put("webhook_endpoint", doc))


def list_webhook_endpoints(ctx: Context) -> Document:
    """GET /v1/webhook_endpoints."""
    found = ctx.page("webhook_endpoint", "/v1/webhook_endpoints")
    return {**found, "data": [_without_secret(doc) for doc in found["data"]]}


def delete_webhook_endpoint(ctx: Context, id_: str) -> Document:
    """DELETE /v1/webhook_endpoints/{id}."""
    if ctx.store.get(VENDOR, ctx.account, "webhook_endpoint", id_) is None:
        raise missing("webhook_endpoint", id_)
    ctx.store.delete(VENDOR, ctx.account, "webhook_endpoint", id_)
    return {"id": id_, "object": "webhook_endpoint", "deleted": True}
