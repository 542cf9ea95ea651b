"""What the sandbox's carrier makes of instructions, and whom it asks when they cannot be had."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from twilio.request_validator import RequestValidator

from voicefleet_sandbox.store import Store
from voicefleet_sandbox.twilio import numbers
from voicefleet_sandbox.twilio.voice import BadInstructions, Dial, Voice, hosted, read, sign

pytestmark = pytest.mark.unit

ACCOUNT, TOKEN = "AC" + "1" * 32, "token"
SIP = "sip:+14155550100@192.0.2.1:5060"
ASK = "https://voice.example/dial?place=0"
DIAL = f'<Response><Dial action="{ASK}" timeout="15"><Sip>{SIP}</Sip></Dial></Response>'
ECHO = f"https://twimlets.com/echo?Twiml={quote(DIAL, safe='')}"
FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"
CALL = {"CallSid": "CA1", "From": "+15005550006"}
OWNER = {"to": "+14155550199", "action": None, "timeout": 30.0}


@pytest.mark.parametrize(
    ("twiml", "dial"),
    [
        (DIAL, Dial(SIP, ASK, 15.0)),
        ("<Response><Dial>+14155550199</Dial></Response>", Dial("+14155550199", None, 30.0)),
        ("<Response><Hangup/></Response>", None),
        ("<Response/>", None),
    ],
)
def test_instructions_are_read(twiml: str, dial: Dial | None) -> None:
    assert read(twiml) == dial


@pytest.mark.parametrize("twiml", ["", "Hello", "<Response><Say>Hello</Say></Response>", "<Dial/>"])
def test_what_is_not_understood_is_no_instructions(twiml: str) -> None:
    with pytest.raises(BadInstructions):
        read(twiml)


def test_twimlets_are_the_carriers_own() -> None:
    assert hosted(ECHO) == DIAL
    assert read(hosted(FORWARD) or "") == Dial("+14155550199", None, 30.0)
    assert hosted("https://voice.example/echo?Twiml=x") is None


def test_the_signature_is_the_one_that_twilios_library_expects() -> None:
    params = {"From": "+15005550006", "AccountSid": ACCOUNT}
    assert RequestValidator(TOKEN).validate(ASK, params, sign(TOKEN, ASK, params))


@pytest.mark.parametrize(
    ("answer", "next_"),
    [
        (httpx.Response(200, text="<Response><Hangup/></Response>"), None),
        (httpx.Response(200, text=DIAL), {"to": SIP, "action": ASK, "timeout": 15.0}),
        (httpx.Response(503, text="<html>"), OWNER),
        (httpx.Response(200, text="<html>"), OWNER),
        (httpx.ConnectError("refused"), OWNER),
    ],
)
async def test_who_does_not_answer_the_action_is_passed_over(
    answer: httpx.Response | httpx.HTTPError, next_: dict[str, Any] | None
) -> None:
    store = Store(None)
    store.set_meta(f"token/{ACCOUNT}", TOKEN)
    bought = numbers.buy(
        store, ACCOUNT, {"AreaCode": "415", "VoiceUrl": ECHO, "VoiceFallbackUrl": FORWARD}
    )

    def answered(request: httpx.Request) -> httpx.Response:
        form = dict(httpx.QueryParams(request.content.decode()))
        signature = request.headers["x-twilio-signature"]
        assert RequestValidator(TOKEN).validate(ASK, form, signature)
        assert (form["CallSid"], form["To"]) == ("CA1", bought["phone_number"])
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return answer

    voice = Voice(store)
    await voice._client.aclose()
    voice._client = httpx.AsyncClient(transport=httpx.MockTransport(answered))
    number = bought["phone_number"]
    first = await voice.next(number, CALL, None)
    assert first == {"to": SIP, "action": ASK, "timeout": 15.0}
    assert await voice.next(number, CALL, first["action"]) == next_
    await voice.close()
