"""What people see of the API through kubectl, and the samples, on the real API server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from support.controlplane import ROOT, ControlPlane
from support.manifests import voice_client

pytestmark = pytest.mark.integration
SAMPLES = sorted((ROOT / "crds" / "samples").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_accepted_and_kept_as_written(plane: ControlPlane, sample: Path) -> None:
    """A server-side dry run gives back what was sent: no default, nothing pruned."""
    text = sample.read_text()
    answer = plane.kubectl("create", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=text)
    got, sent = yaml.safe_load_all(answer), yaml.safe_load_all(text)
    assert [item["spec"] for item in got] == [item["spec"] for item in sent]


def test_an_object_that_nobody_has_handled_counts_as_unhandled(plane: ControlPlane) -> None:
    """kstatus: observedGeneration -1 until the controller has seen it (design, section 3)."""
    answer = json.loads(
        plane.kubectl(
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
            stdin=json.dumps(voice_client("fresh", plan="Endless")),
        )
    )
    assert answer["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", ["vc", "rcp", "pn", "fl"])
def test_explain_reads_well(plane: ControlPlane, kind: str) -> None:
    whole = plane.kubectl("explain", f"{kind}.spec", "--recursive")
    fields = plane.kubectl("explain", f"{kind}.spec")
    assert "DESCRIPTION:" in whole
    assert "<empty>" not in whole + fields
    # Below each field stands a description, indented by four.
    assert len(re.findall(r"^  \w+\t<", fields, re.M)) == len(
        re.findall(r"^  \w+\t<.*\n(?:  enum:.*\n)?    \S", fields, re.M)
    )


def test_explain_names_the_fields_of_a_client(plane: ControlPlane) -> None:
    said = plane.kubectl("explain", "vc.spec", "--recursive")
    for field in ("profession", "forwardTo", "areaCode", "deletionProtection", "trialDays"):
        assert field in said
    said = plane.kubectl("explain", "vc.spec.telephony.numbers.request")
    assert "North American area code" in said


def test_columns(plane: ControlPlane) -> None:
    plane.apply(voice_client("shown", plan="Endless"))
    status = {
        # `kubectl wait` does not believe conditions of an older generation.
        "observedGeneration": 1,
        "primaryNumber": "+14155550100",
        "monthlyCost": "$1.15",
        "endpoints": {"url": "http://shown.fleet.test"},
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "AllThere",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind in ("Ready", "Answering")
        ],
    }
    plane.kubectl(
        "patch",
        "vc",
        "shown",
        "--subresource=status",
        "--type=merge",
        f"--patch={json.dumps({'status': status})}",
    )
    heading, row = plane.kubectl("get", "vc", "shown").splitlines()
    assert heading.split() == ["NAME", "READY", "ANSWERING", "PLAN", "NUMBER", "URL", "AGE"]
    assert row.split()[:-1] == [
        "shown",
        "True",
        "True",
        "Endless",
        "+14155550100",
        "http://shown.fleet.test",
    ]
    wide, row = plane.kubectl("get", "vc", "shown", "-o", "wide").splitlines()
    for name, value in (("PROFESSION", "dentist"), ("MONTHLY COST", "$1.15"), ("REASON", "AllT")):
        assert row[wide.index(name) :].startswith(value)
    plane.kubectl("wait", "--for=condition=Answering", "vc/shown", "--timeout=60s")
    assert "shown" in plane.kubectl("get", "voicefleet")
