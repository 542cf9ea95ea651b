"""Where a call goes: the trunk's origination URLs, or the number's instructions."""

from __future__ import annotations

import random

from voicefleet_sandbox.carrier import PHONES, VOICE
from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.twilio.voice import forwards_to
from voicefleet_sandbox.twilio.wire import VENDOR


def route(store: Store, number: str) -> Document | None:
    """What the carrier would do with a call to `number` (E.164) now; None: nobody has it.

    `originationUrls` are the trunk's enabled ones, most important first; `forwardTo` is whom the
    hosted instructions ring. A trunk takes the call; without one, the number's own instructions do.
    `secure`: whether the trunk's calls are encrypted; None without one.
    """
    found = next(iter(store.all(VENDOR, None, "number", phone_number=number)), None)
    if found is None:
        return None
    account, trunk_sid = found["account_sid"], found["trunk_sid"]
    trunk = store.get(VENDOR, account, "trunk", trunk_sid) if trunk_sid else None
    urls = store.all(VENDOR, account, "origination_url", trunk_sid=trunk_sid) if trunk else []
    recovery = trunk["disaster_recovery_url"] if trunk else None
    return {
        "number": number,
        "accountSid": account,
        "trunkSid": trunk_sid,
        "secure": trunk["secure"] if trunk else None,
        "originationUrls": [
            {
                "sipUrl": url["sip_url"],
                "priority": url["priority"],
                "weight": url["weight"],
                "enabled": True,
            }
            for url in sorted(urls, key=lambda url: (url["priority"], -url["weight"]))
            if url["enabled"]
        ],
        "disasterRecoveryUrl": recovery,
        "voiceUrl": found["voice_url"],
        "voiceFallbackUrl": found["voice_fallback_url"],
        "forwardTo": forwards_to(recovery if trunk else found["voice_url"]),
    }


def attempts(found: Document, dice: random.Random) -> list[str]:
    """The SIP URIs that one call on a `route` tries, in this order.

    By priority, lowest first; within one, a URL of weight 3 comes first three times as often as one
    of weight 1 (Efraimidis and Spirakis, Information Processing Letters 97, 2006: the largest of
    u^(1/weight)). The phone that the hosted instructions ring comes last. A secure trunk's URLs
    are good for nothing without TLS. Other instructions of a number's are followed by the carrier's
    switch, which keeps the caller.
    """
    urls = sorted(
        (url for url in found["originationUrls"] if not found["secure"] or _tls(url["sipUrl"])),
        key=lambda url: (url["priority"], -(dice.random() ** (1 / url["weight"]))),
    )
    uris = [_with_user(url["sipUrl"], found["number"]) for url in urls]
    if found["forwardTo"]:
        uris.append(f"sip:{found['forwardTo']}@{PHONES}")
    elif found["trunkSid"] is None and found["voiceUrl"]:
        uris.append(f"sip:{found['number']}@{VOICE}")
    return uris


def _tls(url: str) -> bool:
    return url.startswith("sips:") or ";transport=tls" in url.lower()


def sound(secure: bool | None) -> str:
    """What the offer's media line has for transport (RFC 3551, RFC 3711), or begins with.

    A trunk takes encrypted sound alone, or none (Twilio's errors 32207 and 32208).
    """
    return {None: "RTP/", False: "RTP/AVP ", True: "RTP/SAVP "}[secure]


def _with_user(url: str, number: str) -> str:
    """An origination URL with the called number as its user."""
    scheme, _, rest = url.partition(":")
    return f"{scheme}:{number}@{rest.rpartition('@')[2]}"
