"""Elastic SIP trunks, their origination URLs, numbers, and lists for termination."""

from __future__ import annotations

from voicefleet_sandbox.store import Document, Store, new_id
from voicefleet_sandbox.twilio import numbers
from voicefleet_sandbox.twilio.wire import (
    VENDOR,
    Params,
    TwilioError,
    iso,
    need,
    not_found,
    page_v1,
)

_HEX = "0123456789abcdef"
_HOST = "trunking.twilio.com"
_DOMAIN = ".pstn.twilio.com"
_FIELDS = {
    "FriendlyName": "friendly_name",
    "DomainName": "domain_name",
    "DisasterRecoveryUrl": "disaster_recovery_url",
    "DisasterRecoveryMethod": "disaster_recovery_method",
    "TransferMode": "transfer_mode",
    "TransferCallerId": "transfer_caller_id",
}
LISTS = {"CredentialLists": ("CL", "credential_list"), "IpAccessControlLists": ("AL", "ip_list")}
"""Sub-resource -> prefix of its SIDs and type in the store."""


def _url(*parts: str) -> str:
    return f"https://{_HOST}/v1/Trunks" + "".join(f"/{part}" for part in parts)


def _check_domain(store: Store, name: str, own: str | None) -> None:
    if not name.endswith(_DOMAIN):
        raise TwilioError(400, 21245, f"Domain name must end with {_DOMAIN}")
    for doc in store.all(VENDOR, None, "trunk"):
        if doc["domain_name"] == name and doc["sid"] != own:
            raise TwilioError(400, 21248, f"Domain name {name} is already in use")


def create(store: Store, account: str, params: Params) -> Document:
    """POST /v1/Trunks."""
    sid = new_id("TK", 32, _HEX)
    doc: Document = {
        "account_sid": account,
        "auth_type": "",
        "auth_type_set": [],
        "cnam_lookup_enabled": params.get("CnamLookupEnabled") == "true",
        "date_created": iso(store),
        "date_updated": iso(store),
        "disaster_recovery_method": "POST",
        "disaster_recovery_url": None,
        "domain_name": None,
        "friendly_name": None,
        "links": {
            "origination_urls": _url(sid, "OriginationUrls"),
            "credential_lists": _url(sid, "CredentialLists"),
            "ip_access_control_lists": _url(sid, "IpAccessControlLists"),
            "phone_numbers": _url(sid, "PhoneNumbers"),
            "recording": _url(sid, "Recording"),
        },
        "recording": {"mode": "do-not-record", "trim": "do-not-trim"},
        "secure": params.get("Secure") == "true",
        "sid": sid,
        "symmetric_rtp_enabled": False,
        "transfer_caller_id": "from-transferee",
        "transfer_mode": "disable-all",
        "url": _url(sid),
    }
    return _change(store, account, doc, params)


def _change(store: Store, account: str, doc: Document, params: Params) -> Document:
    if params.get("DomainName"):
        _check_domain(store, params["DomainName"], doc["sid"])
    for name, key in _FIELDS.items():
        if name in params:
            doc[key] = params[name] or None
    if "Secure" in params:
        doc["secure"] = params["Secure"] == "true"
    doc["date_updated"] = iso(store)
    return store.put(VENDOR, account, "trunk", doc, key="sid")


def get(store: Store, account: str, sid: str) -> Document:
    """GET /v1/Trunks/{sid}."""
    doc = store.get(VENDOR, account, "trunk", sid)
    if doc is None:
        raise not_found(f"/v1/Trunks/{sid}")
    return doc


def update(store: Store, account: str, sid: str, params: Params) -> Document:
    """POST /v1/Trunks/{sid}."""
    return _change(store, account, get(store, account, sid), params)


