"""Stripe's endpoints that the sandbox serves, and the parameters that it makes use of."""

from __future__ import annotations

from collections.abc import Callable

from voicefleet_sandbox.store import Document
from voicefleet_sandbox.stripe import (
    account,
    cards,
    catalog,
    checkout,
    credit_notes,
    customers,
    invoices,
    items,
    subscriptions,
)

_PAGE = "limit starting_after ending_before"
_CUSTOMER = "name email phone description address metadata invoice_settings.default_payment_method"
_PRODUCT = "name description active metadata"
_SUBSCRIPTION = (
    "metadata description default_payment_method collection_method days_until_due"
    " payment_behavior proration_behavior off_session"
    " items.price items.quantity items.metadata"
)
_HOOK = "url enabled_events description metadata"

OPERATIONS: dict[str, tuple[Callable[..., Document], str]] = {
    "GET /v1/account": (account.get_account, ""),
    "GET /v1/balance": (account.get_balance, ""),
    "GET /v1/events": (account.list_events, f"{_PAGE} created type types"),
    "GET /v1/events/{id}": (account.get_event, ""),
    "POST /v1/customers": (customers.create_customer, f"{_CUSTOMER} payment_method"),
    "GET /v1/customers": (customers.list_customers, f"{_PAGE} created email"),
    "GET /v1/customers/{customer}": (customers.get_customer, ""),
    "POST /v1/customers/{customer}": (customers.update_customer, _CUSTOMER),
    "DELETE /v1/customers/{customer}": (customers.delete_customer, ""),
    "POST /v1/products": (catalog.create_product, f"id {_PRODUCT}"),
    "GET /v1/products": (catalog.list_products, f"{_PAGE} created ids active"),
    "GET /v1/products/{id}": (catalog.get_product, ""),
    "POST /v1/products/{id}": (catalog.update_product, _PRODUCT),
    "POST /v1/prices": (
        catalog.create_price,
        "product currency unit_amount lookup_key transfer_lookup_key nickname active metadata"
        " recurring.interval recurring.interval_count",
    ),
    "GET /v1/prices": (
        catalog.list_prices,
        f"{_PAGE} created lookup_keys product active currency",
    ),
    "GET /v1/prices/{price}": (catalog.get_price, ""),
    "POST /v1/prices/{price}": (
        catalog.update_price,
        "active nickname metadata lookup_key transfer_lookup_key",
    ),
    "POST /v1/payment_methods": (cards.create_payment_method, "type card.token metadata"),
    "GET /v1/payment_methods": (cards.list_payment_methods, f"{_PAGE} customer type"),
    "GET /v1/payment_methods/{payment_method}": (cards.get_payment_method, ""),
    "POST /v1/payment_methods/{payment_method}/attach": (
        cards.attach_payment_method,
        "customer",
    ),
    "POST /v1/payment_methods/{payment_method}/detach": (cards.detach_payment_method, ""),
    "POST /v1/subscriptions": (
        subscriptions.create_subscription,
        f"{_SUBSCRIPTION} customer trial_period_days",
    ),
    "GET /v1/subscriptions": (
        subscriptions.list_subscriptions,
        f"{_PAGE} created customer price status collection_method",
    ),
    "GET /v1/subscriptions/{subscription_exposed_id}": (subscriptions.get_subscription, ""),
    "POST /v1/subscriptions/{subscription_exposed_id}": (
        subscriptions.update_subscription,
        f"{_SUBSCRIPTION} items.id cancel_at_period_end cancellation_details pause_collection"
        " trial_end",
    ),
    "DELETE /v1/subscriptions/{subscription_exposed_id}": (
        subscriptions.cancel_subscription,
        "invoice_now prorate cancellation_details",
    ),
    "GET /v1/subscription_items": (items.list_items, f"{_PAGE} subscription"),
    "GET /v1/subscription_items/{item}": (items.get_item, ""),
    "POST /v1/subscription_items/{item}": (
        items.update_item,
        "price quantity metadata proration_behavior payment_behavior",
    ),
    "GET /v1/invoices": (
        invoices.list_invoices,
        f"{_PAGE} created customer subscription status collection_method",
    ),
    "GET /v1/invoices/{invoice}": (invoices.get_invoice, ""),
    "POST /v1/invoices/{invoice}": (invoices.update_invoice, "metadata auto_advance"),
    "POST /v1/invoices/{invoice}/finalize": (invoices.finalize_invoice, ""),
    "POST /v1/invoices/{invoice}/pay": (
        invoices.pay_invoice,
        "payment_method paid_out_of_band off_session",
    ),
    "POST /v1/invoices/{invoice}/void": (invoices.void_invoice, ""),
    "POST /v1/invoices/{invoice}/mark_uncollectible": (invoices.mark_uncollectible, ""),
    "POST /v1/credit_notes": (
        credit_notes.create_credit_note,
        "invoice amount refund_amount reason metadata",
    ),
    "GET /v1/credit_notes": (credit_notes.list_credit_notes, f"{_PAGE} customer invoice"),
    "GET /v1/invoiceitems": (
        invoices.list_invoice_items,
        f"{_PAGE} customer invoice pending",
    ),
    "POST /v1/checkout/sessions": (
        checkout.create_session,
        "mode customer customer_email client_reference_id success_url cancel_url expires_at"
        " metadata line_items.price line_items.quantity subscription_data.metadata"
        " subscription_data.description subscription_data.trial_period_days",
    ),
    "GET /v1/checkout/sessions": (
        checkout.list_sessions,
        f"{_PAGE} created customer subscription status",
    ),
    "GET /v1/checkout/sessions/{session}": (checkout.get_session, ""),
    "POST /v1/checkout/sessions/{session}/expire": (checkout.expire_session, ""),
    "POST /v1/webhook_endpoints": (account.create_webhook_endpoint, _HOOK),
    "GET /v1/webhook_endpoints": (account.list_webhook_endpoints, _PAGE),
    "GET /v1/webhook_endpoints/{webhook_endpoint}": (account.get_webhook_endpoint, ""),
    "POST /v1/webhook_endpoints/{webhook_endpoint}": (
        account.update_webhook_endpoint,
        f"{_HOOK} disabled",
    ),
    "DELETE /v1/webhook_endpoints/{webhook_endpoint}": (account.delete_webhook_endpoint, ""),
}
"""By method and path, as Stripe's OpenAPI file spells them: handler, and the names (`a.b` for
a[b]) of the parameters that it heeds. `sandbox/tools/stripe_params.py` makes params.json of it."""
