"""The pull request's comment (deploy/gitops/ci/plan.sh), for a change that is then carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.controlplane import ROOT
from support.manifests import numbers
from support.stack import Stack, client
from voicefleet_infra.cluster import Cluster
from voicefleet_infra.cluster import fleet as local_fleet

pytestmark = pytest.mark.integration

Object = dict[str, Any]
CI = ROOT / "deploy" / "gitops" / "ci"


def checkout(folder: Path, stack: Stack, *clients: Object) -> Path:
    """A checkout of a repository laid out as the example is."""
    fleet = local_fleet(stack.platform)
    fleet["spec"]["runtime"] = {"className": stack.runtime}
    for part, objects in (("platform", (fleet,)), ("clients", clients)):
        overlay = folder / part / "production"
        overlay.mkdir(parents=True)
        (overlay / "objects.yaml").write_text(yaml.safe_dump_all(objects))
        (overlay / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
    return folder


def plan(stack: Stack, before: Path, after: Path) -> subprocess.CompletedProcess[str]:
    """The script with the rights of CI's ServiceAccount."""
    stack.kubectl("apply", "-f", str(CI / "reader.yaml"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kubeconfig = str(Cluster(stack.platform).kubeconfig_of("plan"))
    return subprocess.run(
        [CI / "plan.sh", before, after, "production"],
        env={**os.environ, "PATH": path, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
    )


def row(markdown: str, client: str) -> list[str]:
    [line] = [line for line in markdown.splitlines() if line.startswith(f"| {client} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_comment_says_what_merging_then_does(stack: Stack, tmp_path: Path) -> None:
    was = [client("same"), client("grows"), client("leaves")]
    before = checkout(tmp_path / "before", stack, *was)
    stack.apply(*was)
    vcs = {name: stack.wait(name, "Answering") for name in ("same", "grows", "leaves")}
    grown = client("grows", plan="Enterprise", telephony={"numbers": numbers(2)})
    after = checkout(tmp_path / "after", stack, client("same"), grown, client("comes"))

    seq = stack.last_request()
    done = plan(stack, before, after)
    assert done.returncode == 2, done.stderr
    assert stack.writes_since(seq) == []
    said = done.stdout
    assert said.splitlines()[0].endswith(": 1 new, 1 changed, 1 deleted, 1 unchanged")
    assert row(said, "`default/grows`")[1:] == [
        "changed", "ClaimNumber line-1 (US 415)", "+1.15", "+300.00",
    ]  # fmt: skip
    assert row(said, "`default/comes`")[1:] == [
        "new", "ClaimNumber line-0 (US 415)", "+1.15", "+499.00",
    ]  # fmt: skip
    leaves = row(said, "`default/leaves`")
    number = vcs["leaves"]["status"]["primaryNumber"]
    subscription = vcs["leaves"]["status"]["billing"]["subscriptionID"]
    assert f"ReleaseNumber {number}" in leaves[2]
    assert f"CancelSubscription {subscription}" in leaves[2]
    assert leaves[3:] == ["-1.15", "-499.00"]
    assert row(said, "**a month, in all**")[3:] == ["+1.15", "+300.00"]
    assert "same" not in said

    # Merged, and pruned.
    stack.kubectl("apply", "-k", str(after / "clients" / "production"))
    stack.delete("leaves")
    for name in ("grows", "comes"):
        stack.wait(name, "Answering")
    assert len(stack.client("grows")["status"]["numbers"]) == 2
    assert number not in str(stack.twilio_lists()["numbers"])
    # What is merged is no longer news.
    done = plan(stack, after, after)
    assert (done.returncode, done.stdout) == (0, "### Plan for the clients: 3 unchanged\n")


def test_a_protected_client_that_is_to_go_fails_the_pull_request(
    stack: Stack, tmp_path: Path
) -> None:
    protected = client("guarded", deletionProtection=True)
    stack.apply(protected)
    stack.wait("guarded", "Ready")
    before = checkout(tmp_path / "before", stack, protected)
    after = checkout(tmp_path / "after", stack, client("other"))
    try:
        done = plan(stack, before, after)
        assert done.returncode == 1
        assert "DeletionProtected: VoiceClient default/guarded is to go" in done.stderr
    finally:
        stack.patch("guarded", {"deletionProtection": False})
