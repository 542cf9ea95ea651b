"""What else of the platform's agents use: its models, and the portal that takes records of calls.

They listen on Unix sockets, which a pod of a cluster cannot be given, or at addresses that nobody
but the gateway reaches. A request to `/services/<service>/v1/…` goes there as it stands and its
answer comes back as it comes, piece by piece; whose token it bears is checked here, and by the
service once more. Whoever hangs up ends the request behind, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from voicefleet_gateway.refusals import Refused

SERVICES = ("stt", "llm", "tts", "portal")
_ASKED = ("Authorization", "Content-Type", "Content-Length")
_ANSWERED = ("Content-Type", "Content-Length", "Retry-After")
_OURS = "voicefleet-"
"""What the services' own headers begin with."""


class Services:
    """Those at `addresses`, the others on sockets in `folder`; to be made inside the event loop,
    and closed."""

    def __init__(
        self, folder: Path, patience: aiohttp.ClientTimeout, addresses: Mapping[str, URL]
    ) -> None:
        def connector(name: str) -> aiohttp.BaseConnector:
            if name in addresses:
                return aiohttp.TCPConnector(limit=0)
            return aiohttp.UnixConnector(str(folder / f"{name}.sock"), limit=0)

        self._sessions = {
            name: aiohttp.ClientSession(
                connector=connector(name), timeout=patience, auto_decompress=False
            )
            for name in SERVICES
        }
        self._origins = {name: addresses.get(name, URL(f"http://{name}")) for name in SERVICES}

    async def aclose(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    async def ask(self, request: web.Request, service: str) -> web.StreamResponse:
        """The answer to a request to `/services/<service>/…`; raises `Refused`."""
        if service not in self._sessions:
            raise Refused(f"there is no service {service!r} for agents")
        origin = self._origins[service]
        asked = self._sessions[service].request(
            request.method,
            # As it was written: what is decoded and written again may mean another path.
            URL.build(
                scheme=origin.scheme,
                host=origin.host or "",
                port=origin.port,
                path=request.rel_url.raw_path.removeprefix(f"/services/{service}"),
                query_string=request.rel_url.raw_query_string,
                encoded=True,
            ),
            headers=_chosen(request.headers, _ASKED),
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        )
        try:
            answer = await asked
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = f"the service {service} cannot be reached ({type(error).__name__})"
            raise Refused(reason, "unavailable") from error
        async with answer:
            return await _pass_on(answer, request)


async def _pass_on(answer: aiohttp.ClientResponse, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_chosen(answer.headers, _ANSWERED))
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except aiohttp.ClientError:
        # It broke off; a whole answer of half the length would be a lie.
        if request.transport is not None:
            request.transport.abort()
    return response


def _chosen(headers: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    known = {name.lower() for name in names}
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in known or name.lower().startswith(_OURS)
    }
