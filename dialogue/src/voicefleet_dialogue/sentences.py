"""Sentences out of text that comes piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)"
    r"(?<!a\.m\.)(?<!p\.m\.)[\"')]*\s+"
)


def split(text: str) -> list[str]:
    """The sentences of a text."""
    return [piece.strip() for piece in _END.split(text) if piece.strip()]


async def stream(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Each sentence as soon as the next one begins."""
    rest = ""
    async for piece in pieces:
        rest += piece
        *whole, rest = _END.split(rest)
        for sentence in whole:
            if sentence.strip():
                yield sentence.strip()
    if rest.strip():
        yield rest.strip()
