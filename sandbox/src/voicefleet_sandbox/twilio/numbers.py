"""Phone numbers: what is for sale (finite, by area code) and what an account holds."""

from __future__ import annotations

import json

from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.twilio.wire import (
    VENDOR,
    Params,
    TwilioError,
    need,
    not_found,
    page_2010,
    rfc2822,
)

MONTHLY_MINOR = 115
_HEX = "0123456789abcdef"
# Area codes with a town and what is for sale at first; 907 has none, 808 a single one.
_TOWNS = {
    "415": "San Francisco", "212": "New York", "312": "Chicago", "512": "Austin",
    "206": "Seattle", "305": "Miami", "617": "Boston", "303": "Denver", "808": "Honolulu",
    "907": "Anchorage",
}  # fmt: skip
_DEFAULT_STOCK = dict.fromkeys(_TOWNS, 200) | {"808": 1, "907": 0}


def stock(store: Store) -> dict[str, int]:
    """How many numbers of each area code exist, sold ones included."""
    text = store.get_meta("stock")
    return {**_DEFAULT_STOCK, **(json.loads(text) if text else {})}


def set_stock(store: Store, changes: dict[str, int]) -> dict[str, int]:
    """Change the stock of area codes."""
    text = store.get_meta("stock")
    store.set_meta("stock", json.dumps({**(json.loads(text) if text else {}), **changes}))
    return stock(store)


def _all_of(area: str, count: int) -> list[str]:
    """Fictional numbers, the same every time: exchange 2xx, never 555-01xx or N11."""
    return [f"+1{area}{220 + n // 10000}{n % 10000:04d}" for n in range(1000, 1000 + count)]


def _for_sale(store: Store) -> list[str]:
    sold = {doc["phone_number"] for doc in store.all(VENDOR, None, "number")}
    return [
        number
        for area, count in sorted(stock(store).items())
        for number in _all_of(area, count)
        if number not in sold
    ]


def _shown(number: str) -> str:
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}"


def _capabilities() -> dict[str, bool]:
    return {"voice": True, "SMS": True, "MMS": True, "fax": False}


def available(store: Store, account: str, country: str, params: Params) -> Document:
    """GET …/AvailablePhoneNumbers/{country}/Local.json."""
    path = f"/2010-04-01/Accounts/{account}/AvailablePhoneNumbers/{country}/Local.json"
    if country not in ("US", "CA"):
        raise not_found(path)
    numbers = _for_sale(store) if country == "US" else []
    if "AreaCode" in params:
        numbers = [n for n in numbers if n[2:5] == params["AreaCode"]]
    else:
        # A wide search shows something of every area, as the real one does.
        numbers = sorted(numbers, key=lambda n: (n[5:], n))
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
    if "PhoneNumber" in params:
        number = params["PhoneNumber"]
        if number not in _for_sale(store):
            raise TwilioError(400, 21422, f"The requested phone number {number} is not available.")
    elif "AreaCode" in params:
        offered = [n for n in _for_sale(store) if n[2:5] == params["AreaCode"]]
        if not offered:
            raise TwilioError(
                400, 21452, f"No phone numbers found in area code {params['AreaCode']}"
            )
        number = offered[0]
    else:
        need(params, "PhoneNumber")
        raise AssertionError("unreachable")
    sid = new_id("PN", 32, _HEX)
    doc: Document = {
        "account_sid": account,
        "address_requirements": "none",
        "address_sid": None,
        "api_version": "2010-04-01",
        "beta": False,
        "bundle_sid": None,
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "date_created": rfc2822(store),
        "date_updated": rfc2822(store),
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "emergency_status": "Inactive",
        "friendly_name": params.get("FriendlyName")
        or f"({number[2:5]}) {number[5:8]}-{number[8:]}",
        "identity_sid": None,
        "origin": "twilio",
        "phone_number": number,
        "sid": sid,
        "sms_application_sid": "",
        "sms_fallback_method": "POST",
        "sms_fallback_url": "",
        "sms_method": "POST",
        "sms_url": "",
        "status": "in-use",
        "status_callback": "",
        "status_callback_method": "POST",
        "subresource_uris": {},
        "trunk_sid": params.get("TrunkSid") or None,
        "type": "local",
        "uri": f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json",
        "voice_application_sid": None,
        "voice_caller_id_lookup": False,
        "voice_fallback_method": "POST",
        "voice_fallback_url": None,
        "voice_method": params.get("VoiceMethod", "POST"),
        "voice_receive_mode": "voice",
        "voice_url": params.get("VoiceUrl") or None,
    }
    store.book(
        VENDOR, account, "number.purchased", sid, amount=MONTHLY_MINOR, monthly=MONTHLY_MINOR,
        mark={"friendlyName": doc["friendly_name"], "phoneNumber": number}, is_open=True,
    )  # fmt: skip
    return store.put(VENDOR, account, "number", doc, key="sid")


def held(store: Store, account: str, sid: str) -> Document:
    """One number of the account."""
    doc = store.get(VENDOR, account, "number", sid)
    if doc is None:
        raise not_found(f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json")
    return doc


def update(store: Store, account: str, sid: str, params: Params) -> Document:
    """POST …/IncomingPhoneNumbers/{sid}.json; an empty value clears."""
    doc = held(store, account, sid)
    for name, key in (
        ("FriendlyName", "friendly_name"), ("VoiceUrl", "voice_url"),
        ("VoiceMethod", "voice_method"), ("VoiceFallbackUrl", "voice_fallback_url"),
        ("StatusCallback", "status_callback"),
    ):  # fmt: skip
        if name in params:
            doc[key] = params[name] or None
    if "TrunkSid" in params:
        if params["TrunkSid"] and not store.get(VENDOR, account, "trunk", params["TrunkSid"]):
            raise TwilioError(400, 21226, f"Trunk {params['TrunkSid']} was not found")
        doc["trunk_sid"] = params["TrunkSid"] or None
    doc["date_updated"] = rfc2822(store)
    return store.put(VENDOR, account, "number", doc, key="sid")


def release(store: Store, account: str, sid: str) -> None:
    """DELETE …/IncomingPhoneNumbers/{sid}.json: for sale again."""
    doc = held(store, account, sid)
    store.delete(VENDOR, account, "number", sid)
    store.book(
        VENDOR, account, "number.released", sid, monthly=MONTHLY_MINOR,
        mark={"friendlyName": doc["friendly_name"], "phoneNumber": doc["phone_number"]},
        is_open=False,
    )  # fmt: skip


def listed(store: Store, account: str, params: Params) -> Document:
    """GET …/IncomingPhoneNumbers.json; `PhoneNumber` also matches parts, as the real one."""
    items = store.all(VENDOR, account, "number")
    if "PhoneNumber" in params:
        wanted = params["PhoneNumber"].replace("*", "").removeprefix("+")
        items = [doc for doc in items if wanted in doc["phone_number"]]
    if "FriendlyName" in params:
        items = [doc for doc in items if doc["friendly_name"] == params["FriendlyName"]]
    path = f"/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json"
    return page_2010(path, "incoming_phone_numbers", items, params)
