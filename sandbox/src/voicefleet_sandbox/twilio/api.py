"""Twilio's endpoints. It knows no idempotency keys: every POST is carried out."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.twilio import numbers, sip, trunks
from voicefleet_sandbox.twilio.wire import Params, TwilioError, not_found, page_2010, rfc2822

Handler = Callable[..., Document | None]


def _account(store: Store, account: str) -> Document:
    return {
        "auth_token": "(not shown)", "date_created": rfc2822(store),
        "date_updated": rfc2822(store), "friendly_name": "Sandbox",
        "owner_account_sid": account, "sid": account, "status": "active",
        "subresource_uris": {}, "type": "Full", "uri": f"/2010-04-01/Accounts/{account}.json",
    }  # fmt: skip


def _balance(store: Store, account: str) -> Document:
    return {"account_sid": account, "balance": "100.00", "currency": "USD"}


def _accounts(store: Store, account: str, params: Params) -> Document:
    """GET /2010-04-01/Accounts.json: the account itself; sub-accounts are made elsewhere."""
    items = [_account(store, account)]
    return page_2010("/2010-04-01/Accounts.json", "accounts", items, params)


_LISTS = "(CredentialLists|IpAccessControlLists)"
_MEMBERS = "(?:Credentials|IpAddresses)"

# Method, path below the account or the API version, handler(store, account, *groups, params?).
_API_2010: list[tuple[str, str, Handler, bool]] = [
    ("GET", r"\.json", _account, False),
    ("GET", r"/Balance\.json", _balance, False),
    ("GET", r"/AvailablePhoneNumbers/(\w+)/Local\.json", numbers.available, True),
    ("POST", r"/IncomingPhoneNumbers\.json", numbers.buy, True),
    ("GET", r"/IncomingPhoneNumbers\.json", numbers.listed, True),
    ("GET", r"/IncomingPhoneNumbers/(PN\w+)\.json", numbers.held, False),
    ("POST", r"/IncomingPhoneNumbers/(PN\w+)\.json", numbers.update, True),
    ("DELETE", r"/IncomingPhoneNumbers/(PN\w+)\.json", numbers.release, False),
    ("POST", rf"/SIP/{_LISTS}\.json", sip.create, True),
    ("GET", rf"/SIP/{_LISTS}\.json", sip.listed, True),
    ("GET", rf"/SIP/{_LISTS}/(\w+)\.json", sip.get, False),
    ("DELETE", rf"/SIP/{_LISTS}/(\w+)\.json", sip.delete, False),
    ("POST", rf"/SIP/{_LISTS}/(\w+)\.json", sip.update, True),
    ("POST", rf"/SIP/{_LISTS}/(\w+)/{_MEMBERS}\.json", sip.add_member, True),
    ("GET", rf"/SIP/{_LISTS}/(\w+)/{_MEMBERS}\.json", sip.list_members, True),
    ("GET", rf"/SIP/{_LISTS}/(\w+)/{_MEMBERS}/(\w+)\.json", sip.get_member, False),
    ("DELETE", rf"/SIP/{_LISTS}/(\w+)/{_MEMBERS}/(\w+)\.json", sip.remove_member, False),
]


def _get_recording(store: Store, account: str, sid: str) -> Document:
    return trunks.recording(store, account, sid, None)


_TRUNKING: list[tuple[str, str, Handler, bool]] = [
    ("POST", r"/Trunks", trunks.create, True),
    ("GET", r"/Trunks", trunks.listed, True),
    ("GET", r"/Trunks/(TK\w+)", trunks.get, False),
    ("POST", r"/Trunks/(TK\w+)", trunks.update, True),
    ("DELETE", r"/Trunks/(TK\w+)", trunks.delete, False),
    ("GET", r"/Trunks/(TK\w+)/Recording", _get_recording, False),
    ("POST", r"/Trunks/(TK\w+)/Recording", trunks.recording, True),
    ("POST", r"/Trunks/(TK\w+)/OriginationUrls", trunks.create_url, True),
    ("GET", r"/Trunks/(TK\w+)/OriginationUrls", trunks.list_urls, True),
    ("GET", r"/Trunks/(TK\w+)/OriginationUrls/(OU\w+)", trunks.get_url, False),
    ("POST", r"/Trunks/(TK\w+)/OriginationUrls/(OU\w+)", trunks.update_url, True),
    ("DELETE", r"/Trunks/(TK\w+)/OriginationUrls/(OU\w+)", trunks.delete_url, False),
    ("POST", r"/Trunks/(TK\w+)/PhoneNumbers", trunks.add_number, True),
    ("GET", r"/Trunks/(TK\w+)/PhoneNumbers", trunks.list_numbers, True),
    ("GET", r"/Trunks/(TK\w+)/PhoneNumbers/(PN\w+)", trunks.get_number, False),
    ("DELETE", r"/Trunks/(TK\w+)/PhoneNumbers/(PN\w+)", trunks.remove_number, False),
    ("POST", rf"/Trunks/(TK\w+)/{_LISTS}", trunks.add_list, True),
    ("GET", rf"/Trunks/(TK\w+)/{_LISTS}", trunks.list_lists, True),
    ("GET", rf"/Trunks/(TK\w+)/{_LISTS}/(\w+)", trunks.get_list, False),
    ("DELETE", rf"/Trunks/(TK\w+)/{_LISTS}/(\w+)", trunks.remove_list, False),
]


def authenticate(store: Store, authorization: str | None) -> str:
    """The account behind Basic credentials; raises Twilio's 401.

    Its token is kept: by that the carrier signs what it asks of the account's owner.
    """
    try:
        kind, _, text = (authorization or "").partition(" ")
        user, _, password = base64.b64decode(text).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        kind, user, password = "", "", ""
    if kind != "Basic" or not user.startswith(("AC", "SK")) or password in ("", "invalid"):
        raise TwilioError(401, 20003, "Authenticate")
    if user.startswith("AC") and store.get_meta(f"token/{user}") != password:
        store.set_meta(f"token/{user}", password)
    return user


def handle(store: Store, user: str, method: str, path: str, params: Params) -> tuple[int, str]:
    """Carry a request out: status and body. `path` begins with `/2010-04-01` or `/v1`."""
    if method == "GET" and path == "/2010-04-01/Accounts.json":
        return 200, json.dumps(_accounts(store, user, params))
    table, account, rest = _locate(store, user, path)
    for wanted, pattern, handler, takes_params in table:
        match = re.fullmatch(pattern, rest)
        if wanted != method or match is None:
            continue
        extra: tuple[Any, ...] = (params,) if takes_params else ()
        with store.transaction():
            document = handler(store, account, *match.groups(), *extra)
        if document is None:
            return 204, ""
        created = method == "POST" and handler.__name__ in _CREATING
        return (201 if created else 200), json.dumps(document)
    raise not_found(path)


_CREATING = {"buy", "create", "create_url", "add_number", "add_list", "add_member"}


def _locate(
    store: Store, user: str, path: str
) -> tuple[list[tuple[str, str, Handler, bool]], str, str]:
    """The table, the account and the rest of the path.

    The 2010 API has the account in its path (a parent may act for its sub-accounts); the newer
    ones do not: an API key is the account's in whose path it was last seen.
    """
    match = re.fullmatch(r"/2010-04-01/Accounts/(AC\w+)((?:/|\.json).*)", path)
    if match:
        if user.startswith("SK") and store.get_meta(user) != match[1]:
            store.set_meta(user, match[1])
        return _API_2010, match[1], match[2]
    if path.startswith("/v1/"):
        account = store.get_meta(user) or f"AC{user[2:]}" if user.startswith("SK") else user
        return _TRUNKING, account, path.removeprefix("/v1")
    raise not_found(path)
