"""A calendar on a CalDAV server (RFC 4791), over the HTTP client that the worker has anyway.

The library `caldav` would bring a second HTTP client and lxml into every pod for these five
requests.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Self
from urllib.parse import quote, unquote, urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

import aiohttp
from defusedxml import DefusedXmlException, ElementTree
from yarl import URL

TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
MOST_BYTES = 32 * 1024 * 1024
"""Of an answer; a year of a busy calendar is a few."""
_BATCH = 50

_DAV, _CAL = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}"
_QUERY = """<?xml version="1.0" encoding="utf-8"?>
<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
<d:prop><d:getetag/></d:prop>
<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT"/></c:comp-filter></c:filter>
</c:calendar-query>"""
_MULTIGET = """<?xml version="1.0" encoding="utf-8"?>
<c:calendar-multiget xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
<d:prop><d:getetag/><c:calendar-data/></d:prop>{hrefs}
</c:calendar-multiget>"""


class Unavailable(Exception):
    """The server is away, or answers what nobody can use; says what, with no word of an event."""


class Refused(Exception):
    """The server does not take this event."""


class Changed(Exception):
    """Somebody has changed the event in the meantime (412)."""


class Collection:
    """Events are named by the decoded path of their address, `href`.

    Every method raises `Unavailable`.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url if url.endswith("/") else url + "/"
        secret = base64.b64encode(f"{username}:{password}".encode()).decode()
        # trust_env: where pods reach the world through a proxy only.
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Basic {secret}"},
            timeout=TIMEOUT,
            trust_env=True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def href(self, name: str) -> str:
        """Of an event of that file name."""
        return unquote(urlsplit(self._url).path) + name

    async def etags(self) -> dict[str, str]:
        """All events: href -> ETag."""
        found = await self._report(_QUERY)
        return {href: etag for href, (etag, _) in found.items()}

    async def fetch(self, hrefs: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Those of `hrefs` that are still there: href -> ETag and iCalendar."""
        wanted, found = list(hrefs), {}
        for at in range(0, len(wanted), _BATCH):
            names = "".join(
                f"<d:href>{escape(quote(h))}</d:href>" for h in wanted[at : at + _BATCH]
            )
            found.update(await self._report(_MULTIGET.format(hrefs=names)))
        return {href: (etag, data) for href, (etag, data) in found.items() if data}

    async def put(self, href: str, data: bytes, etag: str | None) -> str | None:
        """Write over the version `etag`, or a new event where that is None.

        Returns the new ETag, None where the server does not tell; raises `Changed`, `Refused`.
        """
        condition = {"If-None-Match": "*"} if etag is None else {"If-Match": etag}
        headers = {"Content-Type": "text/calendar; charset=utf-8", **condition}
        status, answered, _ = await self._request("PUT", href, headers, data)
        if status == 412:
            raise Changed
        if status not in (200, 201, 204):
            raise Refused(f"the server answered {status} to an event")
        return answered and answered.removeprefix("W/")

    async def delete(self, href: str, etag: str) -> None:
        """Remove the version `etag`; raises `Changed`, `Refused`."""
        status, _, _ = await self._request("DELETE", href, {"If-Match": etag}, b"")
        if status == 412:
            raise Changed
        if status not in (200, 202, 204, 404, 410):
            raise Refused(f"the server answered {status} to a removal")

    async def _report(self, body: str) -> dict[str, tuple[str, bytes]]:
        headers = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}
        path = urlsplit(self._url).path
        status, _, answer = await self._request("REPORT", unquote(path), headers, body.encode())
        if status != 207:
            raise Unavailable(f"the server answered {status}, where 207 is a calendar's")
        try:
            root = ElementTree.fromstring(answer)
        except (ParseError, DefusedXmlException, ValueError):
            raise Unavailable("the server's answer is no XML") from None
        found = {}
        for response in root.iter(f"{_DAV}response"):
            href = unquote(urlsplit(urljoin(self._url, _text(response, f"{_DAV}href"))).path)
            own = _text(response, f"{_DAV}status")
            if own and " 404 " not in f"{own} ":
                # An answer cut short must not look as if the rest had been deleted.
                raise Unavailable(f"the server left events out: {own}")
            etag = _text(response, f".//{_DAV}getetag")
            if etag:
                data = _text(response, f".//{_CAL}calendar-data").encode()
                found[href] = etag.removeprefix("W/"), data
        return found

    async def _request(
        self, method: str, href: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str | None, bytes]:
        address = URL(urljoin(self._url, quote(href)), encoded=True)
        try:
            async with self._http.request(
                method, address, headers=headers, data=body, allow_redirects=False
            ) as answer:
                data = await answer.content.read(MOST_BYTES + 1)
                # `read` returns what has come; the rest is awaited piece by piece.
                while len(data) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    data += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the server is not reached: {type(error).__name__}") from None
        if len(data) > MOST_BYTES:
            raise Unavailable("the server's answer is too long")
        if answer.status in (401, 403) or answer.status == 429 or answer.status >= 500:
            raise Unavailable(f"the server answered {answer.status}")
        return answer.status, answer.headers.get("ETag"), data


def _text(element: Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""
