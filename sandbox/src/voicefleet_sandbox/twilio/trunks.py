"""Elastic SIP trunks, their origination URLs, numbers, and lists for termination."""

from __future__ import annotations

import re

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
_DOMAIN_KEPT = 30 * 86400
_FIELDS = {
    "FriendlyName": "friendly_name",
    "DomainName": "domain_name",
    "DisasterRecoveryUrl": "disaster_recovery_url",
    "DisasterRecoveryMethod": "disaster_recovery_method",
    "TransferMode": "transfer_mode",
    "TransferCallerId": "transfer_caller_id",
}
_SWITCHES = {
    "Secure": "secure",
    "CnamLookupEnabled": "cnam_lookup_enabled",
    "SymmetricRtpEnabled": "symmetric_rtp_enabled",
}
_CHOICES = {
    "DisasterRecoveryMethod": ("GET", "POST"),
    "TransferMode": ("disable-all", "enable-all", "sip-only"),
    "TransferCallerId": ("from-transferee", "from-transferor"),
}
_RECORDING = {
    "Mode": (
        "do-not-record", "record-from-ringing", "record-from-answer", "record-from-ringing-dual",
        "record-from-answer-dual",
    ),
    "Trim": ("trim-silence", "do-not-trim"),
}  # fmt: skip
LISTS = {"CredentialLists": ("CL", "credential_list"), "IpAccessControlLists": ("AL", "ip_list")}
"""Sub-resource -> prefix of its SIDs and type in the store."""


def _url(*parts: str) -> str:
    return f"https://{_HOST}/v1/Trunks" + "".join(f"/{part}" for part in parts)


