"""How a manifest becomes a Helm template, and that the release has one number."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from voicefleet_infra import chart

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]


def test_a_marked_value_becomes_the_charts() -> None:
    assert chart.template("replicas: 2 # helm: .Values.replicas") == (
        "replicas: {{ toJson (.Values.replicas) }}\n"
    )
    assert chart.template('  - image: a:1 # helm: include "i" (list $ .Values.image)') == (
        '  - image: {{ toJson (include "i" (list $ .Values.image)) }}\n'
    )


def test_a_marked_line_becomes_what_it_says() -> None:
    source = "a: 1\n  # helm: {{- if .Values.b }}\n  b: 2\n  # helm: {{- end }}\n"
    assert chart.template(source) == "a: 1\n  {{- if .Values.b }}\n  b: 2\n  {{- end }}\n"


def test_what_helm_would_take_for_its_own_is_escaped() -> None:
    assert chart.template("a: x{{y}} # not helm") == 'a: x{{ "{{" }}y}} # not helm\n'


def test_a_mark_that_marks_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is marked for Helm here: a:"):
        chart.template("a: # helm: .Values.a")


def test_a_kind_can_be_left_out_and_kept() -> None:
    made = chart.crd_template("kind: CustomResourceDefinition\nmetadata:\n  name: a\n")
    assert made.startswith("{{- if .Values.crds.enabled }}\n")
    assert made.endswith("{{- end }}\n")
    assert made.count("helm.sh/resource-policy: keep") == 1


def test_the_release_has_one_number_everywhere() -> None:
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shipped = yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text())
    assert (shipped["version"], shipped["appVersion"]) == (release, release)
    for file in ("operator/deployment.yaml", "sandbox/sandbox.yaml"):
        text = (ROOT / "deploy" / file).read_text()
        images = [word for word in text.split() if word.startswith("localhost/voicefleet-")]
        assert images
        assert {image.rpartition(":")[2] for image in images} == {release}, file
