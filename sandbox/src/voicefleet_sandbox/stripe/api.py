"""Stripe's endpoints, idempotency keys and expansion.

Idempotency as Stripe words it (https://docs.stripe.com/api/idempotent_requests): the first answer
under a key, failures included, is kept and repeated for 24 hours; other parameters under the same
key are an error; what fails validation before the endpoint begins, or is throttled, is not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.stripe import catalog, checkout, invoices, subscriptions
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.wire import (
    Params,
    StripeError,
    check_parameters,
    fingerprint,
    page,
)


def _account(ctx: Context) -> Document:
    return {"id": ctx.account, "object": "account", "charges_enabled": True, "country": "US"}


def _balance(ctx: Context) -> Document:
    return {
        "object": "balance", "available": [{"amount": 0, "currency": "usd"}], "livemode": False,
        "pending": [{"amount": 0, "currency": "usd"}],
    }  # fmt: skip


def _list_events(ctx: Context) -> Document:
    items = ctx.all("event")
    if "type" in ctx.params:
        items = [doc for doc in items if doc["type"] == ctx.params["type"]]
    return page("/v1/events", items, ctx.params)


def _create_webhook_endpoint(ctx: Context) -> Document:
    from voicefleet_sandbox.store import new_id

    doc = {
        "id": new_id("we_"), "object": "webhook_endpoint", "api_version": None,
        "application": None, "created": ctx.now, "description": None,
        "enabled_events": ctx.params["enabled_events"], "livemode": False, "metadata": {},
        "status": "enabled", "url": ctx.params["url"],
    }  # fmt: skip
    secret = new_id("whsec_", 32)
    ctx.put("webhook_endpoint", {**doc, "secret": secret})
    return {**doc, "secret": secret}


def _list_webhook_endpoints(ctx: Context) -> Document:
    items = [
        {key: value for key, value in doc.items() if key != "secret"}
        for doc in ctx.all("webhook_endpoint")
    ]
    return page("/v1/webhook_endpoints", items, ctx.params)


def _delete_webhook_endpoint(ctx: Context, id_: str) -> Document:
    ctx.get("webhook_endpoint", id_)
    ctx.store.delete(VENDOR, ctx.account, "webhook_endpoint", id_)
    return {"id": id_, "object": "webhook_endpoint", "deleted": True}


OPERATIONS: dict[str, Callable[..., Document]] = {
    "GET /v1/account": _account,
    "GET /v1/balance": _balance,
    "GET /v1/events": _list_events,
    "POST /v1/customers": catalog.create_customer,
    "GET /v1/customers": catalog.list_customers,
    "GET /v1/customers/{customer}": catalog.get_customer,
    "POST /v1/customers/{customer}": catalog.update_customer,
    "DELETE /v1/customers/{customer}": catalog.delete_customer,
    "POST /v1/products": catalog.create_product,
    "GET /v1/products": catalog.list_products,
    "GET /v1/products/{id}": catalog.get_product,
    "POST /v1/products/{id}": catalog.update_product,
    "POST /v1/prices": catalog.create_price,
    "GET /v1/prices": catalog.list_prices,
    "GET /v1/prices/{price}": catalog.get_price,
    "POST /v1/prices/{price}": catalog.update_price,
    "POST /v1/payment_methods": catalog.create_payment_method,
    "GET /v1/payment_methods": catalog.list_payment_methods,
    "GET /v1/payment_methods/{payment_method}": catalog.get_payment_method,
    "POST /v1/payment_methods/{payment_method}/attach": catalog.attach_payment_method,
    "POST /v1/subscriptions": subscriptions.create_subscription,
    "GET /v1/subscriptions": subscriptions.list_subscriptions,
    "GET /v1/subscriptions/{subscription_exposed_id}": subscriptions.get_subscription,
    "POST /v1/subscriptions/{subscription_exposed_id}": subscriptions.update_subscription,
    "DELETE /v1/subscriptions/{subscription_exposed_id}": subscriptions.cancel_subscription,
    "GET /v1/invoices": invoices.list_invoices,
    "GET /v1/invoices/{invoice}": invoices.get_invoice,
    "POST /v1/invoices/{invoice}/pay": invoices.pay_invoice,
    "POST /v1/invoices/{invoice}/void": invoices.void_invoice,
    "POST /v1/checkout/sessions": checkout.create_session,
    "GET /v1/checkout/sessions": checkout.list_sessions,
    "GET /v1/checkout/sessions/{session}": checkout.get_session,
    "POST /v1/checkout/sessions/{session}/expire": checkout.expire_session,
    "POST /v1/webhook_endpoints": _create_webhook_endpoint,
    "GET /v1/webhook_endpoints": _list_webhook_endpoints,
    "DELETE /v1/webhook_endpoints/{webhook_endpoint}": _delete_webhook_endpoint,
}
"""By method and path, as Stripe's OpenAPI file spells them."""

