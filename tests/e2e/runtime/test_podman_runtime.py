"""Clients as pods on a real Podman, registered with a real LiveKit, heard by a real caller."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.gateways import Gateways
from support.speech import says
from voicefleet_api import tokens
from voicefleet_operator.drivers.errors import Ambiguous, Rejected
from voicefleet_operator.drivers.runtime.podman import PodmanRuntime
from voicefleet_operator.planning.observed import Slot, UnitSpec, agent_name

pytestmark = pytest.mark.e2e


def podman(*arguments: str) -> str:
    return subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def leftovers(client_id: str) -> list[str]:
    """Everything on the machine that bears the client's name."""
    name = f"name=^vf-{client_id}"
    return [
        *podman("pod", "ps", "-q", "--filter", name).split(),
        *podman("ps", "-aq", "--filter", name).split(),
        *podman("network", "ls", "-q", "--filter", name).split(),
        *podman("volume", "ls", "-q", "--filter", name).split(),
        *[
            s
            for s in podman("secret", "ls", "--format", "{{.Name}}").split()
            if s.startswith(f"vf-{client_id}")
        ],
    ]


def python(unit_id: str, program: str) -> None:
    podman("exec", f"vf-{unit_id}-agent", "/usr/bin/python3.11", "-c", program)


def volume_of(client_id: str) -> str:
    return podman("volume", "ls", "-q", "--filter", f"name=vf-{client_id}")


def worker_pid(client_id: str) -> int:
    return int(podman("inspect", "--format", "{{.State.Pid}}", f"vf-{client_id}-agent"))


def registered(unit: Any) -> bool:
    return bool(unit.registered)


async def test_a_client_answers_in_its_own_words_and_leaves_nothing(
    runtime: PodmanRuntime, make_spec: Any, until: Any, call: Any, tmp_path: Path
) -> None:
    spec = make_spec()
    await runtime.apply(spec)
    print(f"registered after {await until(runtime, spec.client_id, registered, 90):.1f} s")

    unit = (await runtime.list())[spec.client_id]
    assert unit.spec_hash == runtime.spec_hash(spec)
    assert unit.config_hash == runtime.config_hash(spec.config_json)
    agent_name = json.loads(spec.config_json)["agentName"]

    first = await call(agent_name)
    print(f"first sound {first.first_sound} s after dispatch")
    assert says(first.words, "calling Bright Smile")
    assert first.first_sound < 3

    # New words, same process.
    pid = worker_pid(spec.client_id)
    changed = spec.config_json.replace("calling Bright Smile", "calling Purple Elephant")
    await runtime.configure(spec.client_id, changed)
    unit = (await runtime.list())[spec.client_id]
    assert unit.config_hash == runtime.config_hash(changed)
    # At once, so that the calls wait for words which are only now being spoken.
    second, third = await asyncio.gather(call(agent_name, 15), call(agent_name, 15))
    for heard in (second, third):
        assert says(heard.words, "calling Purple Elephant")
        assert not says(heard.words, "calling Bright Smile")
    assert worker_pid(spec.client_id) == pid

    await runtime.remove(spec.client_id)
    assert leftovers(spec.client_id) == []
    assert not (tmp_path / "state/podman" / spec.client_id).exists()
    assert spec.client_id not in await runtime.list()
    await runtime.remove(spec.client_id)


async def test_two_versions_share_a_volume_and_nothing_else(
    runtime: PodmanRuntime, make_spec: Any, until: Any, call: Any
) -> None:
    """The new one starts beside the old, which ends a call and goes; and the other way round."""
    blue = make_spec()
    config = json.loads(blue.config_json)
    config |= {"agentName": agent_name(blue.client_id, Slot.GREEN), "greeting": "Purple Elephant."}
    green = replace(blue, slot=Slot.GREEN, config_json=json.dumps(config), memory_mib=900)
    await asyncio.gather(runtime.apply(blue), runtime.apply(green))
    for spec in (blue, green):
        await until(runtime, spec.unit_id, registered, 90)
    units = await runtime.list()
    assert units[green.unit_id].client_id == units[blue.unit_id].client_id == blue.client_id
    assert units[green.unit_id].spec_hash == runtime.spec_hash(green) != runtime.spec_hash(blue)

    under_way = asyncio.create_task(call(agent_name(blue.client_id, Slot.BLUE), 10))
    await until(runtime, blue.unit_id, lambda u: u.health and u.health.active_calls == 1, 60)
    heard = await call(agent_name(blue.client_id, Slot.GREEN))
    assert says(heard.words, "Purple Elephant")
    await until(runtime, green.unit_id, lambda u: u.health and u.health.ended_calls == 1, 60)
    assert says((await under_way).words, "calling Bright Smile")
    seen = (await runtime.list())[green.unit_id].health
    assert (seen.active_calls, seen.failed_calls) == (0, 0)

    python(blue.unit_id, "open('/data/of-both', 'w')")
    await runtime.remove(blue.unit_id)
    assert leftovers(blue.client_id) == [volume_of(blue.client_id)]
    assert (await runtime.list())[green.unit_id].registered
    python(green.unit_id, "open('/data/of-both')")
    await runtime.apply(blue)
    await runtime.remove(green.unit_id)
    assert leftovers(green.unit_id) == []
    python(blue.unit_id, "open('/data/of-both')")
    await runtime.remove(blue.unit_id)
    assert leftovers(blue.client_id) == []


