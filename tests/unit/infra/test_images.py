"""What each image is made of."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from voicefleet_infra.images import RECIPES
from voicefleet_infra.images.__main__ import main

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("room", RECIPES)
def test_an_image_holds_its_room_and_those_that_it_depends_on(room: str) -> None:
    project = tomllib.loads((ROOT / room / "pyproject.toml").read_text())["project"]
    ours = {name for name in project["dependencies"] if name.startswith("voicefleet-")}
    packages = {source.name for source in RECIPES[room].sources(ROOT)}
    assert packages == {f"voicefleet_{room}", *(name.replace("-", "_") for name in ours)}


def test_an_image_that_is_none_of_ours_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["postgres"])
    assert "no such image: postgres" in capsys.readouterr().err
