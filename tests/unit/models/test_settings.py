"""What `models.yaml` says, and what of it the agents are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from voicefleet_api.endpointing import FILE, Endpointing
from voicefleet_models.settings import THREADS, Models, publish, read

pytestmark = pytest.mark.unit
TUNED = """\
languageModel: {path: /models/another.gguf}
threads: {tts: 3}
endpointing: {completeMs: 300, briefMs: 400, unsureMs: 700}
"""


def test_threads_and_endpointing_are_read_and_the_rest_is_as_always(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(TUNED)
    models = read(file)
    assert (models.threads.stt, models.threads.tts, models.threads.llm) == (THREADS, 3, THREADS)
    assert models.endpointing == Endpointing(complete_ms=300, brief_ms=400, unsure_ms=700)
    assert read(None) == Models()


def test_what_is_written_is_what_was_set(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(TUNED)
    assert read(file).to_yaml() == yaml.safe_load(TUNED)
    assert Models().to_yaml() == {}


@pytest.mark.parametrize(
    "text",
    [
        "threads: {stt: 0}",
        "threads: {ear: 1}",
        "endpointing: {completeMs: 250}",
        "endpointing: {completeMs: 0, briefMs: 350, unsureMs: 600}",
    ],
)
def test_a_mistake_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"models\.yaml"):
        read(file)


def test_agents_are_told_while_it_is_set(tmp_path: Path) -> None:
    tuned = Endpointing(complete_ms=300, brief_ms=400, unsure_ms=700)
    publish(tuned, tmp_path)
    assert Endpointing.model_validate_json((tmp_path / FILE).read_text()) == tuned
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o644
    for _ in range(2):
        publish(None, tmp_path)
        assert list(tmp_path.iterdir()) == []
