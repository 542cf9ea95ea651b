"""Phone numbers: what is for sale (finite, by area code) and what an account holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.twilio.wire import (
    VENDOR,
    Params,
    TwilioError,
    not_found,
    page_2010,
    rfc2822,
)

MONTHLY_MINOR = 115
"""US cents a month for a local number."""
_FIRST, _LARGEST = 1000, 90000
_HEX = "0123456789abcdef"
# Area codes with a town and what is for sale at first; 907 has none, 808 a single one.
_TOWNS = {
    "415": "San Francisco", "212": "New York", "312": "Chicago", "512": "Austin",
    "206": "Seattle", "305": "Miami", "617": "Boston", "303": "Denver", "808": "Honolulu",
    "907": "Anchorage",
}  # fmt: skip
_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
}
_DEFAULT_STOCK = dict.fromkeys(_TOWNS, 200) | {"808": 1, "907": 0}


def stock(store: Store) -> dict[str, int]:
    """How many numbers of each area code exist, sold ones included."""
    text = store.get_meta("stock")
    return {**_DEFAULT_STOCK, **(json.loads(text) if text else {})}


def set_stock(store: Store, changes: dict[str, int]) -> None:
    """Change the stock of area codes; raises `ValueError` for what is none."""
    for area, count in changes.items():
        if not re.fullmatch(r"[2-9]\d\d", area) or not 0 <= int(count) <= _LARGEST:
            raise ValueError(f"{area}: {count}: an area code and at most {_LARGEST} numbers")
    text = store.get_meta("stock")
    store.set_meta("stock", json.dumps({**(json.loads(text) if text else {}), **changes}))


def cooldown(store: Store) -> float:
    """Seconds until a number that was released is for sale again."""
    return float(store.get_meta("cooldown") or 0)


def set_cooldown(store: Store, seconds: float) -> None:
    """Change that."""
    store.set_meta("cooldown", str(float(seconds)))


def _all_of(area: str, count: int) -> list[str]:
    """Fictional numbers, the same every time: exchange 220 and up, never 555 or N11."""
    return [f"+1{area}{2200000 + n}" for n in range(_FIRST, _FIRST + count)]


def _unsold(store: Store, areas: Iterable[str]) -> list[str]:
    """Numbers of these area codes that can be bought now."""
    have = stock(store)
    taken = store.values(VENDOR, "number", "phone_number") | _cooling(store)
    return [
        number
        for area in areas
        for number in _all_of(area, have.get(area, 0))
        if number not in taken
    ]


def _cooling(store: Store) -> set[str]:
    oldest = store.now() - cooldown(store)
    released = store.scan(VENDOR, None, "released_number") if cooldown(store) else ()
    return {doc["phone_number"] for doc in released if doc["at"] > oldest}


def _for_sale(store: Store, number: str) -> bool:
    """Whether exactly this one can be bought now."""
    match = re.fullmatch(r"\+1(\d{3})(\d{7})", number)
    if match is None:
        return False
    exists = 0 <= int(match[2]) - 2200000 - _FIRST < stock(store).get(match[1], 0)
    sold = next(store.scan(VENDOR, None, "number", phone_number=number), None)
    return exists and sold is None and number not in _cooling(store)


def _shown(number: str) -> str:
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}"


def _capabilities() -> dict[str, bool]:
    return {"voice": True, "sms": True, "mms": True, "fax": False}


def available(store: Store, account: str, country: str, params: Params) -> Document:
    """GET …/AvailablePhoneNumbers/{country}/Local.json."""
    path = f"/2010-04-01/Accounts/{account}/AvailablePhoneNumbers/{country}/Local.json"
    if country not in ("US", "CA"):
        raise not_found(path)
    if country == "CA":
        numbers = []
    elif "AreaCode" in params:
        numbers = _unsold(store, [params["AreaCode"]])
    else:
        # A wide search shows something of every area, as the real one does.
        numbers = sorted(_unsold(store, stock(store)), key=lambda n: (n[5:], n))
    if "Contains" in params:
        wanted = params["Contains"].strip("*").removeprefix("+")
        numbers = [n for n in numbers if wanted in n]
    items = [
        {
            "address_requirements": "none",
            "beta": False,
            "capabilities": _capabilities(),
            "friendly_name": _shown(n),
            "iso_country": country,
            "lata": None,
            "locality": _TOWNS.get(n[2:5]),
            "latitude": None,
            "longitude": None,
            "phone_number": n,
            "postal_code": None,
            "rate_center": None,
            "region": None,
        }
        for n in numbers
    ]
    return page_2010(path, "available_phone_numbers", items, params)


def buy(store: Store, account: str, params: Params) -> Document:
    """POST …/IncomingPhoneNumbers.json.

    By `PhoneNumber` exactly that one; by `AreaCode` another one at every call, as the real one.
    """
    number = _chosen(store, params)
    sid = new_id("PN", 32, _HEX)
    doc: Document = {
        "account_sid": account,
        "address_requirements": "none",
        "address_sid": None,
        "api_version": "2010-04-01",
        "beta": False,
        "bundle_sid": None,
        "capabilities": _capabilities(),
        "date_created": rfc2822(store),
        "date_updated": rfc2822(store),
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "emergency_status": "Inactive",
        "friendly_name": _shown(number),
        "identity_sid": None,
        "origin": "twilio",
        "phone_number": number,
        "sid": sid,
        "sms_application_sid": None,
        "sms_fallback_method": "POST",
        "sms_fallback_url": None,
        "sms_method": "POST",
        "sms_url": None,
        "status": "in-use",
        "status_callback": None,
        "status_callback_method": "POST",
        "trunk_sid": None,
        "type": "local",
        "uri": f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json",
        "voice_application_sid": None,
        "voice_caller_id_lookup": False,
        "voice_fallback_method": "POST",
        "voice_fallback_url": None,
        "voice_method": "POST",
        "voice_receive_mode": "voice",
        "voice_url": None,
    }
    _change(store, account, doc, params)
    _book(store, "number.purchased", doc, amount=MONTHLY_MINOR, is_open=True)
    return store.put(VENDOR, account, "number", doc, key="sid")


def _chosen(store: Store, params: Params) -> str:
    if "PhoneNumber" in params:
        number = params["PhoneNumber"]
        if not _for_sale(store, number):
            raise TwilioError(400, 21422, f"The requested phone number {number} is not available.")
        return number
    if "AreaCode" in params:
        offered = _unsold(store, [params["AreaCode"]])
        if not offered:
            raise TwilioError(
                400, 21452, f"No phone numbers found in area code {params['AreaCode']}"
            )
        return offered[0]
    raise TwilioError(400, 21450, "The phone number, or an area code, is required.")


def _book(store: Store, kind: str, doc: Document, *, is_open: bool, amount: int = 0) -> None:
    store.book(
        VENDOR, doc["account_sid"], kind, doc["sid"], amount=amount, monthly=MONTHLY_MINOR,
        mark={"friendlyName": doc["friendly_name"], "phoneNumber": doc["phone_number"]},
        is_open=is_open,
    )  # fmt: skip


def held(store: Store, account: str, sid: str) -> Document:
    """One number of the account."""
    doc = store.get(VENDOR, account, "number", sid)
    if doc is None:
        raise not_found(f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json")
    return doc


def update(store: Store, account: str, sid: str, params: Params) -> Document:
    """POST …/IncomingPhoneNumbers/{sid}.json."""
    doc = held(store, account, sid)
    before = doc["friendly_name"]
    _change(store, account, doc, params)
    if doc["friendly_name"] != before:
        _book(store, "number.renamed", doc, is_open=True)
    return store.put(VENDOR, account, "number", doc, key="sid")


def _change(store: Store, account: str, doc: Document, params: Params) -> None:
    """Set what is given; an empty value clears."""
    if len(params.get("FriendlyName", "")) > 64:
        raise TwilioError(400, 20001, "FriendlyName must be at most 64 characters")
    for name in ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod"):
        if params.get(name, "POST").upper() not in ("GET", "POST"):
            raise TwilioError(400, 21403, f"{name} is not GET or POST")
    for name in ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback"):
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise TwilioError(400, 21402, f"{name} is not a valid URL")
    for name, key in _FIELDS.items():
        if name in params:
            doc[key] = params[name] or None
    if not doc["friendly_name"]:
        doc["friendly_name"] = _shown(doc["phone_number"])
    if "TrunkSid" in params:
        if params["TrunkSid"] and not store.get(VENDOR, account, "trunk", params["TrunkSid"]):
            raise TwilioError(400, 21226, f"Trunk {params['TrunkSid']} was not found")
        doc["trunk_sid"] = params["TrunkSid"] or None
    doc["date_updated"] = rfc2822(store)


def release(store: Store, account: str, sid: str) -> None:
    """DELETE …/IncomingPhoneNumbers/{sid}.json: for sale again."""
    doc = held(store, account, sid)
    store.delete(VENDOR, account, "number", sid)
    store.put(
        VENDOR, account, "released_number",
        {"phone_number": doc["phone_number"], "at": store.now()}, key="phone_number",
    )  # fmt: skip
    _book(store, "number.released", doc, is_open=False)


def listed(store: Store, account: str, params: Params) -> Document:
    """GET …/IncomingPhoneNumbers.json; `PhoneNumber` also matches parts, as the real one."""
    part = params.get("PhoneNumber", "").replace("*", "").removeprefix("+")
    name = params.get("FriendlyName")
    items = [
        doc
        for doc in store.scan(VENDOR, account, "number")
        if part in doc["phone_number"] and name in (None, doc["friendly_name"])
    ]
    path = f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json"
    return page_2010(path, "incoming_phone_numbers", items, params)
