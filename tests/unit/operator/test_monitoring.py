"""Dashboard, alerts and documentation name what the operator exports, and all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from voicefleet_operator import metrics

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "deploy/monitoring/dashboard.json").read_text())
[GROUP] = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())["groups"]
EXPRESSIONS = {
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    **{rule["alert"]: rule["expr"] for rule in GROUP["rules"]},
}


def exported() -> dict[str, set[str]]:
    """By the metric's name in the documentation, the names of its series."""
    found = {}
    for collector in vars(metrics).values():
        if isinstance(collector, MetricWrapperBase):
            [metric] = collector.describe()
            match metric.type:
                case "counter":
                    found[f"{metric.name}_total"] = {f"{metric.name}_total"}
                case "histogram":
                    suffixes = ("bucket", "sum", "count")
                    found[metric.name] = {f"{metric.name}_{suffix}" for suffix in suffixes}
                case _:
                    found[metric.name] = {metric.name}
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_every_expression_asks_for_what_there_is(expression: str) -> None:
    promql_parser.parse(expression)
    named = set(re.findall(r"voicefleet_\w+", expression))
    assert named
    assert named <= set().union(*exported().values())


def test_everything_that_is_exported_is_on_the_dashboard_and_documented() -> None:
    shown = {name for e in EXPRESSIONS.values() for name in re.findall(r"voicefleet_\w+", e)}
    for name, series in exported().items():
        assert series & shown, f"{name} is not on the dashboard"
    documented = set(
        re.findall(r"^\| `(voicefleet_\w+)`", (ROOT / "docs/operations.md").read_text(), re.M)
    )
    assert documented == set(exported())


def test_every_alert_says_what_to_do() -> None:
    for rule in GROUP["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "runbook"}
