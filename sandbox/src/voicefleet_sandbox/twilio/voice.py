"""Programmable Voice: what the carrier does with a call by instructions (TwiML).

Of TwiML, `<Dial>` of one number or one `<Sip>` is understood, with `action` and `timeout`, and
`<Hangup>`; after a Dial without an action the call ends. Instructions are what a Twimlet of
Twilio's holds ("echo", "forward"), or what an address of the customer's answers; where it does not,
the number's `voice_fallback_url` is asked.
https://www.twilio.com/docs/voice/twiml/dial,
https://www.twilio.com/docs/usage/security/availability-reliability
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import Element, ParseError

import httpx
from defusedxml import ElementTree

from voicefleet_sandbox.store import Document, Store
from voicefleet_sandbox.twilio.wire import VENDOR, Params

_TWIMLETS = "twimlets.com"
_RING_SECONDS = 30.0
_ANSWER_SECONDS = 15.0
"""Until an address counts as dead."""
_UNREADABLE, _UNREACHABLE = "12100", "11200"


class BadInstructions(Exception):
    """They cannot be had, or cannot be read; `code` is Twilio's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Dial:
    """Whom to connect the caller with."""

    to: str
    """A number (E.164), or a SIP address."""
    action: str | None
    """Who is asked when that has ended."""
    timeout: float
    """Seconds to ring for."""


def read(twiml: str) -> Dial | None:
    """What the first verb wants; None: hang up. Raises `BadInstructions`."""
    try:
        response: Element = ElementTree.fromstring(twiml)
    except ParseError:
        raise BadInstructions(_UNREADABLE) from None
    verb = next(iter(response), None)
    if response.tag != "Response" or (verb is not None and verb.tag not in ("Dial", "Hangup")):
        raise BadInstructions(_UNREADABLE)
    if verb is None or verb.tag == "Hangup":
        return None
    noun = next(iter(verb), verb)
    if noun.tag not in ("Dial", "Sip", "Number") or not (noun.text or "").strip():
        raise BadInstructions(_UNREADABLE)
    timeout = float(verb.get("timeout", _RING_SECONDS))
    return Dial((noun.text or "").strip(), verb.get("action"), timeout)


def hosted(url: str | None) -> str | None:
    """The TwiML of a Twimlet (https://www.twilio.com/labs/twimlets); None: it is none of them."""
    parts = urlsplit(url or "")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.hostname == _TWIMLETS and parts.path == "/echo":
        return query.get("Twiml", "<Response />")
    if parts.hostname == _TWIMLETS and parts.path == "/forward":
        return f"<Response><Dial>{query.get('PhoneNumber', '')}</Dial></Response>"
    return None


def forwards_to(url: str | None) -> str | None:
    """The phone that instructions hosted at the carrier ring, where they do nothing else."""
    try:
        dial = read(hosted(url) or "")
    except BadInstructions:
        return None
    return dial.to if dial and not dial.to.startswith("sip") else None


def sign(token: str, url: str, params: Params) -> str:
    """X-Twilio-Signature (https://www.twilio.com/docs/usage/security#validating-requests)."""
    signed = url + "".join(name + params[name] for name in sorted(params))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()


class Voice:
    """Follows numbers' instructions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # No proxy of the environment's: addresses are on this machine.
        self._client = httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def next(self, number: str, call: Params, action: str | None) -> Document | None:
        """What becomes of a call to `number` now: a `Dial` as a document, or None: hang up.

        `call` are Twilio's parameters of it; `action` is the address that the last Dial named.
        """
        held = next(iter(self._store.all(VENDOR, None, "number", phone_number=number)), None)
        if held is None:
            return None
        params = {
            "AccountSid": held["account_sid"], "ApiVersion": "2010-04-01", "Direction": "inbound",
            "To": number, **call,
        }  # fmt: skip
        url = action or held["voice_url"]
        try:
            dial = await self._asked(url, params)
        except BadInstructions as error:
            params |= {"ErrorCode": error.code, "ErrorUrl": url or ""}
            try:
                dial = await self._asked(held["voice_fallback_url"], params)
            except BadInstructions:
                return None
        return asdict(dial) if dial else None

    async def _asked(self, url: str | None, params: Params) -> Dial | None:
        if url is None:
            raise BadInstructions(_UNREACHABLE)
        twiml = hosted(url)
        if twiml is None:
            token = self._store.get_meta(f"token/{params['AccountSid']}") or ""
            headers = {"X-Twilio-Signature": sign(token, url, params)}
            try:
                answer = await self._client.post(url, data=params, headers=headers)
                twiml = answer.raise_for_status().text
            except (httpx.HTTPError, httpx.InvalidURL):
                raise BadInstructions(_UNREACHABLE) from None
        return read(twiml)
