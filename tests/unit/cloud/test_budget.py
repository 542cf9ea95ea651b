"""How many GPUs a stack may have, and the settings that say so."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet_infra.components.cloud.budget import Budget, BudgetExceeded, gpus
from voicefleet_infra.components.cloud.settings import CloudSettings, read

pytestmark = pytest.mark.unit


def settings(**changes: Any) -> CloudSettings:
    """Of a stack with one server that has one GPU."""
    given = {
        "maxGpus": 1,
        "servers": [{"address": "198.51.100.20", "gpus": 1}],
        "adminNetworks": ["203.0.113.0/24"],
        "models": {"model": "llama3:8b"},
        "operator": {
            "image": "r.example/operator",
            "agentImage": "r.example/agent",
            "gatewayImage": "r.example/gateway",
            "portalImage": "r.example/portal",
            "modelsImage": "r.example/models",
            "tag": "1",
        },
    }
    return read({name: value for name, value in {**given, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [("g6.xlarge", 1), ("g5.12xlarge", 4), ("p5.48xlarge", 8), ("m7i.large", 0), ("t3.micro", 0)],
)
def test_gpus_of_an_instance_are_known(instance_type: str, expected: int) -> None:
    assert gpus(instance_type) == expected


def test_a_family_of_gpus_that_nobody_has_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody has counted the GPUs of p99"):
        gpus("p99.48xlarge")


@pytest.mark.parametrize(
    ("bought", "wanted", "words"),
    [(3, 1, "the servers have 3"), (1, 3, "the models may take 3"), (None, 3, "may take 3")],
)
def test_more_than_the_cap_is_refused_with_the_remedy(
    bought: int | None, wanted: int, words: str
) -> None:
    with pytest.raises(BudgetExceeded, match=f"{words}.*maxGpus allows 2.*maxReplicas"):
        Budget(2).check(bought=bought, wanted=wanted)
    Budget(3).check(bought=3, wanted=min(wanted, 3))


def test_models_that_would_wait_for_gpus_for_ever_are_refused() -> None:
    with pytest.raises(BudgetExceeded, match="pods would wait for ever"):
        Budget(2).check(bought=1, wanted=2)


def test_settings_beyond_the_cap_are_refused_before_anything_is_declared() -> None:
    with pytest.raises(ValueError, match="maxGpus allows 1"):
        settings(models={"model": "llama3:8b", "maxReplicas": 2})
    with pytest.raises(ValueError, match="maxGpus allows 0"):
        settings(maxGpus=0)
    assert settings().bought == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servers": None}, "exactly one of aws, servers, cluster"),
        (
            {"cluster": {"kubeconfig": "k", "address": "198.51.100.9"}},
            "exactly one of aws, servers, cluster",
        ),
        ({"adminNetworks": None}, "adminNetworks is missing"),
        ({"adminNetworks": ["203.0.113.7/24"]}, "has host bits set"),
        ({"adminNetwork": []}, "adminNetwork"),
        ({"models": {"model": "m", "minReplicas": 2}}, "maxReplicas is less than minReplicas"),
        ({"servers": [{"address": "box.example", "gpus": 1}]}, "servers.0.address"),
    ],
)
def test_what_is_unknown_missing_or_contradictory_is_named(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**changes)
