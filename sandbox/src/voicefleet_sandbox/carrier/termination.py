"""Calls out over a customer's trunk ("termination"): who has to sign in, and with what."""

from __future__ import annotations

import secrets

from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.twilio.wire import VENDOR


def trunk_of(store: Store, number: str) -> Document | None:
    """The trunk that has the number (E.164); calls that show it are calls out over the trunk.

    One that is on no trunk may be shown over any of its account's: here, one that a list guards.
    Twilio tells trunks apart by the domain that is called; here there is one address for all.
    """
    for found in store.all(VENDOR, None, "number", phone_number=number):
        account = found["account_sid"]
        if found["trunk_sid"]:
            return store.get(VENDOR, account, "trunk", found["trunk_sid"])
        trunks = store.all(VENDOR, account, "trunk")
        return next((trunk for trunk in trunks if _guards(store, trunk)), None)
    return None


def ha1(store: Store, trunk: Document, user: str) -> str | None:
    """What the password of that user is recognised by, hex (RFC 7616, section 3.4.2).

    A user that is in none of the trunk's credential lists has one that no password fits. None:
    the trunk has no list, so nobody may call out over it.
    """
    guards = _guards(store, trunk)
    if not guards:
        return None
    for member in store.scan(VENDOR, trunk["account_sid"], "Credentials"):
        if member["credential_list_sid"] in guards and member["username"] == user:
            return str(member["ha1"])
    return secrets.token_hex(16)


def _guards(store: Store, trunk: Document) -> list[str]:
    """SIDs of the trunk's credential lists."""
    return [
        entry["sid"]
        for entry in store.scan(VENDOR, trunk["account_sid"], "trunk_credential_list")
        if entry["trunk_sid"] == trunk["sid"]
    ]
