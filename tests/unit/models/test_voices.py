"""What a voice is given at a time."""

from __future__ import annotations

import pytest

from voicefleet_models.voices import clauses

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sounds", "parts"),
    [
        ("gud morning, how ar ju?", ["gud morning,", "how ar ju?"]),
        ("jes, wi du.", ["jes, wi du."]),
        ("wan tu thri for faiv siks", ["wan tu thri for faiv", "siks"]),
        ("a" * 25, ["a" * 20, "a" * 5]),
        (" ", []),
    ],
)
def test_a_sentence_is_spoken_in_parts(sounds: str, parts: list[str]) -> None:
    assert list(clauses(sounds, 20)) == parts