def delete(store: Store, account: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}: its URLs go with it, its numbers stay with the account."""
    get(store, account, sid)
    for url in _urls(store, account, sid):
        store.delete(VENDOR, account, "origination_url", url["sid"])
    for number in store.all(VENDOR, account, "number"):
        if number["trunk_sid"] == sid:
            store.put(VENDOR, account, "number", {**number, "trunk_sid": None}, key="sid")
    store.delete(VENDOR, account, "trunk", sid)


def listed(store: Store, account: str, params: Params) -> Document:
    """GET /v1/Trunks."""
    return page_v1(_HOST, "/v1/Trunks", "trunks", store.all(VENDOR, account, "trunk"), params)


def recording(store: Store, account: str, sid: str, params: Params | None) -> Document:
    """GET or POST /v1/Trunks/{sid}/Recording."""
    doc = get(store, account, sid)
    if params is not None:
        for name in ("Mode", "Trim"):
            if name in params:
                doc["recording"][name.lower()] = params[name]
        store.put(VENDOR, account, "trunk", doc, key="sid")
    result: Document = doc["recording"]
    return result


# --- origination URLs -------------------------------------------------------------------------


def _urls(store: Store, account: str, trunk: str) -> list[Document]:
    found = store.all(VENDOR, account, "origination_url")
    return [url for url in found if url["trunk_sid"] == trunk]


def create_url(store: Store, account: str, trunk: str, params: Params) -> Document:
    """POST /v1/Trunks/{sid}/OriginationUrls."""
    get(store, account, trunk)
    sid = new_id("OU", 32, _HEX)
    for name in ("Weight", "Priority", "Enabled", "FriendlyName", "SipUrl"):
        need(params, name)
    doc: Document = {
        "account_sid": account, "date_created": iso(store), "sid": sid, "trunk_sid": trunk,
        "url": _url(trunk, "OriginationUrls", sid),
    }  # fmt: skip
    return _change_url(store, account, doc, params)


def _change_url(store: Store, account: str, doc: Document, params: Params) -> Document:
    if "SipUrl" in params and not params["SipUrl"].startswith(("sip:", "sips:")):
        raise TwilioError(400, 21246, f"Invalid SIP URL {params['SipUrl']}")
    for name, key in (("FriendlyName", "friendly_name"), ("SipUrl", "sip_url")):
        if name in params:
            doc[key] = params[name]
    for name, key in (("Weight", "weight"), ("Priority", "priority")):
        if name in params:
            if not params[name].isdigit() or int(params[name]) > 65535:
                raise TwilioError(400, 20001, f"{name} must be between 0 and 65535")
            doc[key] = int(params[name])
    if "Enabled" in params:
        doc["enabled"] = params["Enabled"].lower() == "true"
    doc["date_updated"] = iso(store)
    return store.put(VENDOR, account, "origination_url", doc, key="sid")


def _one_url(store: Store, account: str, trunk: str, sid: str) -> Document:
    for url in _urls(store, account, trunk):
        if url["sid"] == sid:
            return url
    raise not_found(f"/v1/Trunks/{trunk}/OriginationUrls/{sid}")


def get_url(store: Store, account: str, trunk: str, sid: str) -> Document:
    """GET /v1/Trunks/{sid}/OriginationUrls/{sid}."""
    return _one_url(store, account, trunk, sid)


def update_url(store: Store, account: str, trunk: str, sid: str, params: Params) -> Document:
    """POST /v1/Trunks/{sid}/OriginationUrls/{sid}."""
    return _change_url(store, account, _one_url(store, account, trunk, sid), params)


def delete_url(store: Store, account: str, trunk: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}/OriginationUrls/{sid}."""
    _one_url(store, account, trunk, sid)
    store.delete(VENDOR, account, "origination_url", sid)


def list_urls(store: Store, account: str, trunk: str, params: Params) -> Document:
    """GET /v1/Trunks/{sid}/OriginationUrls."""
    get(store, account, trunk)
    items = _urls(store, account, trunk)
    return page_v1(_HOST, f"/v1/Trunks/{trunk}/OriginationUrls", "origination_urls", items, params)


# --- numbers of a trunk -----------------------------------------------------------------------