async def test_a_killed_worker_is_seen_and_comes_back(
    runtime: PodmanRuntime, make_spec: Any, until: Any
) -> None:
    spec = make_spec()
    await runtime.apply(spec)
    changes: asyncio.Queue[str] = asyncio.Queue()
    watch = asyncio.create_task(runtime.watch(changes.put_nowait))
    await until(runtime, spec.client_id, registered, 90)
    assert await asyncio.wait_for(changes.get(), 30) == spec.client_id

    os.kill(worker_pid(spec.client_id), 9)
    begun = time.monotonic()
    assert await asyncio.wait_for(changes.get(), 5) == spec.client_id
    assert not (await runtime.list())[spec.client_id].registered
    print(f"seen after {time.monotonic() - begun:.1f} s")
    assert await asyncio.wait_for(changes.get(), 30) == spec.client_id
    assert (await runtime.list())[spec.client_id].registered
    print(f"back after {time.monotonic() - begun:.1f} s")
    watch.cancel()


async def test_a_unit_whose_monitor_was_killed_too_is_made_anew(
    runtime: PodmanRuntime, make_spec: Any, until: Any
) -> None:
    """As when a machine crashes, and keeps what it has under /run."""
    spec = make_spec()
    await runtime.apply(spec)
    await until(runtime, spec.client_id, registered, 90)
    first = psutil.Process(worker_pid(spec.client_id))
    monitor = first.parent()
    assert monitor is not None
    assert monitor.name() == "conmon"
    monitor.kill()
    first.kill()

    await until(runtime, spec.client_id, lambda unit: not unit.running, 60)
    assert (await runtime.list())[spec.client_id].spec_hash == ""
    await runtime.apply(spec)
    await until(runtime, spec.client_id, registered, 90)


async def test_a_restart_of_livekit_is_seen_and_survived(
    runtime: PodmanRuntime, make_spec: Any, until: Any, livekit: Any
) -> None:
    spec = make_spec()
    await runtime.apply(spec)
    await until(runtime, spec.client_id, registered, 90)
    pid = worker_pid(spec.client_id)
    livekit.stop()
    try:
        await until(runtime, spec.client_id, lambda unit: not unit.registered, 60)
        assert (await runtime.list())[spec.client_id].running
    finally:
        livekit.start()
    await until(runtime, spec.client_id, registered, 90)
    assert worker_pid(spec.client_id) == pid


