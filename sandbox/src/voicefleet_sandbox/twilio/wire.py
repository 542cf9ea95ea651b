"""Twilio's wire form: errors, pages and shapes of both of its API generations."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from voicefleet_sandbox.store import Document, Store

VENDOR = "twilio"
Params = dict[str, str]


class TwilioError(Exception):
    """An error as Twilio words it (https://www.twilio.com/docs/api/errors)."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }


def not_found(path: str) -> TwilioError:
    """There is no such resource."""
    return TwilioError(404, 20404, f"The requested resource {path} was not found")


def need(params: Params, name: str) -> str:
    """A required parameter."""
    if not params.get(name):
        raise TwilioError(400, 20001, f"Missing required parameter {name} in the post body")
    return params[name]


def rfc2822(store: Store) -> str:
    """Dates of the 2010 API."""
    return format_datetime(datetime.fromtimestamp(store.now(), UTC))


def iso(store: Store) -> str:
    """Dates of the newer APIs."""
    return datetime.fromtimestamp(store.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _window(params: Params) -> tuple[int, int]:
    """Size and number of the page that is asked for."""
    try:
        size, number = int(params.get("PageSize", 50)), int(params.get("Page", 0))
    except ValueError as error:
        raise TwilioError(400, 20001, "Page and PageSize must be numbers") from error
    if size < 1 or number < 0:
        raise TwilioError(400, 20001, "Page and PageSize must not be negative")
    return min(size, 1000), number


def page_2010(path: str, key: str, items: list[Document], params: Params) -> Document:
    """A page with relative addresses."""
    size, number = _window(params)
    start = number * size
    kept = {k: v for k, v in params.items() if k not in ("Page", "PageSize")}

    def uri(n: int) -> str:
        return f"{path}?{urlencode({**kept, 'PageSize': size, 'Page': n})}"

    chunk = items[start : start + size]
    more = start + size < len(items)
    return {
        key: chunk,
        "first_page_uri": uri(0),
        "next_page_uri": uri(number + 1) if more else None,
        "previous_page_uri": uri(number - 1) if number else None,
        "uri": uri(number),
        "page": number,
        "page_size": size,
        "start": start,
        "end": start + max(len(chunk) - 1, 0),
    }


def page_v1(host: str, path: str, key: str, items: list[Document], params: Params) -> Document:
    """A page with absolute addresses, under Twilio's own host."""
    size, number = _window(params)
    start = number * size

    def url(n: int) -> str:
        return f"https://{host}{path}?PageSize={size}&Page={n}"

    meta: dict[str, Any] = {
        "page": number,
        "page_size": size,
        "first_page_url": url(0),
        "previous_page_url": url(number - 1) if number else None,
        "url": url(number),
        "next_page_url": url(number + 1) if start + size < len(items) else None,
        "key": key,
    }
    return {key: items[start : start + size], "meta": meta}
