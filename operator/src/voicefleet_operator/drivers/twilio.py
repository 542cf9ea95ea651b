"""Twilio: phone numbers, and Elastic SIP trunks with their origination URLs.

Twilio knows no idempotency keys, so no POST is repeated here: a number is bought by its exact
E.164 and a trunk made under a domain name derived from the client, and both are looked for first
(https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
https://www.twilio.com/docs/sip-trunking/api).
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import aiohttp
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from voicefleet_operator.drivers.errors import Gone, Rejected, Throttled
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.termination import Termination
from voicefleet_operator.drivers.transport import TIMEOUT, repeated, retry_after
from voicefleet_operator.drivers.twilio_wire import errors, number_of, trunk_of
from voicefleet_operator.planning.observed import (
    CarrierNumber,
    CarrierTrunk,
    OriginationURL,
    TelephonyInventory,
)

_PAGE = 1000
_WIDE_SEARCH = 200
_PRIORITY_STEP = 10
_WEIGHT = 10
_DOMAINS = 30
"""A client that lets its trunk go and wants it back uses one up; each costs three requests."""
_TRANSFERS = "enable-all"
"""Also to phones (https://www.twilio.com/docs/sip-trunking/call-transfer)."""
_AT_ONCE = 8
_ORIGINATION_TURN = 50
"""Trunks whose origination URLs are read again in each listing, at least,"""
_ORIGINATION_TURNS = 6
"""and listings until all have had their turn, at most."""
_HOSTS = {
    "https://api.twilio.com": "/twilio/api",
    "https://trunking.twilio.com": "/twilio/trunking",
}


class _Http(AsyncTwilioHttpClient):
    """The SDK's client, guarded, with a time-out, and the sandbox's address if asked for.

    A custom client is the SDK's own extension point:
    https://www.twilio.com/docs/libraries/python/custom-http-clients-python
    """

    def __init__(self, base_url: str | None, guard: Guard, timeout: float) -> None:
        super().__init__(pool_connections=False)
        self._guard = guard
        self.session = aiohttp.ClientSession()
        self._limit = timeout
        self._base = base_url.rstrip("/") if base_url else None

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self._base is not None:
            for host, prefix in _HOSTS.items():
                url = url.replace(host, self._base + prefix, 1)
        # With each request: the SDK would send None along, which lifts the session's limit.
        kwargs["timeout"] = self._limit
        # The SDK's own way of sending credentials is deprecated in aiohttp, and gone in its 4.0.
        if credentials := kwargs.pop("auth", None):
            token = b64encode(":".join(credentials).encode()).decode()
            kwargs["headers"] = {**kwargs["headers"], "Authorization": f"Basic {token}"}
        async with self._guard.request(writes=method.upper() != "GET") as said:
            response = await super().request(method, url, *args, **kwargs)
            said.status, said.headers = response.status_code, response.headers
        if response.status_code == 429:
            # The SDK's exception does not carry the header.
            raise Throttled(_words(response.text), retry_after(response.headers))
        return response


def _words(body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "Twilio: too many requests"


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
        guard: Guard | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Sign in with the account's token, or with an API key; `ValueError` with neither."""
        user, password = (api_key_sid, api_key_secret) if api_key_sid else (account_sid, auth_token)
        if not password:
            raise ValueError("the telephony Secret has neither authToken nor apiKeySecret")
        self._fleet_id = fleet_id
        self._urls: dict[str, tuple[OriginationURL, ...]] = {}
        """Origination URLs by trunk, the longest unread first."""
        self._http = _Http(base_url, guard or Guard(), timeout)
        self._client = Client(user, password, account_sid, http_client=self._http)
        self._numbers = self._client.api.v2010.account.incoming_phone_numbers
        self._trunks = self._client.trunking.v1.trunks
        self.termination = Termination(self._client, fleet_id, password)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def inventory(self) -> TelephonyInventory:
        """All numbers of the account, and the trunks that carry this fleet's mark."""
        numbers = await self._list_numbers()
        ours = f"voicefleet/{self._fleet_id}/"
        mine = [t for t in await self._list_trunks() if (t.friendly_name or "").startswith(ours)]
        slots = asyncio.Semaphore(_AT_ONCE)

        async def read(sid: str) -> None:
            async with slots:
                await self.origination(sid)

        await asyncio.gather(*map(read, self._to_be_read([trunk.sid for trunk in mine])))
        found = TelephonyInventory()
        found.numbers.update((number.sid, number_of(number)) for number in numbers)
        found.trunks.update((t.sid, trunk_of(t, self._urls.get(t.sid))) for t in mine)
        opened = any(trunk.calls_out for trunk in found.trunks.values())
        found.outbound_user = await self.termination.user(opened=opened)
        return found

    def _to_be_read(self, sids: Sequence[str]) -> list[str]:
        """Trunks whose origination URLs are asked for in this listing.

        One request a trunk is too much for a large fleet: each in its turn.
        """
        present = set(sids)
        known = [sid for sid in self._urls if sid in present]
        self._urls = {sid: self._urls[sid] for sid in known}
        turn = max(_ORIGINATION_TURN, len(sids) // _ORIGINATION_TURNS)
        # A dict keeps the order in which its keys were put in: the longest unread come first.
        return ([sid for sid in sids if sid not in self._urls] + known)[:turn]

    @repeated
    async def _list_numbers(self, **only: str) -> list[Any]:
        with errors():
            return list(await self._numbers.list_async(page_size=_PAGE, **only))

    @repeated
    async def _list_trunks(self) -> list[Any]:
        with errors():
            return list(await self._trunks.list_async(page_size=_PAGE))

    # --- numbers ------------------------------------------------------------------------------

    @repeated
    async def search_numbers(
        self, *, country: str, area_code: str | None, limit: int = 20
    ) -> list[str]:
        """Numbers (E.164) that can be bought now, at most `limit`."""
        area = {"area_code": area_code} if area_code else {}
        try:
            with errors():
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
        found = await self._list_numbers(phone_number=e164)
        return next((number_of(n) for n in found if n.phone_number == e164), None)

    async def buy_number(self, e164: str, *, friendly_name: str) -> CarrierNumber:
        """Buy exactly this number; raises `Rejected` (NumberUnavailable) where it is taken."""
        with errors():
            return number_of(
                await self._numbers.create_async(phone_number=e164, friendly_name=friendly_name)
            )

    async def update_number(
        self,
        sid: str,
        *,
        friendly_name: str | None = None,
        trunk_sid: str | None = None,
        voice_url: str | None = None,
        voice_fallback_url: str | None = None,
    ) -> CarrierNumber:
        """Change what is given, in one step; an empty string clears."""
        given = {
            "friendly_name": friendly_name,
            "trunk_sid": trunk_sid,
            "voice_url": voice_url,
            "voice_fallback_url": voice_fallback_url,
        }
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        with errors():
            return number_of(await self._numbers(sid).update_async(**changes))

    async def release_number(self, sid: str) -> None:
        """Give the number back; fine where it is gone."""
        try:
            with errors():
                await self._numbers(sid).delete_async()
        except Gone:
            return

    # --- trunks -------------------------------------------------------------------------------

    def _domain(self, client_id: str, take: int) -> str:
        """Of the n-th trunk of the client's: Twilio keeps a deleted one's domain for 30 days."""
        suffix = f"-{take}" if take > 1 else ""
        return f"{client_id}-{self._fleet_id}{suffix}.pstn.twilio.com"

    def _is_domain_of(self, client_id: str, domain: str | None) -> bool:
        pattern = re.escape(f"{client_id}-{self._fleet_id}") + r"(-\d+)?\.pstn\.twilio\.com"
        return re.fullmatch(pattern, domain or "") is not None

    async def create_trunk(
        self,
        *,
        client_id: str,
        friendly_name: str,
        disaster_recovery_url: str | None,
        secure: bool = False,
    ) -> CarrierTrunk:
        """The client's trunk, made under a domain name of the client's own.

        A domain name can be had once, so a repeat is refused and finds what is there; looking
        first would list all trunks for each new client. Raises `Rejected` (DomainTaken).
        """
        wanted: dict[str, Any] = {
            "friendly_name": friendly_name,
            "transfer_mode": _TRANSFERS,
            "secure": secure,
        }
        if disaster_recovery_url:
            wanted |= {
                "disaster_recovery_url": disaster_recovery_url,
                "disaster_recovery_method": "GET",
            }
        for take in range(1, _DOMAINS + 1):
            # Under another domain only after a second look: the first may have come too early.
            if take > 1 and (found := await self.find_trunk(client_id)) is not None:
                return await self._relabelled(found, wanted)
            try:
                with errors():
                    made = await self._trunks.create_async(
                        domain_name=self._domain(client_id, take), **wanted
                    )
                return trunk_of(made, ())
            except Rejected as error:
                if error.reason != "DomainTaken":
                    raise
                taken = error
            if (found := await self.find_trunk(client_id)) is not None:
                return await self._relabelled(found, wanted)
        raise taken

    async def _relabelled(self, trunk: CarrierTrunk, wanted: dict[str, Any]) -> CarrierTrunk:
        """Put our mark back where a person has changed it: by that the inventory knows it."""
        if trunk.friendly_name == wanted["friendly_name"]:
            return trunk
        with errors():
            changed = await self._trunks(trunk.sid).update_async(**wanted)
        return trunk_of(changed, trunk.origination)

    async def find_trunk(self, client_id: str) -> CarrierTrunk | None:
        """The trunk under the client's domain name."""
        for trunk in await self._list_trunks():
            if self._is_domain_of(client_id, trunk.domain_name):
                return trunk_of(trunk, await self.origination(trunk.sid))
        return None

    async def update_trunk(
        self, sid: str, *, disaster_recovery_url: str | None, secure: bool = False
    ) -> CarrierTrunk:
        """Change where calls go when none of our bridges answers, and whether they are encrypted;
        let us transfer calls."""
        with errors():
            changed = await self._trunks(sid).update_async(
                disaster_recovery_url=disaster_recovery_url or "",
                disaster_recovery_method="GET",
                transfer_mode=_TRANSFERS,
                secure=secure,
            )
        return trunk_of(changed, await self.origination(sid))

    async def delete_trunk(self, sid: str) -> None:
        """Remove the trunk; fine where it is gone."""
        try:
            with errors():
                await self._trunks(sid).delete_async()
        except Gone:
            return

    @repeated
    async def origination(self, trunk_sid: str) -> tuple[OriginationURL, ...]:
        """Where the trunk's calls go, preferred first."""
        with errors():
            urls = await self._trunks(trunk_sid).origination_urls.list_async(page_size=_PAGE)
        found = [
            OriginationURL(url.sid, url.sip_url, url.priority, url.weight, url.enabled)
            for url in urls
        ]
        self._urls.pop(trunk_sid, None)
        self._urls[trunk_sid] = tuple(sorted(found, key=lambda url: (url.priority, url.sid)))
        return self._urls[trunk_sid]

    async def set_origination(
        self, trunk_sid: str, urls: Sequence[str]
    ) -> tuple[OriginationURL, ...]:
        """Make the trunk's origination URLs these, preferred first; only what differs changes.

        New ones are added before old ones go, so that calls always find a way.
        """
        # Listed anew: one that was added and whose reply was lost must be seen.
        have = await self.origination(trunk_sid)
        # Not known while it changes: cut short, it is read again.
        del self._urls[trunk_sid]
        service = self._trunks(trunk_sid).origination_urls
        kept: set[str] = set()
        changed = False
        for index, url in enumerate(urls, start=1):
            priority = index * _PRIORITY_STEP
            known = next((entry for entry in have if entry.sip_url == url), None)
            if known is not None:
                kept.add(known.sid)
                if (known.priority, known.weight, known.enabled) == (priority, _WEIGHT, True):
                    continue
            changed = True
            values = {"priority": priority, "weight": _WEIGHT, "enabled": True}
            with errors():
                if known is not None:
                    await service(known.sid).update_async(**values)
                else:
                    await service.create_async(
                        friendly_name=f"voicefleet {index}", sip_url=url, **values
                    )
        for entry in have:
            if entry.sid not in kept:
                changed = True
                await self._drop_origination(trunk_sid, entry.sid)
        if changed:
            return await self.origination(trunk_sid)
        self._urls[trunk_sid] = have
        return have

    async def _drop_origination(self, trunk_sid: str, sid: str) -> None:
        try:
            with errors():
                await self._trunks(trunk_sid).origination_urls(sid).delete_async()
        except Gone:
            return