async def _apply_cut_short(
    runtime: PodmanRuntime, spec: UnitSpec, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Apply with `allowed` changing requests; whether that was enough."""
    client = type(runtime._podman)
    send = client._send
    sent = 0

    def limited(self: Any, method: str, path: str, **request: Any) -> Any:
        nonlocal sent
        if method != "GET":
            if sent == allowed:
                raise Ambiguous("Killed", "here")
            sent += 1
        return send(self, method, path, **request)

    with monkeypatch.context() as patch:
        patch.setattr(client, "_send", limited)
        try:
            await runtime.apply(spec)
        except Ambiguous:
            return False
    return True


async def test_applying_again_converges_from_every_half_made_state(
    runtime: PodmanRuntime, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short after each request to Podman in turn, as a kill -9 would."""
    spec = make_spec()
    allowed = 0
    while not await _apply_cut_short(runtime, spec, allowed, monkeypatch):
        unit = (await runtime.list())[spec.client_id]
        # Never taken for whole, always visible, so that it is applied again or removed.
        assert unit.spec_hash == ""
        if allowed % 2:
            await runtime.apply(spec)
            unit = (await runtime.list())[spec.client_id]
            assert unit.running
            assert unit.spec_hash == runtime.spec_hash(spec)
        await runtime.remove(spec.client_id)
        assert leftovers(spec.client_id) == []
        allowed += 1
    assert allowed > 8


async def test_a_new_spec_replaces_the_pod_and_keeps_the_volume(
    runtime: PodmanRuntime, make_spec: Any
) -> None:
    spec = make_spec()
    await runtime.apply(spec)
    pid = worker_pid(spec.client_id)
    await runtime.apply(spec)
    assert worker_pid(spec.client_id) == pid
    volume = podman("volume", "inspect", "--format", "{{.CreatedAt}}", f"vf-{spec.client_id}")
    larger = replace(spec, memory_mib=768)
    await runtime.apply(larger)
    assert (await runtime.list())[spec.client_id].spec_hash == runtime.spec_hash(larger)
    assert worker_pid(spec.client_id) != pid
    assert volume == podman(
        "volume", "inspect", "--format", "{{.CreatedAt}}", f"vf-{spec.client_id}"
    )
    # Stopped, as by a reboot, after which rootless Podman 4 starts a pod without its ports.
    pod = "pod", "inspect", "--format", "{{.ID}}", f"vf-{spec.client_id}"
    stopped = podman(*pod)
    podman("pod", "stop", "-t", "3", f"vf-{spec.client_id}")
    assert (await runtime.list())[spec.client_id].spec_hash == ""
    await runtime.apply(larger)
    assert (await runtime.list())[spec.client_id].running
    assert podman(*pod) != stopped


async def test_a_pod_is_confined(
    runtime: PodmanRuntime, make_spec: Any, until: Any, livekit: Any
) -> None:
    one, other = make_spec(), make_spec()
    await asyncio.gather(runtime.apply(one), runtime.apply(other))
    await until(runtime, one.client_id, registered, 90)
    await until(runtime, other.client_id, registered, 90)

    names = podman("pod", "ps", "--format", "{{.Name}}").split()
    assert {f"vf-{one.client_id}", f"vf-{other.client_id}"} <= set(names)

    def python(client_id: str, program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", "exec", f"vf-{client_id}-agent", "/usr/bin/python3.11", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
        )

    # Its own health page answers on its own address; the neighbour's does not.
    address = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM);"
        "s.connect(('198.51.100.1', 9)); print(s.getsockname()[0])"
    )
    own = python(one.client_id, address).stdout.strip()
    neighbour = python(other.client_id, address).stdout.strip()
    connect = "import socket; socket.create_connection(('{}', 8081), 3)"
    assert python(one.client_id, connect.format(own)).returncode == 0
    assert python(one.client_id, connect.format(neighbour)).returncode != 0

    status = python(one.client_id, "print(open('/proc/self/status').read())").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["CapEff"] == facts["CapBnd"] == "0000000000000000"
    assert facts["NoNewPrivs"] == "1"
    assert facts["Uid"].split() == ["10001"] * 4
    assert python(one.client_id, "open('/opt/x', 'w')").returncode != 0
    assert python(one.client_id, "open('/config/x', 'w')").returncode != 0
    assert python(one.client_id, "open('/data/x', 'w')").returncode == 0

    # Secrets are in no command line, no label, no inspection and no log.
    inspected = podman("inspect", f"vf-{one.client_id}-agent") + podman(
        "pod", "inspect", f"vf-{one.client_id}"
    )
    logs = podman("logs", f"vf-{one.client_id}-agent")
    pid = worker_pid(one.client_id)
    environment = await asyncio.to_thread(Path(f"/proc/{pid}/environ").read_text)
    command = await asyncio.to_thread(Path(f"/proc/{pid}/cmdline").read_text)
    assert livekit.secret not in inspected + logs + environment + command
    assert str(1024 << 20) in inspected


_ASK = """
import http.client, os, pathlib, socket, sys
folder = pathlib.Path(os.environ["VOICEFLEET_MODELS"])
own = pathlib.Path("/secrets/MODELS_TOKEN").read_text()
for token in (own, "", own[:-3] + "abc"):
    connection = http.client.HTTPConnection("tts")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(folder / "tts.sock"))
    head = {"Authorization": f"Bearer {token}"}
    connection.request("POST", "/v1/speech", '{"text": "Hello there."}', head)
    print(connection.getresponse().status)
try:
    (folder / "stt.sock").touch()
except OSError as error:
    print(error.strerror)
"""


async def test_a_pod_reaches_the_models_with_its_own_token_and_nothing_else_there(
    podman_socket: Path, agent_image: str, tmp_path: Path, make_spec: Any, until: Any
) -> None:
    models = tmp_path / "models"
    models.mkdir(mode=0o755)
    gateways = Gateways(models, "tts")
    driver = PodmanRuntime(tmp_path / "state", podman_socket, agent_image, models)
    spec = make_spec()
    token = tokens.mint(gateways.key, spec.client_id)
    spec = replace(spec, secrets={**spec.secrets, "MODELS_TOKEN": token})
    command = ("exec", f"vf-{spec.client_id}-agent", "/usr/bin/python3.11", "-c", _ASK)
    try:
        await driver.apply(spec)
        await until(driver, spec.client_id, lambda unit: unit.running, 90)
        # A gateway that is restarted makes a new socket: the pod finds that one too.
        for _ in range(2):
            with gateways:
                shown = await asyncio.to_thread(podman, *command)
            assert shown.split("\n")[:4] == ["200", "401", "401", "Read-only file system"]
    finally:
        await driver.remove(spec.client_id)


async def test_a_missing_image_is_a_definite_no(
    runtime: PodmanRuntime, podman_socket: Path, make_spec: Any, tmp_path: Path
) -> None:
    spec = make_spec()
    driver = PodmanRuntime(tmp_path / "state", podman_socket, "localhost/voicefleet-agent:none")
    with pytest.raises(Rejected) as caught:
        await driver.apply(spec)
    assert caught.value.reason == "ImageMissing"
    await runtime.remove(spec.client_id)
    assert leftovers(spec.client_id) == []
