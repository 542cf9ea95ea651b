"""What the pages take from others is what npm has."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import voicefleet_portal
from voicefleet_portal.pages import templates

pytestmark = pytest.mark.unit
STATIC = Path(voicefleet_portal.__file__).parent / "static"


def test_vendored_scripts_are_unchanged_and_all_are_used() -> None:
    table = (STATIC / "vendor" / "README.md").read_text()
    said = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", table, re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (STATIC / "vendor").glob("*.js")
    }
    assert found == said
    page = templates().get_template("error.html").render(status=404, words="")
    assert set(re.findall(r'<script src="/static/vendor/(.+?)"', page)) == set(found)
