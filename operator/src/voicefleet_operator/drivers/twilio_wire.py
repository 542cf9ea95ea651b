"""Twilio on the wire: objects as plain data, exceptions as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from twilio.base.exceptions import (
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)
from twilio.base.version import Version
from twilio.http.response import Response

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    VendorError,
)
from voicefleet_operator.drivers.transport import network_error
from voicefleet_operator.planning.observed import CarrierNumber, CarrierTrunk, OriginationURL

# https://www.twilio.com/docs/api/errors/21422 and so on.
_NUMBER_UNAVAILABLE = {21421, 21422, 21452}
_ADDRESS_REQUIRED = {21613, 21615, 21631, 21649}
_DOMAIN_TAKEN = 21248


def number_of(obj: Any) -> CarrierNumber:
    """A number of the account as plain data."""
    return CarrierNumber(
        sid=obj.sid,
        e164=obj.phone_number,
        friendly_name=obj.friendly_name or "",
        trunk_sid=obj.trunk_sid or None,
        voice_url=obj.voice_url or None,
        voice_fallback_url=obj.voice_fallback_url or None,
    )


def trunk_of(obj: Any, origination: tuple[OriginationURL, ...] | None) -> CarrierTrunk:
    """A trunk as plain data."""
    return CarrierTrunk(
        sid=obj.sid,
        friendly_name=obj.friendly_name or "",
        domain_name=obj.domain_name or "",
        disaster_recovery_url=obj.disaster_recovery_url or None,
        origination=origination,
        transfers=obj.transfer_mode == "enable-all",
        calls_out="CREDENTIAL_LIST" in (obj.auth_type_set or ()),
        secure=bool(obj.secure),
    )


@contextmanager
def errors() -> Iterator[None]:
    """Exceptions of the SDK and of the network as ours."""
    try:
        yield
    except (TwilioRestException, TwilioServiceException) as error:
        raise _translate(error) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise network_error("Twilio", error) from error
    except TwilioException as error:
        raise _translate(_page_error(error)) from error
    except ValueError as error:
        # An answer that is not JSON (a proxy's page): the request may have got through.
        raise Ambiguous("TwilioFailed", f"unreadable answer ({type(error).__name__})") from error


def _page_error(error: TwilioException) -> TwilioRestException | TwilioServiceException:
    """What the SDK raises for a page of a listing: the bare response behind a few words."""
    response = next((a for a in error.args if isinstance(a, Response)), Response(500, str(error)))
    return Version.exception("GET", "", response, "Unable to fetch page")


def _translate(error: TwilioRestException | TwilioServiceException) -> VendorError:
    """Twilio's codes as ours; 5xx may or may not have been carried out."""
    said = (
        f"{error.title}: {error.detail}"
        if isinstance(error, TwilioServiceException)
        else str(error.msg)
    )
    words = f"{said} (Twilio code {error.code})" if error.code else said
    if error.status == 429:
        return Throttled(words, 1.0)
    if error.status in (401, 403):
        return Unauthorized("Unauthorized", words, hint="Check the account's Secret and its rights")
    if error.status >= 500 or error.status == 408:
        return Ambiguous("TwilioFailed", words)
    if error.code in _NUMBER_UNAVAILABLE:
        return Rejected("NumberUnavailable", words, hint="Choose another number")
    if error.code in _ADDRESS_REQUIRED:
        return Rejected(
            "AddressRequired",
            words,
            hint="Numbers of that country need an address or a regulatory bundle in the carrier's"
            " console, or choose another country",
        )
    if error.code == _DOMAIN_TAKEN:
        return Rejected("DomainTaken", words, hint="Wait until the carrier frees the trunk's name")
    if error.status == 404:
        return Gone("ResourceMissing", words)
    return Rejected("InvalidRequest", words, hint="Twilio refused the request")
