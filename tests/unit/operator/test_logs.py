"""Log lines are JSON, whoever writes them."""

from __future__ import annotations

import json
import logging

import kopf
import pytest

from voicefleet_operator import logs

pytestmark = pytest.mark.unit


def test_what_kopf_says_of_an_object_is_a_line_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers)
    monkeypatch.setattr(root, "level", root.level)
    logs.configure("INFO")
    about = {"settings": kopf.OperatorSettings(), "k8s_ref": {"name": "x"}, "k8s_skip": False}
    logging.getLogger("kopf.objects").warning("a handler failed", extra=about)
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["level"]) == ("a handler failed", "WARNING")
    assert not about.keys() & line.keys()
