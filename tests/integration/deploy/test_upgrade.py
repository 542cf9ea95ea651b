"""From the version before to this one: no agent is restarted, and no vendor is written to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.controlplane import ROOT
from support.stack import Stack, client, conditions, until
from voicefleet_infra.agent_gateway import agent_gateway
from voicefleet_infra.probes import clients_looked_at
from voicefleet_infra.service import Service

pytestmark = pytest.mark.integration

PREVIOUS = "f6744cf4048cfa7811a7eaf9bcbef95158fe4427"
"""What is upgraded from. Until there are releases, the commit that brought the agent gateway, which
restarts agents once (CHANGELOG.md)."""
NAMES = ("stays", "grows")


class Upgraded(Stack):
    """Begins as `PREVIOUS`, with its manifests and its operator; agents are processes."""

    runtime = "process"

    def __init__(self, previous: Path) -> None:
        super().__init__()
        self._previous: Path | None = previous

    def _services(self) -> list[Service]:
        return [*super()._services(), agent_gateway(self.platform)]

    def install(self) -> None:
        """What this version, or the one before, would have the cluster's owner apply."""
        base = self._previous or ROOT
        self.kubectl("apply", "--server-side", "-k", str(base / "deploy"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=90s")

    def upgrade(self) -> None:
        """The new manifests first, then the new operator."""
        self._previous = None
        self.install()
        self.stop_operator(signal.SIGTERM)
        self.start_operator()

    def _spawn(
        self, command: tuple[str, ...], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        if self._previous:
            rooms = (self._previous / room / "src" for room in ("operator", "crds"))
            environment = {**environment, "PYTHONPATH": ":".join(map(str, rooms))}
        return super()._spawn(command, environment)

    def agents(self) -> dict[str, str]:
        """By unit, its process: number, start, port and the hash of what it was started for."""
        units = self.platform.path("clients", "process").glob("*/unit.json")
        return {unit.parent.name: unit.read_text() for unit in units}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Upgraded]:
    archive = subprocess.run(
        ["git", "archive", PREVIOUS, "operator", "crds", "deploy"], cwd=ROOT, capture_output=True
    )
    if archive.returncode:
        # No component of the machine, which CI would have to bring: a clone without history.
        pytest.xfail(f"the version before is not in this checkout: {archive.stderr.decode()}")
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=archive.stdout, check=True)
    with Upgraded(tmp_path) as running:
        running.start_operator()
        yield running
        running.delete(*NAMES)


def test_an_upgrade_restarts_no_agent_and_writes_to_no_vendor(stack: Upgraded) -> None:
    stack.apply(*map(client, NAMES))
    before = [stack.wait(name, "Answering") for name in NAMES]
    agents, seq = stack.agents(), stack.last_request()
    assert len(agents) == len(NAMES)

    stack.upgrade()
    # Twice each: once at the start, once after everything was listed.
    port = stack.platform.port("metrics")
    until(lambda: clients_looked_at(port) >= 2 * len(NAMES), "the operator does not look at them")
    after = [stack.wait(name, "Answering") for name in NAMES]
    assert stack.writes_since(seq) == []
    assert stack.agents() == agents
    for old, new in zip(before, after, strict=True):
        assert new["metadata"]["generation"] == old["metadata"]["generation"]
        answering = (conditions(vc)["Answering"]["lastTransitionTime"] for vc in (old, new))
        assert len(set(answering)) == 1, "it did not answer for a moment"

    # It is in charge, and goes on from what the other has written down.
    stack.patch("grows", {"plan": "Enterprise"})
    [subscription] = stack.subscriptions("grows")
    until(
        lambda: stack.writes_since(seq) == [f"POST /v1/subscriptions/{subscription['id']}"],
        "the plan is not changed",
    )
    stack.wait("grows", "Ready")
    assert stack.agents() == agents
