from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import kopf
import pytest

from voicefleet_api.fleet import RuntimeClass
from voicefleet_operator.drivers.errors import Gone
from voicefleet_operator.drivers.runtime import make_runtime
from voicefleet_operator.drivers.runtime.base import ClientFiles, hash_spec
from voicefleet_operator.drivers.runtime.podman import PodmanRuntime
from voicefleet_operator.drivers.runtime.process import ProcessRuntime
from voicefleet_operator.drivers.runtime.stub import StubRuntime
from voicefleet_operator.kube import Kube
from voicefleet_operator.planning.desired import config_hash
from voicefleet_operator.planning.observed import Mark, UnitSpec

pytestmark = pytest.mark.unit

CONFIG = {"agentName": "a", "livekitURL": "ws://x", "greeting": "Hello"}
SPEC = UnitSpec(
    client_id="vc-0000000001",
    mark=Mark("vf-00000001", "vc-0000000001", "default", "bright-smile"),
    config_json=json.dumps(CONFIG),
    memory_mib=512,
    secrets={"LIVEKIT_API_SECRET": "quiet"},
)


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, memory_mib=513),
        replace(SPEC, secrets={"LIVEKIT_API_SECRET": "new"}),
        replace(SPEC, mark=replace(SPEC.mark, name="brighter-smile")),
        replace(SPEC, config_json=json.dumps(CONFIG | {"livekitURL": "ws://y"})),
    ],
)
def test_what_only_a_restart_changes_changes_the_spec_hash(other: UnitSpec) -> None:
    assert hash_spec(other, "image") != hash_spec(SPEC, "image")


def test_words_do_not_change_the_spec_hash_and_the_image_does() -> None:
    other = replace(SPEC, config_json=json.dumps(CONFIG | {"greeting": "Welcome"}))
    assert hash_spec(other, "image") == hash_spec(SPEC, "image")
    assert hash_spec(SPEC, "image 2") != hash_spec(SPEC, "image")
    assert "quiet" not in hash_spec(SPEC, "image")


def test_configuration_is_replaced_whole(tmp_path: Path) -> None:
    files = ClientFiles.of(tmp_path, "vc-0000000001")
    assert files.read_config() == ("", "")
    files.write_config(SPEC.config_json)
    first = files.config.stat().st_ino
    files.write_config(SPEC.config_json + " ")
    assert files.config.stat().st_ino != first
    assert files.read_config() == (config_hash(SPEC.config_json + " "), "a")
    assert [path.name for path in files.config_folder.iterdir()] == ["agent.json"]
    # The unit's user reads the file; others on the machine do not get as far.
    assert files.config.stat().st_mode & 0o777 == 0o644
    assert files.folder.stat().st_mode & 0o077 == 0
    assert ClientFiles.all(tmp_path) == ["vc-0000000001"]


def test_an_upgrade_of_the_operator_restarts_no_agent() -> None:
    """One of these changes: every running agent is replaced by the upgrade; CHANGELOG says so."""
    folder, models = Path("/state"), Path("/models")
    podman = PodmanRuntime(folder, Path("/podman.sock"), "voicefleet-agent:1", models)
    assert podman.spec_hash(SPEC) == "03793c06aeb42cf77e03a4966c132c69"
    assert ProcessRuntime(folder, models).spec_hash(SPEC) == "81a6dcb3737a40c30ffb8b32e16dc4b3"


async def test_a_stub_is_registered_at_once() -> None:
    runtime = StubRuntime()
    changed: list[str] = []
    watch = asyncio.create_task(runtime.watch(changed.append))
    await asyncio.sleep(0)
    await runtime.apply(SPEC)
    unit = (await runtime.list())[SPEC.client_id]
    assert (unit.running, unit.registered) == (True, True)
    assert unit.spec_hash == runtime.spec_hash(SPEC)
    await runtime.configure(SPEC.client_id, "{}")
    assert (await runtime.list())[SPEC.client_id].config_hash == runtime.config_hash("{}")
    await runtime.remove(SPEC.client_id)
    await runtime.remove(SPEC.client_id)
    assert await runtime.list() == {}
    assert changed == [SPEC.client_id] * 2
    with pytest.raises(Gone):
        await runtime.configure(SPEC.client_id, "{}")
    watch.cancel()


def test_the_factory_knows_its_classes(tmp_path: Path) -> None:
    kube = Kube(lambda: kopf.ConnectionInfo(server="http://nowhere"))
    options: Any = {
        "kube": kube, "state_dir": tmp_path, "podman_socket": tmp_path / "s", "image": "i",
    }  # fmt: skip
    classes = get_args(RuntimeClass)
    names = {type(make_runtime(name, **options)).__name__ for name in classes}
    assert names == {"KubernetesRuntime", "PodmanRuntime", "ProcessRuntime", "StubRuntime"}
    with pytest.raises(ValueError, match="docker"):
        make_runtime("docker", **options)
