"""Many manifests at once, as a GitOps tool applies a repository: they converge, and go again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from support import manifests
from support.kstatus import Status, kstatus
from support.stack import Stack, client

pytestmark = pytest.mark.integration

CLIENTS = 100
AREA = "906"


def repository(folder: Path) -> list[dict[str, Any]]:
    """A hundred clients with a number each, and their hundred Receptionists, which come later."""
    numbers = [{"name": "main", "request": {"country": "US", "areaCode": AREA}}]
    names = [f"many-{i:03d}" for i in range(CLIENTS)]
    objects = [
        *(
            client(name, receptionistRef={"name": name}, telephony={"numbers": numbers})
            for name in names
        ),
        *(manifests.receptionist(name, greeting=f"This is {name}.") for name in names),
    ]
    (folder / "clients.yaml").write_text(yaml.safe_dump_all(objects))
    (folder / "kustomization.yaml").write_text("resources: [clients.yaml]\n")
    return objects


def test_two_hundred_manifests_applied_at_once_converge(stack: Stack, tmp_path: Path) -> None:
    objects = repository(tmp_path)
    stack.sandbox.post("/_sandbox/inventory", json={AREA: CLIENTS}).raise_for_status()
    stack.set_fleet(monthlySpendingCapMinor=CLIENTS * 115)
    before = len(stack.ledger(only_open=True))
    try:
        said = stack.kubectl("apply", "-k", str(tmp_path))
        assert said.count(" created") == len(objects) == 2 * CLIENTS
        stack.kubectl("wait", "--for=condition=Ready", "vc", "--all", "--timeout=120s")
        # A number and a subscription each, and nothing twice.
        assert len(stack.ledger(only_open=True)) - before == 2 * CLIENTS
        clients = stack.get("vc")["items"]
        assert {kstatus(obj) for obj in clients} == {Status.CURRENT}
        assert len({obj["status"]["primaryNumber"] for obj in clients}) == CLIENTS
        again = stack.kubectl("apply", "-k", str(tmp_path))
        assert again.count(" unchanged") == len(objects)
    finally:
        stack.kubectl("delete", "-k", str(tmp_path), "--ignore-not-found", "--timeout=120s")
        stack.set_fleet()
    assert len(stack.ledger(only_open=True)) == before
