"""Gateways that answer at once: what is left of a call's cost is everything but the models.

    python tests/bench/instant.py FOLDER

They hear `QUESTION` whatever is said, and speak a steady tone, in which holes can be told.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.stock.gateways import TTS_RATE
from support.stand_ins import Gateways

QUESTION = "What are your opening hours?"
ANSWER = "We are open Monday to Friday from 8 AM to 6 PM."
CHARACTER = 0.03
"""Seconds of sound."""


async def hear(pcm: bytes) -> tuple[str, float]:
    return QUESTION, 0.9


def speak(text: str) -> bytes:
    at = np.arange(int(CHARACTER * TTS_RATE * len(text)))
    return bytes((8000 * np.sin(2 * np.pi * 300 * at / TTS_RATE)).astype("<i2").tobytes())


def think(body: dict[str, Any]) -> str:
    return ANSWER


async def main() -> None:
    async with Gateways(Path(sys.argv[1]), hear=hear, speak=speak, think=think, rate=TTS_RATE):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
