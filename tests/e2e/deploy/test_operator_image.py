"""The operator in its image, with what the chart gives it: rights, settings, confinement."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from support.controlplane import ROOT
from support.helm import RELEASE, helm, rendered
from support.ports import free_port
from support.stack import Stack, client, until
from voicefleet_api.names import SYSTEM_NAMESPACE
from voicefleet_infra.agents import podman_environment
from voicefleet_infra.images import OPERATOR, build_image
from voicefleet_infra.images.sbom import SBOM_FILE
from voicefleet_infra.platform import cache_dir
from voicefleet_infra.probes import http_ok

pytestmark = pytest.mark.e2e


class Installed(Stack):
    """With the chart instead of the base, and the operator as a container of the chart's spec."""

    def install(self) -> None:
        helm("install", *RELEASE, "--create-namespace", kubeconfig=self.kubeconfig)
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")

    def podman(self, *words: str) -> str:
        return subprocess.run(
            ["podman", *words],
            env=podman_environment(self.platform), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def build(self) -> str:
        return build_image(OPERATOR, ROOT, cache_dir(), env=podman_environment(self.platform))

    def python(self, program: str) -> str:
        """What the image's Python prints."""
        run = ("run", "--rm", "--network=none", "--entrypoint=/usr/bin/python3.11", self.image)
        return self.podman(*run, "-P", "-s", "-c", program)

    def start_container(self, folder: Path) -> None:
        """As a kubelet would, as far as Podman has the same words; on the machine's network."""
        self.name, self.health = f"vf-operator-{secrets.token_hex(4)}", free_port()
        pod = rendered()["Deployment", "voicefleet-operator"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        user = pod["securityContext"]
        env = {e["name"]: e["value"] for e in container["env"]}
        # Others may have the chart's port on this machine.
        env |= {"VOICEFLEET_METRICS_PORT": str(self.health), "KUBECONFIG": "/kubeconfig"}
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(self._config.read_text())
        kubeconfig.chmod(0o644)
        self.podman(
            "run", "--detach", f"--name={self.name}", "--network=host", "--read-only",
            "--cap-drop=ALL", "--security-opt=no-new-privileges",
            f"--user={user['runAsUser']}:{user['runAsGroup']}",
            f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
            f"--volume={kubeconfig}:/kubeconfig:ro",
            *(f"--env={name}={value}" for name, value in env.items()), self.image,
        )  # fmt: skip

    def log(self) -> str:
        return self.podman("logs", self.name)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("needs Podman and root")
    with Installed() as running:
        running.image = running.build()
        running.start_container(tmp_path_factory.mktemp("operator"))
        yield running
        running.podman("rm", "--force", running.name)


def test_it_leads_and_makes_a_client_answer_with_the_rights_of_the_chart(stack: Installed) -> None:
    until(lambda: http_ok(stack.health, "/readyz"), "it is not ready", seconds=60)
    assert http_ok(stack.health, "/healthz")
    stack.apply(client("imaged"))
    stack.wait("imaged", "Answering")
    stack.delete("imaged")
    lease = stack.get("lease", "voicefleet-operator", f"-n={SYSTEM_NAMESPACE}")
    assert lease["spec"]["holderIdentity"]
    assert "forbidden" not in stack.log()

    stack.podman("stop", "--time=30", stack.name)
    assert stack.podman("inspect", "--format={{.State.ExitCode}}", stack.name).strip() == "0"
    lease = stack.get("lease", "voicefleet-operator", f"-n={SYSTEM_NAMESPACE}")
    assert not lease["spec"]["holderIdentity"], "the lease was not handed over"


def test_its_bill_of_materials_names_what_is_inside(stack: Installed) -> None:
    bill: dict[str, Any] = json.loads(stack.python(f"print(open('{SBOM_FILE}').read())"))
    found = {component["name"]: component["version"] for component in bill["components"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert found["kopf"] == metadata.version("kopf")
    assert found["python3.11-minimal"].startswith("3.11.")
    assert "livekit-agents" not in found
    listed = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    inside = {name.lower().replace("_", "-") for name in stack.python(listed).split()}
    assert inside <= {name.lower() for name in found}
    labels = json.loads(stack.podman("inspect", "--format={{json .Config.Labels}}", stack.image))
    assert labels["dev.voicefleet.sbom"] == SBOM_FILE


def test_it_holds_no_agent_and_no_shell(stack: Installed) -> None:
    there = (
        "import importlib.util as u, pathlib;"
        " print([n for n in ('voicefleet_agent', 'voicefleet_sandbox') if u.find_spec(n)],"
        " pathlib.Path('/bin/sh').exists())"
    )
    assert stack.python(there).strip() == "[] False"
