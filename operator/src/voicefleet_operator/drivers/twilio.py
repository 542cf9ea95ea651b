"""Twilio: phone numbers, and Elastic SIP trunks with their origination URLs.

Twilio knows no idempotency keys, so no POST is repeated here: a number is bought by its exact
E.164 and a trunk made under a domain name derived from the client, and both are looked for first
(https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
https://www.twilio.com/docs/sip-trunking/api).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
    VendorError,
)
from voicefleet_operator.planning.observed import (
    CarrierNumber,
    CarrierTrunk,
    OriginationURL,
    TelephonyInventory,
)

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
_PAGE = 1000
_WIDE_SEARCH = 200
_PRIORITY_STEP = 10
_WEIGHT = 10
_HOSTS = {
    "https://api.twilio.com": "/twilio/api",
    "https://trunking.twilio.com": "/twilio/trunking",
}
# https://www.twilio.com/docs/api/errors
_UNAVAILABLE_CODES = {21422, 21404, 21452}


class _Http(AsyncTwilioHttpClient):
    """The SDK's client, with a time-out, and the sandbox instead of Twilio's hosts if asked for.

    A custom client is the SDK's own extension point:
    https://www.twilio.com/docs/libraries/python/custom-http-clients-python
    """

    def __init__(self, base_url: str | None) -> None:
        super().__init__(pool_connections=False)
        self.session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self._base = base_url.rstrip("/") if base_url else None

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self._base is not None:
            for host, prefix in _HOSTS.items():
                url = url.replace(host, self._base + prefix, 1)
        return await super().request(method, url, *args, **kwargs)


class TwilioDriver:
    """One Twilio account or sub-account, as far as one fleet is concerned."""

    def __init__(
        self,
        account_sid: str,
        *,
        auth_token: str | None = None,
        api_key_sid: str | None = None,
        api_key_secret: str | None = None,
        base_url: str | None,
        fleet_id: str,
    ) -> None:
        """Sign in with the account's token, or with an API key; `ValueError` with neither."""
        user, password = (api_key_sid, api_key_secret) if api_key_sid else (account_sid, auth_token)
        if not password:
            raise ValueError("the telephony Secret has neither authToken nor apiKeySecret")
        self._fleet_id = fleet_id
        self._http = _Http(base_url)
        self._client = Client(user, password, account_sid, http_client=self._http)
        self._numbers = self._client.api.v2010.account.incoming_phone_numbers
        self._trunks = self._client.trunking.v1.trunks

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def inventory(self) -> TelephonyInventory:
        """All numbers of the account, and the trunks that carry this fleet's mark."""
        with _errors():
            numbers = await self._numbers.list_async(page_size=_PAGE)
            trunks = await self._trunks.list_async(page_size=_PAGE)
        mine = [t for t in trunks if t.friendly_name.startswith(f"voicefleet/{self._fleet_id}/")]
        slots = asyncio.Semaphore(8)

        async def whole(trunk: Any) -> CarrierTrunk:
            async with slots:
                return _trunk(trunk, await self._origination(trunk.sid))

        return TelephonyInventory(
            numbers={number.sid: _number(number) for number in numbers},
            trunks={t.sid: t for t in await asyncio.gather(*map(whole, mine))},
        )

    # --- numbers ------------------------------------------------------------------------------

    async def search_numbers(
        self, *, country: str, area_code: str | None, limit: int = 20
    ) -> list[str]:
        """Numbers (E.164) that can be bought now, at most `limit`."""
        area: dict[str, Any] = {"area_code": int(area_code)} if area_code else {}
        try:
            with _errors():
                offered = await self._client.api.v2010.account.available_phone_numbers(
                    country
                ).local.list_async(voice_enabled=True, limit=limit, page_size=limit, **area)
        except Gone as error:
            raise Rejected(
                "CountryNotOffered",
                f"the carrier sells no local numbers in {country}",
                hint="Choose another country in spec.telephony.numbers[].request",
            ) from error
        return [str(number.phone_number) for number in offered]

    async def suggest_area_codes(self, country: str) -> list[str]:
        """Area codes that do have numbers, for North American countries."""
        offered = await self.search_numbers(country=country, area_code=None, limit=_WIDE_SEARCH)
        return sorted({number[2:5] for number in offered if number.startswith("+1")})

    async def find_number(self, e164: str) -> CarrierNumber | None:
        """The account's number that is exactly this one: Twilio's filter also matches parts."""
        with _errors():
            found = await self._numbers.list_async(phone_number=e164)
        return next((_number(n) for n in found if n.phone_number == e164), None)

    async def buy_number(self, e164: str, *, friendly_name: str) -> CarrierNumber:
        """Buy exactly this number; raises `Rejected` (NumberUnavailable) where it is taken."""
        with _errors():
            return _number(
                await self._numbers.create_async(phone_number=e164, friendly_name=friendly_name)
            )

    async def update_number(
        self,
        sid: str,
        *,
        friendly_name: str | None = None,
        trunk_sid: str | None = None,
        voice_url: str | None = None,
    ) -> CarrierNumber:
        """Change what is given; an empty string clears."""
        given = {"friendly_name": friendly_name, "trunk_sid": trunk_sid, "voice_url": voice_url}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        with _errors():
            return _number(await self._numbers(sid).update_async(**changes))

    async def release_number(self, sid: str) -> None:
        """Give the number back; fine where it is gone."""
        try:
            with _errors():
                await self._numbers(sid).delete_async()
        except Gone:
            return

    # --- trunks -------------------------------------------------------------------------------

    def _domain(self, client_id: str) -> str:
        return f"{client_id}-{self._fleet_id}.pstn.twilio.com"

    async def create_trunk(
        self, *, client_id: str, friendly_name: str, disaster_recovery_url: str | None
    ) -> CarrierTrunk:
        """The client's trunk; looked for first, since its domain name admits only one."""
        found = await self.find_trunk(client_id)
        if found is not None:
            return found
        recovery: dict[str, Any] = (
            {"disaster_recovery_url": disaster_recovery_url, "disaster_recovery_method": "GET"}
            if disaster_recovery_url
            else {}
        )
        with _errors():
            made = await self._trunks.create_async(
                friendly_name=friendly_name, domain_name=self._domain(client_id), **recovery
            )
        return _trunk(made, ())

    async def find_trunk(self, client_id: str) -> CarrierTrunk | None:
        """The trunk under the client's domain name."""
        with _errors():
            trunks = await self._trunks.list_async(page_size=_PAGE)
        domain = self._domain(client_id)
        for trunk in trunks:
            if trunk.domain_name == domain:
                return _trunk(trunk, await self._origination(trunk.sid))
        return None

    async def update_trunk(self, sid: str, *, disaster_recovery_url: str | None) -> CarrierTrunk:
        """Change where calls go when none of our bridges answers."""
        with _errors():
            changed = await self._trunks(sid).update_async(
                disaster_recovery_url=disaster_recovery_url or "", disaster_recovery_method="GET"
            )
        return _trunk(changed, await self._origination(sid))

    async def delete_trunk(self, sid: str) -> None:
        """Remove the trunk; fine where it is gone."""
        try:
            with _errors():
                await self._trunks(sid).delete_async()
        except Gone:
            return

    async def _origination(self, trunk_sid: str) -> tuple[OriginationURL, ...]:
        with _errors():
            urls = await self._trunks(trunk_sid).origination_urls.list_async(page_size=_PAGE)
        return tuple(
            OriginationURL(url.sid, url.sip_url, url.priority, url.weight, url.enabled)
            for url in urls
        )

    async def set_origination(
        self, trunk_sid: str, urls: Sequence[str]
    ) -> tuple[OriginationURL, ...]:
        """Make the trunk's origination URLs these, preferred first; only what differs changes.

        New ones are added before old ones go, so that calls always find a way.
        """
        # Listed anew: one that was added and whose reply was lost must be seen.
        have = {url.sip_url: url for url in await self._origination(trunk_sid)}
        service = self._trunks(trunk_sid).origination_urls
        for index, url in enumerate(urls, start=1):
            priority, known = index * _PRIORITY_STEP, have.get(url)
            with _errors():
                if known is None:
                    await service.create_async(
                        weight=_WEIGHT,
                        priority=priority,
                        enabled=True,
                        friendly_name=f"voicefleet {index}",
                        sip_url=url,
                    )
                elif (known.priority, known.enabled) != (priority, True):
                    await service(known.sid).update_async(priority=priority, enabled=True)
        for url, known in have.items():
            if url not in urls:
                with _errors():
                    await service(known.sid).delete_async()
        return await self._origination(trunk_sid)