def _check_domain(store: Store, name: str, own: str) -> None:
    """A domain is one trunk's in all of Twilio, and a deleted one's for 30 days more."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*" + re.escape(_DOMAIN), name):
        raise TwilioError(400, 21245, f"Domain name must end with {_DOMAIN}")
    others = store.scan(VENDOR, None, "trunk", domain_name=name)
    kept = store.scan(VENDOR, None, "deleted_trunk", domain_name=name)
    if any(doc["sid"] != own for doc in others) or any(
        doc["at"] > store.now() - _DOMAIN_KEPT for doc in kept
    ):
        raise TwilioError(400, 21248, f"Domain name {name} is already in use")


def create(store: Store, account: str, params: Params) -> Document:
    """POST /v1/Trunks."""
    sid = new_id("TK", 32, _HEX)
    doc: Document = {
        "account_sid": account,
        "auth_type": "",
        "auth_type_set": [],
        "cnam_lookup_enabled": False,
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
        "secure": False,
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
    if len(params.get("FriendlyName", "")) > 64:
        raise TwilioError(400, 20001, "FriendlyName must be at most 64 characters")
    for name, values in _CHOICES.items():
        if name in params and params[name] not in values:
            raise TwilioError(400, 20001, f"{name} must be one of {', '.join(values)}")
    for name, key in _FIELDS.items():
        if name in params:
            doc[key] = params[name] or None
    for name, key in _SWITCHES.items():
        if name in params:
            doc[key] = params[name].lower() == "true"
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
    doc = get(store, account, sid)
    for url in _urls(store, account, sid):
        store.delete(VENDOR, account, "origination_url", url["sid"])
    for number in store.all(VENDOR, account, "number", trunk_sid=sid):
        store.put(VENDOR, account, "number", {**number, "trunk_sid": None}, key="sid")
    for _, stored in LISTS.values():
        for entry in store.all(VENDOR, account, f"trunk_{stored}"):
            if entry["trunk_sid"] == sid:
                store.delete(VENDOR, account, f"trunk_{stored}", entry["key"])
    store.delete(VENDOR, account, "trunk", sid)
    kept = {"sid": sid, "domain_name": doc["domain_name"], "at": store.now()}
    store.put(VENDOR, account, "deleted_trunk", kept, key="sid")


def listed(store: Store, account: str, params: Params) -> Document:
    """GET /v1/Trunks."""
    return page_v1(_HOST, "/v1/Trunks", "trunks", store.all(VENDOR, account, "trunk"), params)


def recording(store: Store, account: str, sid: str, params: Params | None) -> Document:
    """GET or POST /v1/Trunks/{sid}/Recording."""
    doc = get(store, account, sid)
    if params is not None:
        for name, values in _RECORDING.items():
            if params.get(name, values[0]) not in values:
                raise TwilioError(400, 20001, f"{name} must be one of {', '.join(values)}")
            if name in params:
                doc["recording"][name.lower()] = params[name]
        store.put(VENDOR, account, "trunk", doc, key="sid")
    result: Document = doc["recording"]
    return result


# --- origination URLs -------------------------------------------------------------------------


def _urls(store: Store, account: str, trunk: str) -> list[Document]:
    return store.all(VENDOR, account, "origination_url", trunk_sid=trunk)


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
    for name, key, least in (("Weight", "weight", 1), ("Priority", "priority", 0)):
        if name in params:
            if not params[name].isdigit() or not least <= int(params[name]) <= 65535:
                raise TwilioError(400, 20001, f"{name} must be between {least} and 65535")
            doc[key] = int(params[name])
    if "Enabled" in params:
        doc["enabled"] = params["Enabled"].lower() == "true"
    doc["date_updated"] = iso(store)
    return store.put(VENDOR, account, "origination_url", doc, key="sid")


def _one_url(store: Store, account: str, trunk: str, sid: str) -> Document:
    url = store.get(VENDOR, account, "origination_url", sid)
    if url is not None and url["trunk_sid"] == trunk:
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
    mine = store.all(VENDOR, account, "number", trunk_sid=trunk)
    items = [_trunk_number(number) for number in mine]
    return page_v1(_HOST, f"/v1/Trunks/{trunk}/PhoneNumbers", "phone_numbers", items, params)


def get_number(store: Store, account: str, trunk: str, sid: str) -> Document:
    """GET /v1/Trunks/{sid}/PhoneNumbers/{sid}."""
    number = numbers.held(store, account, sid)
    if number["trunk_sid"] != trunk:
        raise not_found(f"/v1/Trunks/{trunk}/PhoneNumbers/{sid}")
    return _trunk_number(number)


def remove_number(store: Store, account: str, trunk: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}/PhoneNumbers/{sid}: it stays with the account."""
    get_number(store, account, trunk, sid)
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
    _note_guards(store, account, trunk)
    return _without_key(doc)


def _note_guards(store: Store, account: str, trunk: str) -> None:
    """`auth_type` says which kinds of lists guard the trunk."""
    doc = get(store, account, trunk)
    doc["auth_type_set"] = [
        name
        for name, stored in (("IP_ACL", "ip_list"), ("CREDENTIAL_LIST", "credential_list"))
        if any(e["trunk_sid"] == trunk for e in store.scan(VENDOR, account, f"trunk_{stored}"))
    ]
    doc["auth_type"] = ",".join(doc["auth_type_set"])
    store.put(VENDOR, account, "trunk", doc, key="sid")


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


def get_list(store: Store, account: str, trunk: str, kind: str, sid: str) -> Document:
    """GET /v1/Trunks/{sid}/CredentialLists/{sid} and the like."""
    doc = store.get(VENDOR, account, f"trunk_{LISTS[kind][1]}", f"{trunk}/{sid}")
    if doc is None:
        raise not_found(f"/v1/Trunks/{trunk}/{kind}/{sid}")
    return _without_key(doc)


def remove_list(store: Store, account: str, trunk: str, kind: str, sid: str) -> None:
    """DELETE /v1/Trunks/{sid}/CredentialLists/{sid} and the like."""
    get_list(store, account, trunk, kind, sid)
    store.delete(VENDOR, account, f"trunk_{LISTS[kind][1]}", f"{trunk}/{sid}")
    _note_guards(store, account, trunk)
