"""Stripe on the wire: the HTTP client, objects as plain data, exceptions as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
import stripe

from voicefleet_api.names import E164_PATTERN
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
    VendorError,
)
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.transport import never_sent, retry_after
from voicefleet_operator.planning.observed import (
    CheckoutSession,
    Customer,
    Invoice,
    Mark,
    Subscription,
)

_sent: ContextVar[bool] = ContextVar("_sent", default=False)
"""Whether any attempt of the call under way may have been carried out without our knowing."""


class Http(stripe.AIOHTTPClient):
    """The SDK's client: guarded, and it says whether a failed call may have reached Stripe."""

    def __init__(self, guard: Guard, **session: Any) -> None:
        super().__init__(**session)
        self._guard = guard

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        # The SDK comes here for each repeat, too.
        async with self._guard.request(writes=method.upper() != "GET") as said:
            answer = await self._send(method, url, headers, post_data)
            _, said.status, said.headers = answer
        # 409: a request with the same key is being carried out.
        if said.status >= 500 or said.status == 409:
            _sent.set(True)
        return answer

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            return await super().request_async(method, url, headers, post_data)
        except stripe.APIConnectionError as error:
            if not never_sent(error.__cause__):
                _sent.set(True)
            raise
        except (aiohttp.ClientError, TimeoutError) as error:
            # The SDK does not guard the reading of the body; as its own error it is repeated.
            _sent.set(True)
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                f"Stripe's answer broke off ({type(error).__name__})", should_retry=True
            ) from error


def metadata_of(mark: Mark) -> dict[str, str]:
    """The mark as Stripe's metadata."""
    return {
        "voicefleet_fleet": mark.fleet_id,
        "voicefleet_client": mark.client_id,
        "voicefleet_namespace": mark.namespace,
        "voicefleet_name": mark.name,
    }


def mark_of(metadata: Mapping[str, str] | None) -> Mark | None:
    """The mark in Stripe's metadata, if there is one."""
    if not metadata or "voicefleet_client" not in metadata:
        return None
    return Mark(
        metadata.get("voicefleet_fleet", ""),
        metadata["voicefleet_client"],
        metadata.get("voicefleet_namespace", ""),
        metadata.get("voicefleet_name", ""),
    )


# Of the JSON, not of the SDK's objects: to make those of everything that an account holds would be
# three quarters of a sweep (docs/performance.md).


def customer_of(data: Mapping[str, Any]) -> Customer:
    """A customer as plain data; raises `Gone` for one that was deleted."""
    if data.get("deleted"):
        raise Gone("ResourceMissing", f"customer {data['id']} was deleted in Stripe")
    metadata = data["metadata"] or {}
    # As people write them; what has letters in it is no number, whatever digits it has.
    named = [re.sub(r"[ ().-]", "", str(words)) for words in (data["phone"], *metadata.values())]
    numbers = frozenset(number for number in named if re.match(E164_PATTERN, number))
    return Customer(data["id"], data["name"] or "", data["email"], mark_of(metadata), numbers)


def subscription_of(data: Mapping[str, Any]) -> Subscription:
    """A subscription with its latest invoice expanded, as plain data."""
    items = data["items"]["data"]
    item, price = items[0], items[0]["price"]
    every, invoice = price["recurring"], data["latest_invoice"]
    paid = data["status"] == "trialing" or (invoice is not None and invoice["status"] == "paid")
    return Subscription(
        id=data["id"],
        customer_id=_id(data["customer"]),
        status=data["status"],
        item_id=item["id"],
        price_id=price["id"],
        cancel_at_period_end=bool(data["cancel_at_period_end"]),
        paid=paid,
        mark=mark_of(data["metadata"]),
        price_minor=price["unit_amount"] or 0,
        currency=price["currency"],
        # A metered item has no quantity, a tiered price no amount.
        like_a_plan=price["unit_amount"] is not None
        and (len(items), item.get("quantity")) == (1, 1)
        and (every["interval"], every["interval_count"]) == ("month", 1),
        charges_card=data["collection_method"] == "charge_automatically",
        invoice=invoice_of(invoice) if invoice is not None else None,
    )


def invoice_of(data: Mapping[str, Any]) -> Invoice:
    """An invoice as plain data."""
    given_back = data["post_payment_credit_notes_amount"] + data["amount_paid_off_stripe"]
    return Invoice(data["id"], data["status"], max(0, data["amount_paid"] - given_back))


def checkout_of(data: Mapping[str, Any]) -> CheckoutSession:
    """A Checkout session as plain data."""
    metadata = data["metadata"] or {}
    return CheckoutSession(
        id=data["id"],
        url=data["url"],
        status=data["status"] or "open",
        price_id=metadata.get("voicefleet_price"),
        subscription_id=_id(data["subscription"]) if data["subscription"] else None,
        mark=mark_of(metadata),
    )


def _id(reference: str | Mapping[str, Any]) -> str:
    """Of a reference that may be expanded."""
    return reference if isinstance(reference, str) else str(reference["id"])


@contextmanager
def errors() -> Iterator[None]:
    """Stripe's exceptions (https://docs.stripe.com/error-handling) as ours."""
    token = _sent.set(False)
    try:
        yield
    except stripe.StripeError as error:
        raise _translate(error) from error
    except Throttled as error:
        if _sent.get():
            # The guard has refused a repeat of what was sent before.
            raise Ambiguous("StripeSilent", f"Stripe did not answer. {error.message}") from error
        raise
    finally:
        _sent.reset(token)


def _translate(error: stripe.StripeError) -> VendorError:
    words = error.user_message or str(error)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    match error:
        case stripe.CardError():
            return Rejected(
                "CardDeclined",
                words,
                hint="Ask the client for another card, or set spec.billing.collection to Checkout",
            )
        case stripe.RateLimitError():
            return Throttled(words, retry_after(headers))
        case stripe.AuthenticationError() | stripe.PermissionError():
            return Unauthorized(
                "Unauthorized", words, hint="Check the key in the account's Secret and its rights"
            )
        case stripe.APIConnectionError() if not _sent.get():
            return Unavailable("StripeUnreachable", f"cannot connect to Stripe: {_root(error)}")
        case stripe.APIConnectionError():
            # Whether it was carried out is not known: it is repeated under its key.
            return Ambiguous("StripeSilent", f"Stripe did not answer ({_root(error)})")
        case stripe.IdempotencyError():
            return Ambiguous("StripeIdempotency", words)
        case stripe.InvalidRequestError():
            return _refused(error, words)
        case _:
            replayed = headers.get("idempotent-replayed") == "true"
            return Ambiguous("StripeFailed", words, replayed=replayed)


def _root(error: stripe.StripeError) -> str:
    return type(error.__cause__).__name__


def _refused(error: stripe.InvalidRequestError, words: str) -> Rejected:
    # Stripe gives this no code that is its own.
    if "default payment method" in words:
        return Rejected(
            "NoPaymentMethod",
            words,
            hint="Add a card to the customer in Stripe, or set spec.billing.collection to Checkout",
        )
    if error.code == "resource_missing":
        return Gone("ResourceMissing", words, hint="Check the ids in spec.billing.existing")
    where = f" ({error.param})" if error.param else ""
    return Rejected("InvalidRequest", words + where, hint="Stripe refused the request")
