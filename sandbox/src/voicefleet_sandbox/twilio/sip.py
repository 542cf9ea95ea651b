"""Credential lists and IP access control lists of the 2010 API (they guard termination)."""

from __future__ import annotations

import hashlib
import ipaddress

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

_HEX = "0123456789abcdef"
REALM = "sip.twilio.com"
"""That Twilio names where a call out has to sign in."""
KINDS = {
    "CredentialLists": ("CL", "credential_list", "credential_lists", "Credentials"),
    "IpAccessControlLists": ("AL", "ip_list", "ip_access_control_lists", "IpAddresses"),
}
"""Path segment -> SID prefix, type in the store, key of the listing, path of its members."""
_MEMBERS = {"Credentials": ("CR", "credentials"), "IpAddresses": ("IP", "ip_addresses")}


def _base(account: str, kind: str) -> str:
    return f"/2010-04-01/Accounts/{account}/SIP/{kind}"


def create(store: Store, account: str, kind: str, params: Params) -> Document:
    """POST …/SIP/{kind}.json."""
    prefix, stored, _, members = KINDS[kind]
    sid = new_id(prefix, 32, _HEX)
    member_key = _MEMBERS[members][1]
    doc = {
        "account_sid": account, "date_created": rfc2822(store), "date_updated": rfc2822(store),
        "friendly_name": need(params, "FriendlyName"), "sid": sid,
        "subresource_uris": {member_key: f"{_base(account, kind)}/{sid}/{members}.json"},
        "uri": f"{_base(account, kind)}/{sid}.json",
    }  # fmt: skip
    return store.put(VENDOR, account, stored, doc, key="sid")


def get(store: Store, account: str, kind: str, sid: str) -> Document:
    """GET …/SIP/{kind}/{sid}.json."""
    doc = store.get(VENDOR, account, KINDS[kind][1], sid)
    if doc is None:
        raise not_found(f"{_base(account, kind)}/{sid}.json")
    return doc


def update(store: Store, account: str, kind: str, sid: str, params: Params) -> Document:
    """POST …/SIP/{kind}/{sid}.json."""
    doc = get(store, account, kind, sid)
    doc |= {"friendly_name": need(params, "FriendlyName"), "date_updated": rfc2822(store)}
    return store.put(VENDOR, account, KINDS[kind][1], doc, key="sid")


def delete(store: Store, account: str, kind: str, sid: str) -> None:
    """DELETE …/SIP/{kind}/{sid}.json."""
    get(store, account, kind, sid)
    for doc in _members(store, account, kind, sid):
        store.delete(VENDOR, account, KINDS[kind][3], doc["sid"])
    store.delete(VENDOR, account, KINDS[kind][1], sid)


def listed(store: Store, account: str, kind: str, params: Params) -> Document:
    """GET …/SIP/{kind}.json."""
    _, stored, key, _ = KINDS[kind]
    items = store.all(VENDOR, account, stored)
    return page_2010(f"{_base(account, kind)}.json", key, items, params)


def add_member(store: Store, account: str, kind: str, list_sid: str, params: Params) -> Document:
    """POST …/Credentials.json or …/IpAddresses.json; a password is never given back."""
    get(store, account, kind, list_sid)
    members = KINDS[kind][3]
    prefix, _ = _MEMBERS[members]
    sid = new_id(prefix, 32, _HEX)
    doc: Document = {
        "account_sid": account, "date_created": rfc2822(store), "date_updated": rfc2822(store),
        "sid": sid, "uri": f"{_base(account, kind)}/{list_sid}/{members}/{sid}.json",
    }  # fmt: skip
    if members == "Credentials":
        password = need(params, "Password")
        if (
            len(password) < 12
            or password.lower() == password
            or not any(map(str.isdigit, password))
        ):
            raise TwilioError(
                400, 21228,
                "Password needs at least 12 characters, one digit and mixed case",
            )  # fmt: skip
        user = need(params, "Username")
        known = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()  # noqa: S324
        doc |= {"credential_list_sid": list_sid, "username": user, "ha1": known}
    else:
        try:
            address = str(ipaddress.ip_address(need(params, "IpAddress")))
        except ValueError as error:
            raise TwilioError(400, 21229, "Invalid IP address") from error
        doc |= {
            "ip_access_control_list_sid": list_sid, "ip_address": address,
            "friendly_name": need(params, "FriendlyName"),
            "cidr_prefix_length": int(params.get("CidrPrefixLength", 32)),
        }  # fmt: skip
    return _shown(store.put(VENDOR, account, members, doc, key="sid"))


def _shown(doc: Document) -> Document:
    """Without what a password is recognised by (RFC 7616, section 3.4.2)."""
    return {key: value for key, value in doc.items() if key != "ha1"}


def _members(store: Store, account: str, kind: str, list_sid: str) -> list[Document]:
    members = KINDS[kind][3]
    owner = "credential_list_sid" if members == "Credentials" else "ip_access_control_list_sid"
    return [doc for doc in store.scan(VENDOR, account, members) if doc[owner] == list_sid]


def list_members(store: Store, account: str, kind: str, list_sid: str, params: Params) -> Document:
    """GET …/Credentials.json or …/IpAddresses.json."""
    get(store, account, kind, list_sid)
    members = KINDS[kind][3]
    path = f"{_base(account, kind)}/{list_sid}/{members}.json"
    items = [_shown(doc) for doc in _members(store, account, kind, list_sid)]
    return page_2010(path, _MEMBERS[members][1], items, params)


def get_member(store: Store, account: str, kind: str, list_sid: str, sid: str) -> Document:
    """GET …/Credentials/{sid}.json or …/IpAddresses/{sid}.json."""
    for doc in _members(store, account, kind, list_sid):
        if doc["sid"] == sid:
            return _shown(doc)
    raise not_found(f"{_base(account, kind)}/{list_sid}/{KINDS[kind][3]}/{sid}.json")


def remove_member(store: Store, account: str, kind: str, list_sid: str, sid: str) -> None:
    """DELETE of a credential or an address."""
    get_member(store, account, kind, list_sid, sid)
    store.delete(VENDOR, account, KINDS[kind][3], sid)