def _trunk_number(number: Document) -> Document:
    trunk, sid = number["trunk_sid"], number["sid"]
    kept = (
        "account_sid", "address_requirements", "api_version", "beta", "capabilities",
        "friendly_name", "phone_number", "sid", "sms_application_sid", "sms_fallback_method",
        "sms_fallback_url", "sms_method", "sms_url", "status_callback", "status_callback_method",
        "trunk_sid", "voice_application_sid", "voice_caller_id_lookup", "voice_fallback_method",
        "voice_fallback_url", "voice_method", "voice_url",
    )  # fmt: skip
    return {
        **{key: number[key] for key in kept},
        "date_created": None, "date_updated": None, "links": {},
        "url": _url(trunk, "PhoneNumbers", sid),
    }  # fmt: skip


def add_number(store: Store, account: str, trunk: str, params: Params) -> Document:
    """POST /v1/Trunks/{sid}/PhoneNumbers."""
    get(store, account, trunk)
    sid = need(params, "PhoneNumberSid")
    return _trunk_number(numbers.update(store, account, sid, {"TrunkSid": trunk}))


def list_numbers(store: Store, account: str, trunk: str, params: Params) -> Document:
    """GET /v1/Trunks/{sid}/PhoneNumbers."""
    get(store, account, trunk)
    mine = [n for n in store.all(VENDOR, account, "number") if n["trunk_sid"] == trunk]
    items = [_trunk_number(number) for number in mine]
    return page_v1(_HOST, f"/v1/Trunks/{trunk}/PhoneNumbers", "phone_numbers", items, params)


def remove_number(store: Store, account: str, trunk: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}/PhoneNumbers/{sid}: it stays with the account."""
    if numbers.held(store, account, sid)["trunk_sid"] != trunk:
        raise not_found(f"/v1/Trunks/{trunk}/PhoneNumbers/{sid}")
    numbers.update(store, account, sid, {"TrunkSid": ""})


# --- lists for termination --------------------------------------------------------------------


def add_list(store: Store, account: str, trunk: str, kind: str, params: Params) -> Document:
    """POST /v1/Trunks/{sid}/CredentialLists or IpAccessControlLists."""
    get(store, account, trunk)
    _, stored = LISTS[kind]
    name = "CredentialListSid" if kind == "CredentialLists" else "IpAccessControlListSid"
    sid = need(params, name)
    source = store.get(VENDOR, account, stored, sid)
    if source is None:
        raise not_found(f"/v1/Trunks/{trunk}/{kind}/{sid}")
    doc = {
        "account_sid": account, "sid": sid, "trunk_sid": trunk,
        "friendly_name": source["friendly_name"], "date_created": iso(store),
        "date_updated": iso(store), "url": _url(trunk, kind, sid), "key": f"{trunk}/{sid}",
    }  # fmt: skip
    store.put(VENDOR, account, f"trunk_{stored}", doc, key="key")
    return _without_key(doc)


def _without_key(doc: Document) -> Document:
    return {key: value for key, value in doc.items() if key != "key"}


def list_lists(store: Store, account: str, trunk: str, kind: str, params: Params) -> Document:
    """GET /v1/Trunks/{sid}/CredentialLists or IpAccessControlLists."""
    get(store, account, trunk)
    mine = [
        _without_key(doc)
        for doc in store.all(VENDOR, account, f"trunk_{LISTS[kind][1]}")
        if doc["trunk_sid"] == trunk
    ]
    key = "credential_lists" if kind == "CredentialLists" else "ip_access_control_lists"
    return page_v1(_HOST, f"/v1/Trunks/{trunk}/{kind}", key, mine, params)


def remove_list(store: Store, account: str, trunk: str, kind: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}/CredentialLists/{sid} and the like."""
    stored = f"trunk_{LISTS[kind][1]}"
    if store.get(VENDOR, account, stored, f"{trunk}/{sid}") is None:
        raise not_found(f"/v1/Trunks/{trunk}/{kind}/{sid}")
    store.delete(VENDOR, account, stored, f"{trunk}/{sid}")
