"""The judge of voices tells those of the corpus apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bench import corpus
from support.speakers import SAME, embedding, likeness
from voicefleet_cli.telephone.sound import RATE

pytestmark = pytest.mark.unit

SECONDS = 12


def test_one_voice_is_like_itself_and_not_like_another() -> None:
    heard = []
    for voice in ("joe", "kumo", "gongitsune"):
        for call in [call for call in corpus.calls() if call.voice == voice][:2]:
            narrow = corpus.samples(f"{call.id}.flac")[: SECONDS * RATE]
            wide = np.interp(np.arange(2 * len(narrow)) / 2, np.arange(len(narrow)), narrow)
            heard.append((voice, embedding((wide * 32767).astype("<i2").tobytes())))
    for (voice, one), (other_voice, other) in combinations(heard, 2):
        assert (likeness(one, other) >= SAME) == (voice == other_voice), (voice, other_voice)
