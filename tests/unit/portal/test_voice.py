"""The voice webhook: who is connected again, who with a phone, and who may ask."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
from livekit import api
from livekit.protocol.models import ParticipantInfo

from voicefleet_api.dial import HANG_UP, Leg, dial, forward
from voicefleet_portal.voice import REDIALS, LiveKit, Rooms, Settings, voice
from voicefleet_sandbox.twilio.voice import sign

pytestmark = pytest.mark.unit

ACCOUNT, TOKEN = "AC" + "1" * 32, "token"
WEBHOOK = "https://voice.agency.example"
CALLER, OWNER = "+15005550006", "+14155550199"
URIS = ("sip:+14155550100@192.0.2.1:5060", "sip:+14155550100@192.0.2.2:5060")
FIRST = Leg("vc-aaaaaaaaaa", URIS, OWNER)
SECOND = Leg("vc-aaaaaaaaaa", URIS, OWNER, place=1)
LAST = Leg("vc-aaaaaaaaaa", URIS, OWNER, redials=REDIALS)
NOBODY = Leg("vc-aaaaaaaaaa", URIS[:1], None)
SETTINGS = Settings(
    url=WEBHOOK,
    accounts={ACCOUNT: TOKEN},
    livekit=LiveKit(url="http://livekit", api_key="key", api_secret="secret"),
)


async def asked(
    leg: Leg, status: str, *, talks: bool = False, token: str = TOKEN, **other: str
) -> httpx.Response:
    """What the carrier is answered; LiveKit has a talk of the caller's, or has not."""

    async def whether(client_id: str, caller: str) -> bool:
        assert (client_id, caller) == ("vc-aaaaaaaaaa", CALLER)
        return talks

    url = leg.action(WEBHOOK)
    form = {"AccountSid": ACCOUNT, "From": CALLER, "DialCallStatus": status}
    headers = {"X-Twilio-Signature": sign(token, url, form)}
    # Behind a proxy that speaks TLS with the carrier.
    inside = f"http://127.0.0.1:8090{urlsplit(url).path}?{urlsplit(url).query}"
    transport = httpx.ASGITransport(voice(SETTINGS, whether))
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.post(inside, data=form | other, headers=headers)


@pytest.mark.parametrize(
    ("leg", "status", "talks", "twiml"),
    [
        (FIRST, "completed", False, HANG_UP),
        (FIRST, "completed", True, dial(FIRST.again(), WEBHOOK)),
        (SECOND, "completed", True, dial(FIRST.again(), WEBHOOK)),
        (LAST, "completed", True, forward(OWNER)),
        (FIRST, "failed", False, dial(SECOND, WEBHOOK)),
        (SECOND, "failed", False, forward(OWNER)),
        (SECOND, "busy", False, forward(OWNER)),
        (SECOND, "no-answer", False, forward(OWNER)),
        (NOBODY, "failed", False, HANG_UP),
    ],
)
async def test_what_is_next(leg: Leg, status: str, talks: bool, twiml: str) -> None:
    answer = await asked(leg, status, talks=talks)
    assert (answer.status_code, answer.text) == (200, twiml)
    assert answer.headers["content-type"].startswith("text/xml")


@pytest.mark.parametrize(
    "forged",
    [
        {"token": "other"},
        {"From": "+15005550007"},
        {"AccountSid": "AC" + "2" * 32},
        {"DialBridged": "true"},
    ],
)
async def test_who_has_not_signed_it_is_told_nothing(forged: dict[str, Any]) -> None:
    answer = await asked(FIRST, "completed", **forged)
    assert (answer.status_code, answer.text) == (403, "")


async def test_the_phone_that_is_asked_for_is_signed_too() -> None:
    forged = Leg("vc-aaaaaaaaaa", URIS[:1], "+19005550100")
    url = NOBODY.action(WEBHOOK)
    form = {"AccountSid": ACCOUNT, "From": CALLER, "DialCallStatus": "failed"}
    headers = {"X-Twilio-Signature": sign(TOKEN, url, form)}

    async def never(client_id: str, caller: str) -> bool:
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(voice(SETTINGS, never))) as client:
        answer = await client.post(forged.action(WEBHOOK), data=form, headers=headers)
    assert answer.status_code == 403


class Server:
    """LiveKit's rooms, look by look; what it says last it goes on saying."""

    def __init__(self, *looks: dict[str, str] | Exception) -> None:
        self.looks = [*looks]
        self.asked = 0

    def __call__(self, *_: object, **__: object) -> Server:
        return self

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""

    @property
    def room(self) -> Server:
        return self

    async def list_rooms(self, _: api.ListRoomsRequest) -> api.ListRoomsResponse:
        self.asked += 1
        self.now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(self.now, Exception):
            raise self.now
        return api.ListRoomsResponse(rooms=[api.Room(name=name) for name in self.now])

    async def list_participants(
        self, asked: api.ListParticipantsRequest
    ) -> api.ListParticipantsResponse:
        assert isinstance(self.now, dict)
        kinds = self.now[asked.room].split()
        if kinds == ["gone"]:
            raise api.TwirpError(api.TwirpErrorCode.NOT_FOUND, "no such room", status=404)
        people = [ParticipantInfo(kind=ParticipantInfo.Kind.Value(kind)) for kind in kinds]
        return api.ListParticipantsResponse(participants=people)


ROOM = "call-vc-aaaaaaaaaa-_+15005550006_x"
HERS = {ROOM: "SIP AGENT"}


@pytest.mark.parametrize(
    ("looks", "goes_on"),
    [
        ([HERS], True),
        ([{ROOM: "AGENT"}], True),
        ([{}], False),
        ([HERS, {}], False),
        ([{ROOM: "SIP"}], False),
        ([{ROOM: "gone"}], False),
        ([{"call-vc-aaaaaaaaaa-_+15005550007_x": "SIP AGENT"}], False),
        ([{"call-vc-bbbbbbbbbb-_+15005550006_x": "SIP AGENT"}], False),
        ([aiohttp.ClientError()], True),
        ([HERS, TimeoutError()], True),
    ],
)
async def test_a_talk_goes_on_where_an_agent_still_waits_for_the_caller(
    looks: list[dict[str, str] | Exception], goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicefleet_portal.voice.SETTLED_SECONDS", 0)
    monkeypatch.setattr("livekit.api.LiveKitAPI", Server(*looks))
    assert await Rooms(SETTINGS.livekit).talks("vc-aaaaaaaaaa", CALLER) is goes_on


@pytest.mark.parametrize("caller", ["", "anonymous", "+266696687"])
async def test_who_hides_their_number_is_not_looked_for(
    caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server({f"call-vc-aaaaaaaaaa-_{caller}_x": "SIP AGENT"})
    monkeypatch.setattr("livekit.api.LiveKitAPI", server)
    assert not await Rooms(SETTINGS.livekit).talks("vc-aaaaaaaaaa", caller)
    assert server.asked == 0
