"""The cluster is lost, the vendors are not: exported manifests take everything up again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.stack import Stack, client, until

pytestmark = pytest.mark.integration

KEPT = [{"name": "main", "request": {"areaCode": "303"}, "reclaimPolicy": "Retain"}]


def export(stack: Stack, *arguments: str) -> str:
    return subprocess.run(
        [str(Path(sys.executable).with_name("voicefleet")), "export", *arguments],
        env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_lost_cluster_is_recovered_without_a_purchase(stack: Stack, tmp_path: Path) -> None:
    billing = {"collection": "Checkout", "activation": "OnPayment"}
    stack.apply(
        client("at-once"),
        client("by-link", billing=billing),
        client("leaver", telephony={"numbers": KEPT}),
    )
    url = until(
        lambda: stack.client("by-link").get("status", {}).get("billing", {}).get("checkoutURL"),
        "there is no link to pay by",
    )
    stack.sandbox.post(url, data={"pay": "yes"})
    before = {name: stack.wait(name, "Answering")["status"] for name in ("at-once", "by-link")}
    stack.wait("leaver", "Answering")
    stack.delete("leaver")
    [free] = [n for n in stack.get("pn")["items"] if "claimRef" not in n["spec"]]

    manifests = export(stack)
    kinds = [m["kind"] for m in yaml.safe_load_all(manifests)]
    # Other tests leave their receptionists behind.
    assert [kind for kind in kinds if kind != "Receptionist"] == [
        "Fleet",
        "PhoneNumber",
        "VoiceClient",
        "VoiceClient",
    ]
    assert "status:" not in manifests
    ledger, lists = stack.ledger(), stack.twilio_lists()

    stack.stop_operator()
    stack.lose_everything()
    assert stack.get("vc")["items"] == stack.get("pn")["items"] == []
    stack.start_operator()
    stack.kubectl("apply", "-f", "-", stdin=manifests)
    for name, was in before.items():
        now = stack.wait(name, "Answering")["status"]
        assert now["clientID"] == was["clientID"]
        assert now["primaryNumber"] == was["primaryNumber"]
        assert now["billing"]["subscriptionID"] == was["billing"]["subscriptionID"]
    again = until(
        lambda: (
            n := stack.get("pn", free["metadata"]["name"])
        ).get("status", {}).get("e164") and n,
        "the free number is not taken up",
    )  # fmt: skip
    assert again["status"]["e164"] == free["status"]["e164"]
    assert stack.ledger() == ledger
    assert stack.twilio_lists() == lists


def test_a_folder_has_a_file_for_each(stack: Stack, tmp_path: Path) -> None:
    stack.apply(client("filed"))
    stack.wait("filed", "Ready")
    export(stack, "-d", str(tmp_path))
    made = yaml.safe_load((tmp_path / "voiceclient/default/filed.yaml").read_text())
    assert made["metadata"]["annotations"]["voicefleet.dev/client-id"].startswith("vc-")
    assert set(made["metadata"]) == {"name", "namespace", "annotations"}
    assert (tmp_path / "fleet/default.yaml").exists()