def _number(obj: Any) -> CarrierNumber:
    return CarrierNumber(
        sid=obj.sid,
        e164=obj.phone_number,
        friendly_name=obj.friendly_name or "",
        trunk_sid=obj.trunk_sid or None,
        voice_url=obj.voice_url or None,
    )


def _trunk(obj: Any, origination: tuple[OriginationURL, ...]) -> CarrierTrunk:
    return CarrierTrunk(
        sid=obj.sid,
        friendly_name=obj.friendly_name or "",
        domain_name=obj.domain_name or "",
        disaster_recovery_url=obj.disaster_recovery_url or None,
        origination=origination,
    )


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except TwilioRestException as error:
        raise _translate(error) from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable("TwilioUnreachable", str(error)) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Ambiguous("TwilioUnreachable", f"{type(error).__name__}: no reply") from error
    except TwilioException as error:
        raise Ambiguous("TwilioFailed", str(error)) from error


def _translate(error: TwilioRestException) -> VendorError:
    """Twilio's codes as ours; 5xx may or may not have been carried out."""
    words = f"{error.msg} (Twilio code {error.code})" if error.code else str(error.msg)
    if error.status == 429:
        return Throttled(words, 1.0)
    if error.status in (401, 403):
        return Unauthorized("Unauthorized", words, hint="Check the account's Secret and its rights")
    if error.status >= 500:
        return Ambiguous("TwilioFailed", words)
    if error.code in _UNAVAILABLE_CODES:
        return Rejected("NumberUnavailable", words, hint="Choose another number")
    if error.status == 404:
        return Gone("ResourceMissing", words)
    return Rejected("InvalidRequest", words, hint="Twilio refused the request")
