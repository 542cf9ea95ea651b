"""Customers, products, prices and payment methods."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.wire import (
    StripeError,
    created_filter,
    merged_metadata,
    missing,
    need,
    page,
    truth,
)

# https://docs.stripe.com/testing: cards by the name of their test payment method.
_DECLINING = {"pm_card_chargeDeclined", "pm_card_visa_chargeDeclined", "tok_chargeDeclined"}
_CARDS = {"pm_card_visa", "pm_card_mastercard", "pm_card_amex", "tok_visa", *_DECLINING}

# --- customers --------------------------------------------------------------------------------


def create_customer(ctx: Context) -> Document:
    """POST /v1/customers."""
    params = ctx.params
    doc: Document = {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": params.get("address"),
        "balance": 0,
        "created": ctx.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "email": params.get("email") or None,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": params.get("invoice_settings", {}).get(
                "default_payment_method"
            ),
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "name": params.get("name") or None,
        "phone": params.get("phone") or None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    if "payment_method" in params:
        attach(ctx, params["payment_method"], doc["id"])
    ctx.emit("customer.created", doc)
    return ctx.put("customer", doc)


def get_customer(ctx: Context, id_: str) -> Document:
    """GET /v1/customers/{id}; a deleted one is a stump."""
    return ctx.get("customer", id_)


def _living_customer(ctx: Context, id_: str, param: str = "id") -> Document:
    doc = ctx.get("customer", id_, param)
    if doc.get("deleted"):
        raise missing("customer", id_, param)
    return doc


def update_customer(ctx: Context, id_: str) -> Document:
    """POST /v1/customers/{id}."""
    doc = _living_customer(ctx, id_)
    for name in ("name", "email", "phone", "description"):
        if name in ctx.params:
            doc[name] = ctx.params[name] or None
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    settings = ctx.params.get("invoice_settings", {})
    if "default_payment_method" in settings:
        method = ctx.get("payment_method", settings["default_payment_method"])
        doc["invoice_settings"]["default_payment_method"] = method["id"]
    ctx.emit("customer.updated", doc)
    return ctx.put("customer", doc)


def delete_customer(ctx: Context, id_: str) -> Document:
    """DELETE /v1/customers/{id}; its subscriptions end at once."""
    from voicefleet_sandbox.stripe.subscriptions import end

    _living_customer(ctx, id_)
    for subscription in ctx.all("subscription"):
        if subscription["customer"] == id_ and subscription["status"] != "canceled":
            end(ctx, subscription)
    doc = {"id": id_, "object": "customer", "deleted": True}
    ctx.emit("customer.deleted", doc)
    return ctx.put("customer", doc)


def list_customers(ctx: Context) -> Document:
    """GET /v1/customers."""
    items = [doc for doc in ctx.all("customer") if not doc.get("deleted")]
    if "email" in ctx.params:
        items = [doc for doc in items if doc["email"] == ctx.params["email"]]
    return page("/v1/customers", created_filter(items, ctx.params), ctx.params)


# --- products and prices ----------------------------------------------------------------------


def create_product(ctx: Context) -> Document:
    """POST /v1/products; the caller may choose the id."""
    id_ = ctx.params.get("id") or new_id("prod_", 14)
    if ctx.store.get(VENDOR, ctx.account, "product", id_):
        raise StripeError("Product already exists.", code="resource_already_exists", param="id")
    doc: Document = {
        "id": id_,
        "object": "product",
        "active": truth(ctx.params.get("active", True)),
        "created": ctx.now,
        "default_price": None,
        "description": ctx.params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged_metadata({}, ctx.params.get("metadata")),
        "name": need(ctx.params, "name"),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": ctx.now,
        "url": None,
    }
    return ctx.put("product", doc)


def get_product(ctx: Context, id_: str) -> Document:
    """GET /v1/products/{id}."""
    return ctx.get("product", id_)


def update_product(ctx: Context, id_: str) -> Document:
    """POST /v1/products/{id}."""
    doc = ctx.get("product", id_)
    for name in ("name", "description"):
        if name in ctx.params:
            doc[name] = ctx.params[name] or None
    if "active" in ctx.params:
        doc["active"] = truth(ctx.params["active"])
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    doc["updated"] = ctx.now
    return ctx.put("product", doc)


def list_products(ctx: Context) -> Document:
    """GET /v1/products."""
    return page("/v1/products", created_filter(ctx.all("product"), ctx.params), ctx.params)


def create_price(ctx: Context) -> Document:
    """POST /v1/prices; a lookup key is one price's at a time."""
    params = ctx.params
    product = ctx.get("product", need(params, "product"), "product")
    recurring = params.get("recurring")
    lookup_key = params.get("lookup_key")
    if lookup_key:
        for other in ctx.all("price"):
            if other["lookup_key"] != lookup_key:
                continue
            if not truth(params.get("transfer_lookup_key")):
                raise StripeError(
                    f"A price (`{other['id']}`) already uses that lookup key.", param="lookup_key"
                )
            other["lookup_key"] = None
            ctx.put("price", other)
    doc: Document = {
        "id": new_id("price_"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": ctx.now,
        "currency": need(params, "currency"),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": lookup_key,
        "metadata": merged_metadata({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product["id"],
        "recurring": {
            "interval": need(recurring, "interval"),
            "interval_count": int(recurring.get("interval_count", 1)),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
        if recurring
        else None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": int(need(params, "unit_amount")),
        "unit_amount_decimal": str(params["unit_amount"]),
    }
    return ctx.put("price", doc)


def get_price(ctx: Context, id_: str) -> Document:
    """GET /v1/prices/{id}."""
    return ctx.get("price", id_)


def update_price(ctx: Context, id_: str) -> Document:
    """POST /v1/prices/{id}."""
    doc = ctx.get("price", id_)
    if "active" in ctx.params:
        doc["active"] = truth(ctx.params["active"])
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    return ctx.put("price", doc)


def list_prices(ctx: Context) -> Document:
    """GET /v1/prices."""
    items = created_filter(ctx.all("price"), ctx.params)
    if "lookup_keys" in ctx.params:
        items = [doc for doc in items if doc["lookup_key"] in ctx.params["lookup_keys"]]
    if "product" in ctx.params:
        items = [doc for doc in items if doc["product"] == ctx.params["product"]]
    if "active" in ctx.params:
        items = [doc for doc in items if doc["active"] == truth(ctx.params["active"])]
    return page("/v1/prices", items, ctx.params)


# --- payment methods --------------------------------------------------------------------------


def create_payment_method(ctx: Context) -> Document:
    """POST /v1/payment_methods with `card[token]`."""
    if need(ctx.params, "type") != "card":
        raise StripeError("The sandbox knows cards only.", param="type")
    token = ctx.params.get("card", {}).get("token", "tok_visa")
    return ctx.put("payment_method", _card(ctx, new_id("pm_"), declines=token in _DECLINING))


def _card(ctx: Context, id_: str, *, declines: bool) -> Document:
    return {
        "id": id_,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": {
                "city": None, "country": None, "line1": None, "line2": None, "postal_code": None,
                "state": None,
            },
            "email": None, "name": None, "phone": None, "tax_id": None,
        },
        "card": {
            "brand": "visa", "checks": None, "country": "US", "display_brand": "visa",
            "exp_month": 12, "exp_year": 2034, "fingerprint": "sandbox", "funding": "credit",
            "generated_from": None, "last4": "0002" if declines else "4242", "networks": None,
            "regulated_status": "unregulated", "three_d_secure_usage": None, "wallet": None,
        },
        "created": ctx.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }  # fmt: skip


def get_payment_method(ctx: Context, id_: str) -> Document:
    """GET /v1/payment_methods/{id}."""
    return ctx.get("payment_method", id_)


def attach(ctx: Context, id_: str, customer: str) -> Document:
    """Attach a card; a test card's name (`pm_card_visa`) makes one of its kind."""
    _living_customer_or_new(ctx, customer)
    if id_ in _CARDS:
        doc = _card(ctx, new_id("pm_"), declines=id_ in _DECLINING)
    else:
        doc = ctx.get("payment_method", id_)
    doc["customer"] = customer
    return ctx.put("payment_method", doc)


def _living_customer_or_new(ctx: Context, id_: str) -> None:
    doc = ctx.store.get(VENDOR, ctx.account, "customer", id_)
    if doc is not None and doc.get("deleted"):
        raise missing("customer", id_, "customer")


def attach_payment_method(ctx: Context, id_: str) -> Document:
    """POST /v1/payment_methods/{id}/attach."""
    customer = need(ctx.params, "customer")
    _living_customer(ctx, customer, "customer")
    return attach(ctx, id_, customer)


def list_payment_methods(ctx: Context) -> Document:
    """GET /v1/payment_methods."""
    items = ctx.all("payment_method")
    if "customer" in ctx.params:
        items = [doc for doc in items if doc["customer"] == ctx.params["customer"]]
    return page("/v1/payment_methods", items, ctx.params)


def usable_card(ctx: Context, customer: Document, given: str | None) -> Document:
    """The card that a subscription is charged to; raises what Stripe does where there is none."""
    id_ = given or customer["invoice_settings"]["default_payment_method"]
    if id_ is None:
        attached = [m for m in ctx.all("payment_method") if m["customer"] == customer["id"]]
        id_ = attached[0]["id"] if attached else None
    if id_ is None:
        raise StripeError(
            "This customer has no attached payment source or default payment method. Please"
            " consider adding a default payment method.",
            code="resource_missing",
        )
    return ctx.get("payment_method", id_)


def declines(card: Document) -> bool:
    """Whether the bank says no."""
    return bool(card["card"]["last4"] == "0002")
