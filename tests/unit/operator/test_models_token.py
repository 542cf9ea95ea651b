"""The operator gives each client a token of its own for the model gateways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from voicefleet_api import tokens
from voicefleet_operator.drivers.runtime.base import hash_spec
from voicefleet_operator.planning.observed import Mark, UnitSpec
from voicefleet_operator.reconcilers.common import Controller
from voicefleet_operator.settings import Settings
from voicefleet_operator.store import Store
from voicefleet_operator.workqueue import WorkQueue

pytestmark = pytest.mark.unit
KEY, NEXT_KEY = "k" * 48, "n" * 48


class _Kube:
    def ensure_leader(self) -> None:
        """Always."""


def spec(client_id: str, key_file: Path | None) -> UnitSpec:
    """What an operator that has just been started makes of a client."""
    kube: Any = _Kube()
    controller = Controller(kube, Store(), WorkQueue(), Settings(models_key=key_file))
    mark = Mark("fleet", client_id, "default", "one")
    return UnitSpec(client_id, mark, "{}", 512, controller.models_token(client_id))


def test_each_client_has_a_token_of_its_own_that_stays_the_same(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    one, two = spec("vc-one", key), spec("vc-two", key)
    assert tokens.verify(KEY, one.secrets["MODELS_TOKEN"]) == "vc-one"
    assert tokens.verify(KEY, two.secrets["MODELS_TOKEN"]) == "vc-two"
    # Another operator comes to the same hash, or every restart of it would restart every pod.
    assert hash_spec(one) == hash_spec(spec("vc-one", key))
    key.write_text(NEXT_KEY)
    assert hash_spec(one) != hash_spec(spec("vc-one", key))


def test_without_a_key_there_is_no_token() -> None:
    assert spec("vc-one", None).secrets == {}
