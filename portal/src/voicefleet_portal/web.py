"""What people reach: pages, JSON, static files. It only reads, and only this machine is let in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicefleet_portal import api, pages
from voicefleet_portal.store import BadName
from voicefleet_portal.views import Views

_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self';"
    b" img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'self';"
    b" base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


class _Guarded:
    """Headers that keep a stranger's words from becoming more than words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self._app(scope, receive, guarded)


def web(views: Views, hosts: Sequence[str]) -> Starlette:
    """The application; `hosts` are the names it may be called by (against DNS rebinding)."""
    static = StaticFiles(directory=Path(__file__).parent / "static")
    return Starlette(
        routes=[*api.routes(views), *pages.routes(views), Mount("/static", static)],
        middleware=[
            Middleware(_Guarded),
            Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts], www_redirect=False),
        ],
        exception_handlers={HTTPException: _said, BadName: _bad_name},
    )


def _said(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(request, error.status_code, error.detail)


def _bad_name(request: Request, error: Exception) -> Response:
    return _error(request, 404, str(error))


def _error(request: Request, status: int, words: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": {"message": words}}, status)
    page = pages.templates().get_template("error.html").render(status=status, words=words)
    return HTMLResponse(page, status)
