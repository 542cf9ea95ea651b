"""Stripe: customers, subscriptions, Checkout sessions and the prices of plans.

Every create that Stripe would not recognise as a repeat takes the id of a recorded operation as
`Idempotency-Key` (https://docs.stripe.com/api/idempotent_requests). Things are marked in their
metadata, and found again by listing: Search is not read-after-write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal, TypeVar, cast

import stripe

from voicefleet_api.fleet import Plan
from voicefleet_operator.drivers.errors import Rejected
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.stripe_wire import (
    Http,
    checkout_of,
    customer_of,
    errors,
    invoice_of,
    metadata_of,
    subscription_of,
)
from voicefleet_operator.drivers.transport import TIMEOUT, limits
from voicefleet_operator.planning.indexed import Indexed
from voicefleet_operator.planning.observed import (
    BillingInventory,
    CheckoutSession,
    Customer,
    Invoice,
    Mark,
    Subscription,
)

T = TypeVar("T", Customer, Subscription, CheckoutSession)

_PAGE = 100
_REPEATS = 2
"""By the SDK, under the same idempotency key."""
_DAYS_UNTIL_DUE = 14
_EXPAND = ["latest_invoice"]


class StripeDriver:
    """One Stripe account, as far as one fleet is concerned."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None,
        fleet_id: str,
        guard: Guard | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._fleet_id = fleet_id
        self._http = Http(guard or Guard(), timeout=limits(timeout))
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._http,
            max_network_retries=_REPEATS,
            base_addresses={"api": f"{base_url.rstrip('/')}/stripe"} if base_url else {},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    # --- what is there ------------------------------------------------------------------------

    async def _listed(self, path: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """All things of a kind, page by page (https://docs.stripe.com/api/pagination)."""
        more: dict[str, str] = {}
        while True:
            answer = await self._client.raw_request_async(
                "get", f"/v1/{path}", limit=_PAGE, **params, **more
            )
            things = cast(dict[str, Any], answer.data)
            for thing in things["data"]:
                yield thing
            if not things["has_more"]:
                return
            more = {"starting_after": things["data"][-1]["id"]}

    def _customers(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        return self._listed("customers", **params)

    def _subscriptions(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        return self._listed("subscriptions", expand=["data.latest_invoice"], **params)

    async def inventory(self) -> BillingInventory:
        """Everything that carries this fleet's mark."""
        found = BillingInventory()
        with errors():
            async for customer in self._customers():
                self._keep(found.customers, customer_of(customer))
            async for subscription in self._subscriptions(status="all"):
                self._keep(found.subscriptions, subscription_of(subscription))
            async for session in self._listed("checkout/sessions", status="open"):
                self._keep(found.checkouts, checkout_of(session))
        return found

    def _keep(self, into: Indexed[str, T], thing: T) -> None:
        if thing.mark is not None and thing.mark.fleet_id == self._fleet_id:
            into[thing.id] = thing

    async def unowned(self) -> tuple[list[Customer], list[Subscription]]:
        """Customers and live subscriptions that no fleet has marked: what can be taken over."""
        with errors():
            customers = [customer_of(data) async for data in self._customers()]
            subscriptions = [subscription_of(data) async for data in self._subscriptions()]
        return (
            [customer for customer in customers if customer.mark is None],
            [s for s in subscriptions if s.mark is None and s.live],
        )

    async def get_customer(self, customer_id: str) -> Customer:
        """One customer; raises `Gone`."""
        with errors():
            found = await self._client.v1.customers.retrieve_async(customer_id)
            return customer_of(found.to_dict())

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """One subscription; raises `Gone`."""
        with errors():
            found = await self._client.v1.subscriptions.retrieve_async(
                subscription_id, {"expand": _EXPAND}
            )
            return subscription_of(found.to_dict())

    async def get_checkout(self, session_id: str) -> CheckoutSession:
        """One Checkout session; raises `Gone`."""
        with errors():
            found = await self._client.v1.checkout.sessions.retrieve_async(session_id)
            return checkout_of(found.to_dict())

    async def find_customers(self, mark: Mark, since: datetime) -> list[Customer]:
        """The client's customers made since then: settles an operation of unknown outcome."""
        with errors():
            listed = self._customers(created={"gte": _seconds(since)})
            all_of_them = [customer_of(data) async for data in listed]
        return [c for c in all_of_them if mark.owns(c.mark)]

    async def find_subscriptions(self, mark: Mark, since: datetime) -> list[Subscription]:
        """The client's subscriptions made since then, of every status."""
        with errors():
            listed = self._subscriptions(status="all", created={"gte": _seconds(since)})
            all_of_them = [subscription_of(data) async for data in listed]
        return [s for s in all_of_them if mark.owns(s.mark)]

    # --- prices -------------------------------------------------------------------------------

    async def ensure_price(self, plan: Plan) -> str:
        """The id of the plan's price; made where it is missing or of another amount.

        Product id and lookup key are natural keys, so a repeat finds what is there. A price's
        amount cannot be changed: a new one takes the lookup key over
        (https://docs.stripe.com/products-prices/manage-prices#lookup-keys). No idempotency key is
        derived from the amount: back at an earlier amount, Stripe would replay the old answer.
        """
        client = self._client.v1
        lookup_key = f"voicefleet-{self._fleet_id}-{plan.name}"
        product_id = f"voicefleet_{self._fleet_id}_{plan.name}"
        with errors():
            found = await client.prices.list_async({"lookup_keys": [lookup_key], "active": True})
            for price in found.data:
                if (price.unit_amount, price.currency) == (plan.monthly_price_minor, plan.currency):
                    return str(price.id)
            await self._ensure_product(product_id, plan)
            made = await client.prices.create_async(
                {
                    "product": product_id,
                    "currency": plan.currency,
                    "unit_amount": plan.monthly_price_minor,
                    "recurring": {"interval": "month"},
                    "lookup_key": lookup_key,
                    "transfer_lookup_key": True,
                }
            )
            return str(made.id)

    async def _ensure_product(self, product_id: str, plan: Plan) -> None:
        try:
            await self._client.v1.products.retrieve_async(product_id)
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
        else:
            return
        metadata = {"voicefleet_fleet": self._fleet_id}
        try:
            await self._client.v1.products.create_async(
                {"id": product_id, "name": f"Voice agent, {plan.name}", "metadata": metadata}
            )
        except stripe.InvalidRequestError as error:
            if error.code != "resource_already_exists":
                raise

    # --- customers ----------------------------------------------------------------------------

    async def create_customer(
        self, op_id: str, *, mark: Mark, name: str, email: str | None
    ) -> Customer:
        """Make the client's customer."""
        params: Any = {"name": name, "metadata": metadata_of(mark)}
        if email:
            params["email"] = email
        with errors():
            made = await self._client.v1.customers.create_async(params, _key(op_id))
            return customer_of(made.to_dict())

    async def update_customer(self, customer_id: str, *, name: str, email: str | None) -> Customer:
        """Change name and e-mail."""
        with errors():
            changed = await self._client.v1.customers.update_async(
                customer_id, {"name": name, "email": email or ""}
            )
            return customer_of(changed.to_dict())

    async def mark_customer(self, customer_id: str, mark: Mark) -> Customer:
        """Take over a customer; raises `Rejected` (AlreadyOwned) where it is another client's."""
        _refuse_owned(customer_id, (await self.get_customer(customer_id)).mark, mark)
        with errors():
            changed = await self._client.v1.customers.update_async(
                customer_id, {"metadata": metadata_of(mark)}
            )
            return customer_of(changed.to_dict())

    # --- subscriptions ------------------------------------------------------------------------

    async def create_subscription(
        self,
        op_id: str,
        *,
        mark: Mark,
        customer_id: str,
        price_id: str,
        collection: Literal["Invoice", "Card"],
        trial_days: int,
    ) -> Subscription:
        """Subscribe; a declined card makes nothing (`error_if_incomplete`)."""
        params: Any = {
            "customer": customer_id,
            "items": [{"price": price_id}],
            "metadata": metadata_of(mark),
            "expand": _EXPAND,
        }
        if collection == "Card":
            params |= {
                "collection_method": "charge_automatically",
                "payment_behavior": "error_if_incomplete",
            }
        else:
            params |= {"collection_method": "send_invoice", "days_until_due": _DAYS_UNTIL_DUE}
        if trial_days:
            params["trial_period_days"] = trial_days
        with errors():
            made = await self._client.v1.subscriptions.create_async(params, _key(op_id))
            return subscription_of(made.to_dict())

    async def mark_subscription(self, subscription_id: str, mark: Mark) -> Subscription:
        """Take over a subscription; raises `Rejected` (AlreadyOwned)."""
        _refuse_owned(subscription_id, (await self.get_subscription(subscription_id)).mark, mark)
        return await self._update(subscription_id, {"metadata": metadata_of(mark)})

    async def change_price(
        self, *, subscription_id: str, item_id: str, price_id: str
    ) -> Subscription:
        """Move to another price with proration; setting it twice is the same as once."""
        return await self._update(
            subscription_id,
            {
                "items": [{"id": item_id, "price": price_id}],
                "proration_behavior": "create_prorations",
            },
        )

    async def cancel_subscription(
        self, subscription_id: str, *, when: Literal["AtPeriodEnd", "Now", "Undone"]
    ) -> Subscription:
        """End it; `Now` with a final invoice and what was paid too much credited.

        `Undone` has neither: what was paid is refunded by `refund_invoice`.
        """
        if when == "AtPeriodEnd":
            return await self._update(subscription_id, {"cancel_at_period_end": True})
        settle = when == "Now"
        with errors():
            ended = await self._client.v1.subscriptions.cancel_async(
                subscription_id, {"invoice_now": settle, "prorate": settle, "expand": _EXPAND}
            )
            return subscription_of(ended.to_dict())

    async def forget_subscription(self, subscription_id: str) -> None:
        """Take our mark off (https://docs.stripe.com/api/metadata: an empty value unsets)."""
        nobody = dict.fromkeys(metadata_of(Mark("", "", "", "")), "")
        await self._update(subscription_id, {"metadata": nobody})

    async def void_invoice(self, invoice_id: str) -> None:
        """Make an unpaid invoice void, so that nobody pays it; fine where it is no longer open."""
        try:
            with errors():
                await self._client.v1.invoices.void_invoice_async(invoice_id)
        except Rejected:
            if (await self.get_invoice(invoice_id)).status == "open":
                raise

    async def get_invoice(self, invoice_id: str) -> Invoice:
        """One invoice; raises `Gone`."""
        with errors():
            found = await self._client.v1.invoices.retrieve_async(invoice_id)
            return invoice_of(found.to_dict())

    async def refund_invoice(self, op_id: str, *, invoice_id: str, amount_minor: int) -> None:
        """Pay back what was paid, by a credit note (https://docs.stripe.com/api/credit_notes)."""
        with errors():
            await self._client.v1.credit_notes.create_async(
                {
                    "invoice": invoice_id,
                    "amount": amount_minor,
                    "refund_amount": amount_minor,
                    "reason": "order_change",
                },
                {"idempotency_key": op_id},
            )

    async def _update(self, subscription_id: str, params: dict[str, Any]) -> Subscription:
        with errors():
            changed = await self._client.v1.subscriptions.update_async(
                subscription_id, cast(Any, {**params, "expand": _EXPAND})
            )
            return subscription_of(changed.to_dict())

    # --- Checkout -----------------------------------------------------------------------------

    async def create_checkout(
        self,
        op_id: str,
        *,
        mark: Mark,
        customer_id: str,
        price_id: str,
        trial_days: int,
        success_url: str,
    ) -> CheckoutSession:
        """Make a link to pay by; the subscription that comes of it carries our mark."""
        subscription: Any = {"metadata": metadata_of(mark)}
        if trial_days:
            subscription["trial_period_days"] = trial_days
        with errors():
            made = await self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [{"price": price_id, "quantity": 1}],
                    "success_url": success_url,
                    "metadata": {**metadata_of(mark), "voicefleet_price": price_id},
                    "subscription_data": subscription,
                },
                _key(op_id),
            )
            return checkout_of(made.to_dict())

    async def expire_checkout(self, session_id: str) -> CheckoutSession:
        """Make the link void; fine where it is expired already, or complete: it says which."""
        try:
            with errors():
                expired = await self._client.v1.checkout.sessions.expire_async(session_id)
                return checkout_of(expired.to_dict())
        except Rejected:
            session = await self.get_checkout(session_id)
            if session.status == "open":
                raise
            return session


def _key(op_id: str) -> Any:
    return {"idempotency_key": op_id}


def _seconds(moment: datetime) -> int:
    # A little earlier than the intent: the vendor's clock is not ours.
    return int(moment.timestamp()) - 300


def _refuse_owned(thing: str, owner: Mark | None, mark: Mark) -> None:
    if owner is not None and not mark.owns(owner):
        raise Rejected(
            "AlreadyOwned",
            f"{thing} belongs to client {owner.namespace}/{owner.name} ({owner.client_id})",
            hint="Name another in spec.billing.existing",
        )
