"""Products and prices."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, new_id
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.wire import StripeError, integer, merged_metadata, need, truth


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
        "name": ctx.params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
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
    ids, active = ctx.params.get("ids"), ctx.params.get("active")

    def wanted(doc: Document) -> bool:
        return (ids is None or doc["id"] in ids) and (
            active is None or doc["active"] == truth(active)
        )

    return ctx.page("product", "/v1/products", wanted)


def create_price(ctx: Context) -> Document:
    """POST /v1/prices; a lookup key is one price's at a time."""
    params = ctx.params
    if int(need(params, "unit_amount")) < 0:
        raise StripeError("Invalid non-negative integer", param="unit_amount", executed=False)
    product = ctx.get("product", need(params, "product"), "product")
    recurring = params.get("recurring")
    lookup_key = params.get("lookup_key") or None
    _take_lookup_key(ctx, lookup_key, None)
    doc: Document = {
        "id": new_id("price_"),
        "object": "price",
        "active": truth(params.get("active", True)),
        "billing_scheme": "per_unit",
        "created": ctx.now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": lookup_key,
        "metadata": merged_metadata({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product["id"],
        "recurring": {
            "interval": recurring["interval"],
            "interval_count": integer(recurring, "interval_count", 1),
            "meter": None,
            "usage_type": "licensed",
        }
        if recurring
        else None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": int(params["unit_amount"]),
        "unit_amount_decimal": str(params["unit_amount"]),
    }
    return ctx.put("price", doc)


def _take_lookup_key(ctx: Context, key: str | None, own: str | None) -> None:
    """A lookup key is one price's at a time: it is handed over on demand, or refused."""
    if key is None:
        return
    for other in ctx.all("price", lookup_key=key):
        if other["id"] == own:
            continue
        if not truth(ctx.params.get("transfer_lookup_key")):
            raise StripeError(
                f"A price (`{other['id']}`) already uses that lookup key.", param="lookup_key"
            )
        ctx.put("price", {**other, "lookup_key": None})


def get_price(ctx: Context, id_: str) -> Document:
    """GET /v1/prices/{id}."""
    return ctx.get("price", id_)


def update_price(ctx: Context, id_: str) -> Document:
    """POST /v1/prices/{id}."""
    doc = ctx.get("price", id_)
    if "active" in ctx.params:
        doc["active"] = truth(ctx.params["active"])
    if "nickname" in ctx.params:
        doc["nickname"] = ctx.params["nickname"] or None
    if "metadata" in ctx.params:
        doc["metadata"] = merged_metadata(doc["metadata"], ctx.params["metadata"])
    if "lookup_key" in ctx.params:
        doc["lookup_key"] = ctx.params["lookup_key"] or None
        _take_lookup_key(ctx, doc["lookup_key"], id_)
    return ctx.put("price", doc)


def list_prices(ctx: Context) -> Document:
    """GET /v1/prices."""
    keys, active = ctx.params.get("lookup_keys"), ctx.params.get("active")
    same = {name: ctx.params[name] for name in ("product", "currency") if name in ctx.params}

    def wanted(doc: Document) -> bool:
        return (
            (keys is None or doc["lookup_key"] in keys)
            and (active is None or doc["active"] == truth(active))
            and all(doc[name] == value for name, value in same.items())
        )

    return ctx.page("price", "/v1/prices", wanted)
