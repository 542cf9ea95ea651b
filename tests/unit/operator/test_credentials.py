"""The operator gives each client a key of its own for the gateways, LiveKit's included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from livekit import api

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
    return UnitSpec(client_id, mark, "{}", 512, controller.credentials(client_id))


def signer(spec: UnitSpec) -> str:
    """Whom the agent gateway takes its worker for."""
    own = spec.secrets["LIVEKIT_API_KEY"], spec.secrets["LIVEKIT_API_SECRET"]
    return tokens.signer(KEY, f"Bearer {api.AccessToken(*own).to_jwt()}")


def test_each_client_has_a_key_of_its_own_that_stays_the_same(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    one, two = spec("vc-one", key), spec("vc-two", key)
    assert tokens.verify(KEY, one.secrets["MODELS_TOKEN"]) == "vc-one"
    assert tokens.verify(KEY, two.secrets["MODELS_TOKEN"]) == "vc-two"
    assert [signer(one), signer(two)] == ["vc-one", "vc-two"]
    # Another operator comes to the same hash, or every restart of it would restart every pod.
    assert hash_spec(one) == hash_spec(spec("vc-one", key))
    key.write_text(NEXT_KEY)
    assert hash_spec(one) != hash_spec(spec("vc-one", key))


def test_without_a_key_to_sign_with_there_is_none() -> None:
    assert spec("vc-one", None).secrets == {}
