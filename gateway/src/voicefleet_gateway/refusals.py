"""What is not an agent's to ask, and why.

The codes are Twirp's (https://twitchtv.github.io/twirp/docs/spec_v7.html).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

STATUS = {
    "malformed": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "unavailable": 503,
}
"""HTTP status of a code."""

M = TypeVar("M", bound=Message)


class Refused(Exception):
    """The text says why, for whoever has asked; `code` is one of `STATUS`."""

    def __init__(self, message: str, code: str = "permission_denied") -> None:
        super().__init__(message)
        self.code = code


def parse(kind: type[M], data: bytes) -> M:
    """A message without what we do not know of it: nothing passes that was not looked at.

    Raises `Refused`."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        raise Refused(f"this is no {kind.DESCRIPTOR.name}", "malformed") from None
    message.DiscardUnknownFields()
    return message


def check_fields(message: Message, allowed: Collection[str]) -> None:
    """Raises `Refused` where something is said in another field."""
    others = sorted(field.name for field, _ in message.ListFields() if field.name not in allowed)
    if others:
        raise Refused(f"{message.DESCRIPTOR.name} with {', '.join(others)} is not for agents")
