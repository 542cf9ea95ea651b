"""The agent's local transcriber, without a gateway between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voicefleet_agent.providers.base import Transcript
from voicefleet_agent.providers.local import CREDIBLE, LocalTranscriber
from voicefleet_models.settings import THREADS
from voicefleet_models.transcribers import Moonshine


class Ears(LocalTranscriber):
    """Hears as a client's agent does, with the machine's own model."""

    def __init__(self) -> None:
        self._model = Moonshine(THREADS)

    async def _readings(
        self, pcm: bytes, likely: Sequence[str] = (), *, ended: bool = True
    ) -> list[Transcript]:
        readings = self._model.read(np.frombuffer(pcm, "<i2"), likely)
        least = readings[0].score - CREDIBLE
        return [Transcript(one.text) for one in readings if one.score >= least]
