"""The LiveKit server behind the gateway, asked with the API key that nobody else has."""

from __future__ import annotations

import json
from datetime import timedelta

import aiohttp
import jwt
from aiohttp import web
from google.protobuf.message import Message
from livekit import api

from voicefleet_gateway.refusals import Refused

_TOKEN_LIFE = timedelta(minutes=1)
"""Of a token that is used at once."""
_HEARTBEAT = 30.0
"""Seconds, as the workers' own."""


class LiveKit:
    """Raises `Refused` (`unavailable`) where the server cannot be reached."""

    def __init__(
        self, url: str, room_url: str, key: str, secret: str, session: aiohttp.ClientSession
    ) -> None:
        """`room_url`: where agents reach it for their calls' rooms."""
        self.room_url = room_url
        self._url = url.rstrip("/")
        self._key, self._secret = key, secret
        self._session = session
        self._api = api.LiveKitAPI(url, key, secret, session=session, failover=False)

    async def register(self) -> aiohttp.ClientWebSocketResponse:
        """A connection that a worker can register on."""
        token = self._token().with_grants(api.VideoGrants(agent=True))
        try:
            return await self._session.ws_connect(
                f"{self._url}/agent", headers=_bearer(token), heartbeat=_HEARTBEAT
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def ask(self, method: str, request: Message, room: str) -> web.Response:
        """Its answer as it stands, errors too; the request may do all in the room and call out."""
        grants = api.VideoGrants(room_admin=True, room_create=True, room=room)
        token = self._token().with_grants(grants).with_sip_grants(api.SIPGrants(call=True))
        try:
            async with self._session.post(
                f"{self._url.replace('ws', 'http', 1)}/twirp/livekit.{method}",
                data=request.SerializeToString(),
                headers={**_bearer(token), "Content-Type": "application/protobuf"},
            ) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type,
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def check_trunk(self, client: str, trunk_id: str) -> None:
        """Raises `Refused` unless the operator has made that way out for the client."""
        listing = api.ListSIPOutboundTrunkRequest(trunk_ids=[trunk_id])
        try:
            found = await self._api.sip.list_outbound_trunk(listing)
        except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        owners = [_owner(each.metadata) for each in found.items if each.sip_trunk_id == trunk_id]
        if owners != [client]:
            raise Refused(f"the trunk {trunk_id!r} is not of {client}")

    def room_token(self, token: str) -> str:
        """A job's token without the `agent` grant.

        With it LiveKit would let the job register as any agent. In the room an agent is known by
        its kind (livekit-server, pkg/rtc/participant.go, IsAgent).
        """
        claims = jwt.decode(token, options={"verify_signature": False})
        claims["video"].pop("agent", None)
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _token(self) -> api.AccessToken:
        return api.AccessToken(self._key, self._secret).with_ttl(_TOKEN_LIFE)


def _bearer(token: api.AccessToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.to_jwt()}"}


def _unreachable(error: Exception) -> Refused:
    return Refused(f"LiveKit cannot be reached ({type(error).__name__})", "unavailable")


def _owner(metadata: str) -> str | None:
    """As the operator writes it on what it makes."""
    try:
        owner: str = json.loads(metadata)["voicefleet"]["clientID"]
    except (ValueError, KeyError, TypeError):
        return None
    return owner