_ROUTES = [
    (operation, re.compile("^" + re.sub(r"\{[^}]+\}", "([^/]+)", operation) + "$"), handler)
    for operation, handler in OPERATIONS.items()
]
_EXPANDABLE = {
    "latest_invoice": "invoice",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "subscription": "subscription",
    "product": "product",
}


def find_operation(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The operation of a request, and the ids in its path; raises Stripe's 404."""
    for operation, pattern, _ in _ROUTES:
        match = pattern.match(f"{method} {path}")
        if match:
            return operation, match.groups()
    raise StripeError(f"Unrecognized request URL ({method}: {path}).", status=404, executed=False)


def authenticate(authorization: str | None) -> str:
    """The account behind a key; raises Stripe's 401."""
    key = (authorization or "").removeprefix("Bearer ")
    if not key.startswith(("sk_test_", "rk_test_")) or "invalid" in key:
        shown = f"{key[:8]}****" if key else "(none)"
        live = " The sandbox takes test keys only." if "_live_" in key else ""
        raise StripeError(f"Invalid API Key provided: {shown}.{live}", status=401, executed=False)
    return "acct_" + hashlib.sha256(key.encode()).hexdigest()[:16]


def handle(
    store: Store,
    account: str,
    base_url: str,
    method: str,
    path: str,
    params: Params,
    key: str | None,
) -> tuple[int, str, dict[str, str], list[Document]]:
    """Carry a request out: status, body, headers and the events that came of it."""
    print_ = fingerprint(method, path, params)
    key = key if method == "POST" else None
    if key is not None:
        before = store.recall(account, key)
        if before is not None:
            if before["request"] != print_:
                error = StripeError(
                    "Keys for idempotent requests can only be used with the same parameters they"
                    f" were first used with. Try using a key other than '{key}' if you meant to"
                    " execute a different request.",
                    type_="idempotency_error",
                )
                return 400, json.dumps(error.body), {}, []
            replay = {"Idempotent-Replayed": "true"}
            return before["status"], before["body"], replay, []
    ctx = Context(store, account, params, base_url)
    executed = True
    try:
        operation, ids = find_operation(method, path)
        check_parameters(operation, params)
        expand = params.pop("expand", [])
        with store.transaction():
            document = OPERATIONS[operation](ctx, *ids)
            status, body = 200, json.dumps(_expanded(ctx, document, expand))
            if key is not None:
                store.remember(account, key, print_, status, body)
        return status, body, {}, ctx.events
    except StripeError as error:
        status, body, executed = error.status, json.dumps(error.body), error.executed
    if key is not None and executed:
        with store.transaction():
            store.remember(account, key, print_, status, body)
    return status, body, {}, []


def _expanded(ctx: Context, document: Document, expand: list[str]) -> Document:
    for path in expand:
        _expand(ctx, document, path.split("."))
    return document


def _expand(ctx: Context, here: Any, path: list[str]) -> None:
    if isinstance(here, list):
        for item in here:
            _expand(ctx, item, path)
        return
    if not isinstance(here, dict) or path[0] not in here:
        return
    name, rest = path[0], path[1:]
    value = here[name]
    if isinstance(value, str) and name in _EXPANDABLE:
        here[name] = value = ctx.get(_EXPANDABLE[name], value)
    if rest:
        _expand(ctx, value, rest)
