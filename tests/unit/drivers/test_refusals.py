"""How vendors' refusals become ours: reason, the vendor's words, what to change."""

from __future__ import annotations

import pytest
import stripe
from livekit import api
from twilio.base.exceptions import TwilioRestException

from voicefleet_operator.drivers import livekit, stripe_wire, twilio_wire
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
    VendorError,
)

pytestmark = pytest.mark.unit


def of_stripe(error: stripe.StripeError) -> VendorError:
    """What the driver raises in its place."""
    with pytest.raises(VendorError) as caught, stripe_wire.errors():
        raise error
    return caught.value


def of_twilio(status: int, code: int) -> VendorError:
    """What the driver raises for this answer."""
    with pytest.raises(VendorError) as caught, twilio_wire.errors():
        raise TwilioRestException(status, "/x", "words", code, "POST")
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (stripe.CardError("no", "", "card_declined", http_status=402), Rejected, "CardDeclined"),
        (stripe.PermissionError("no", http_status=403), Unauthorized, "Unauthorized"),
        (stripe.RateLimitError("later", http_status=429), Throttled, "Throttled"),
        (stripe.APIError("oh", http_status=500), Ambiguous, "StripeFailed"),
        (
            stripe.InvalidRequestError("no such price", "price", "resource_missing"),
            Gone,
            "ResourceMissing",
        ),
        (
            stripe.InvalidRequestError(
                "This customer has no attached payment source or default payment method.",
                "",
                "resource_missing",
            ),
            Rejected,
            "NoPaymentMethod",
        ),
        (stripe.InvalidRequestError("bad", "items"), Rejected, "InvalidRequest"),
        (stripe.APIConnectionError("nobody"), Unavailable, "StripeUnreachable"),
    ],
)
def test_stripe(error: stripe.StripeError, kind: type[VendorError], reason: str) -> None:
    ours = of_stripe(error)
    assert (type(ours), ours.reason) == (kind, reason)
    assert isinstance(ours, Throttled | Ambiguous | Unavailable) or ours.hint


def test_no_payment_method_is_not_a_missing_thing() -> None:
    """`Gone` would read as: your customer id is wrong."""
    words = "This customer has no attached payment source or default payment method."
    ours = of_stripe(stripe.InvalidRequestError(words, "", "resource_missing"))
    assert not isinstance(ours, Gone)
    assert (ours.message, "Checkout" in ours.hint) == (words, True)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (400, 21422, Rejected, "NumberUnavailable"),
        (400, 21421, Rejected, "NumberUnavailable"),
        (400, 21631, Rejected, "AddressRequired"),
        (400, 21248, Rejected, "DomainTaken"),
        (400, 20001, Rejected, "InvalidRequest"),
        (401, 20003, Unauthorized, "Unauthorized"),
        (403, 20005, Unauthorized, "Unauthorized"),
        (404, 20404, Gone, "ResourceMissing"),
        (408, 0, Ambiguous, "TwilioFailed"),
        (500, 20500, Ambiguous, "TwilioFailed"),
        (503, 20503, Ambiguous, "TwilioFailed"),
    ],
)
def test_twilio(status: int, code: int, kind: type[VendorError], reason: str) -> None:
    ours = of_twilio(status, code)
    assert (type(ours), ours.reason) == (kind, reason)
    assert "words" in ours.message


@pytest.mark.parametrize(
    ("code", "words", "status", "kind", "reason"),
    [
        ("invalid_argument", "bad", 400, Rejected, "InvalidRequest"),
        (
            "invalid_argument",
            'Conflicting inbound SIP Trunks: "a" and "b"',
            400,
            Rejected,
            "NumberRoutedElsewhere",
        ),
        (
            "invalid_argument",
            "Dispatch rule for the same trunk, number, and PIN combination already exists in"
            ' dispatch rule "a" "b"',
            400,
            Rejected,
            "NumberRoutedElsewhere",
        ),
        ("not_found", "gone", 404, Gone, "ResourceMissing"),
        ("unauthenticated", "", 401, Unauthorized, "Unauthorized"),
        ("unknown", "", 401, Unauthorized, "Unauthorized"),
        ("resource_exhausted", "", 429, Throttled, "Throttled"),
        ("deadline_exceeded", "", 408, Ambiguous, "LiveKitFailed"),
        ("unavailable", "", 503, Ambiguous, "LiveKitFailed"),
    ],
)
def test_livekit(code: str, words: str, status: int, kind: type[VendorError], reason: str) -> None:
    ours = livekit._translate(api.TwirpError(code, words, status=status))
    assert (type(ours), ours.reason) == (kind, reason)
    assert ours.message
