"""`python -m voicefleet_portal.voice`: the voice webhook, which the carrier asks what is next.

A client with `ingress: ProgrammableVoice` has the caller's leg at the carrier. When the leg to us
has ended, the carrier asks here (`voicefleet_api.dial`). Who hung up? The carrier cannot say: a
bridge that died and a receptionist who said goodbye are "completed" alike. LiveKit knows: when a
call ends as it should the agent leaves the room; for a caller whose bridge is lost it waits there
until LiveKit or itself gives them up, ten seconds or more. So nothing needs to be kept here.

It holds LiveKit's key, and believes only what is signed with the token of an account of ours:
https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvicorn
from livekit import api
from livekit.protocol.models import ParticipantInfo
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from voicefleet_api import logs
from voicefleet_api.base import StatusModel, problems
from voicefleet_api.callers import is_call_of, shows
from voicefleet_api.dial import HANG_UP, PATH, Leg, dial, forward

REDIALS = 3
"""After so many legs have been lost, the fallback phone rings."""
_LIVEKIT = aiohttp.ClientTimeout(total=2)
SETTLED_SECONDS = 1.0

logger = logging.getLogger("voicefleet.voice")


class LiveKit(StatusModel):
    """Whom to ask about rooms."""

    url: str
    api_key: str
    api_secret: str


class Settings(StatusModel):
    """What it works with; secret."""

    url: str
    """The Fleet's spec.telephony.voiceWebhookURL."""
    accounts: dict[str, str]
    """Auth tokens of the carrier's accounts, by their SIDs."""
    livekit: LiveKit


Talks = Callable[[str, str], Awaitable[bool]]
"""(client's identity, caller's number) -> whether their talk has not come to its end."""


async def next_step(leg: Leg, status: str, caller: str, talks: Talks, webhook: str) -> str:
    """TwiML for a caller whose leg to us has ended with that DialCallStatus."""
    if status == "completed":
        if not await talks(leg.client_id, caller):
            return HANG_UP
        logger.warning(
            "leg lost", extra={"clientID": leg.client_id, "redials": leg.redials},
        )  # fmt: skip
        if leg.redials < REDIALS:
            return dial(leg.again(), webhook)
    elif (other := leg.at_next_edge()) is not None:
        return dial(other, webhook)
    return forward(leg.forward_to) if leg.forward_to else HANG_UP


class Rooms:
    """LiveKit's."""

    def __init__(self, livekit: LiveKit) -> None:
        self._livekit = livekit

    async def talks(self, client_id: str, caller: str) -> bool:
        """Whether a talk goes on; where LiveKit does not say, its rooms are lost, too.

        Who hides their number is nobody in particular, and is not connected again.
        """
        if not shows(caller):
            return False
        keys = (self._livekit.url, self._livekit.api_key, self._livekit.api_secret)
        try:
            async with api.LiveKitAPI(*keys, timeout=_LIVEKIT) as livekit:
                if not await _agent_waits(livekit, client_id, caller):
                    return False
                # A room that is being closed is closed a moment after its caller was told so.
                await asyncio.sleep(SETTLED_SECONDS)
                return await _agent_waits(livekit, client_id, caller)
        except (api.TwirpError, aiohttp.ClientError, TimeoutError) as error:
            logger.error("LiveKit not asked", extra={"error": type(error).__name__})
            return True


async def _agent_waits(livekit: api.LiveKitAPI, client_id: str, caller: str) -> bool:
    """Whether an agent is in a room for that caller."""
    rooms = await livekit.room.list_rooms(api.ListRoomsRequest())
    for room in [r.name for r in rooms.rooms if is_call_of(r.name, client_id, caller)]:
        try:
            found = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        except api.TwirpError as error:
            if error.code == api.TwirpErrorCode.NOT_FOUND:
                continue
            raise
        if any(each.kind == ParticipantInfo.Kind.AGENT for each in found.participants):
            return True
    return False


def voice(settings: Settings, talks: Talks) -> Starlette:
    """The application."""

    async def dialled(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        token = settings.accounts.get(form.get("AccountSid", ""))
        # As the carrier was told it: a proxy may have changed host and scheme on the way.
        url = f"{settings.url.rstrip('/')}{request.url.path}?{request.url.query}"
        signature = request.headers.get("x-twilio-signature", "")
        if token is None or not RequestValidator(token).validate(url, form, signature):
            return Response(status_code=403)
        try:
            leg = Leg.read(request.query_params.multi_items())
        except ValueError:
            return Response(status_code=400)
        status, caller = form.get("DialCallStatus", ""), form.get("From", "")
        twiml = await next_step(leg, status, caller, talks, settings.url)
        return Response(twiml, media_type="text/xml")

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route(PATH, dialled, methods=["POST"]), Route("/healthz", healthz)],
    )


def main() -> int:
    """Run until SIGTERM; exit status 1 where the settings cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m voicefleet_portal.voice", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on")
    parser.add_argument(
        "--settings", type=Path, required=True,
        help='JSON: {"url": "https://…", "accounts": {"AC…": "auth token"},'
        ' "livekit": {"url": "http://…", "apiKey": "…", "apiSecret": "…"}}',
    )  # fmt: skip
    arguments = parser.parse_args()
    logs.configure("voice")
    try:
        settings = Settings.model_validate_json(arguments.settings.read_text())
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValidationError as error:
        print(f"error: {arguments.settings}: {problems(error)}", file=sys.stderr)
        return 1
    app = voice(settings, Rooms(settings.livekit).talks)
    config = uvicorn.Config(
        app, host=arguments.host, port=arguments.port, log_config=None, access_log=False,
        lifespan="off", server_header=False,
    )  # fmt: skip
    asyncio.run(uvicorn.Server(config).serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
