"""A pod as a manifest has it, its containers as processes of this machine.

What a kubelet would do is done here: Secrets, volumes and the account's token become folders, and
the paths that the manifest mounts them at are replaced by theirs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from support.helm import Object, Objects
from support.ports import free_port
from voicefleet_infra.images import RECIPES
from voicefleet_infra.pki import Authority

Texts = dict[str, dict[str, str]]
"""By an object's name and a key."""


def pod_of(manifests: Objects, name: str) -> Object:
    """A Deployment's."""
    spec: Object = manifests["Deployment", name]["spec"]["template"]["spec"]
    return spec


def gateway_secrets(authority: Authority, key: str) -> Texts:
    """The agent gateway's; `key` is the one that clients' tokens are signed with."""
    certificate, private = authority.issue("gateway")
    return {
        "livekit": {"apiKey": "voicefleet", "apiSecret": "s" * 48},
        "voicefleet-clients-key": {"key": key},
        "voicefleet-agent-gateway-tls": {
            "tls.crt": certificate.read_text(),
            "tls.key": private.read_text(),
        },
    }


class Pod:
    """`with Pod(spec, secrets, folder) as pod` runs the containers until the block ends."""

    def __init__(
        self,
        spec: Object,
        secrets: Texts,
        folder: Path,
        *,
        config_maps: Texts | None = None,
        env: dict[str, str] | None = None,
        services: dict[str, Pod] | None = None,
    ) -> None:
        """`secrets` and `config_maps` by name; `env` is what a kubelet sets, and `services` are the
        pods behind names in the cluster."""
        self.spec = spec
        self._folder, self._env, self._secrets = folder, env or {}, secrets
        self._services = services or {}
        self._ports: dict[str, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir()
        for volume in spec["volumes"]:
            (folder / volume["name"]).mkdir()
            for path, text in self._files(volume, config_maps or {}).items():
                (folder / volume["name"] / path).write_text(text)

    def __enter__(self) -> Self:
        for container in self.spec["containers"]:
            self._processes[container["name"]] = self._start(container)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        try:
            for process in self._processes.values():
                # Else a kubelet kills it.
                assert process.wait(self.spec["terminationGracePeriodSeconds"]) == 0
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()

    def container(self, name: str) -> Object:
        """As the manifest has it."""
        (found,) = [each for each in self.spec["containers"] if each["name"] == name]
        return found

    def port(self, number: int) -> int:
        """Where one of the pod's ports is."""
        return int(self._ports.setdefault(str(number), str(free_port())))

    def kill(self, name: str) -> None:
        """A container, without a goodbye."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def healthy(self, name: str) -> bool:
        """What a container's `exec` probe says."""
        container = self.container(name)
        program, *words = container["livenessProbe"]["exec"]["command"]
        assert program == "python3.11"
        here = [self._here(container, word) for word in words]
        return not subprocess.run([sys.executable, *here], capture_output=True).returncode

    def log(self, name: str) -> str:
        """What a container has said."""
        return (self._folder / f"{name}.log").read_text()

    def _files(self, volume: Object, config_maps: Texts) -> dict[str, str]:
        if source := volume.get("secret"):
            data = self._secrets[source["secretName"]]
        elif source := volume.get("configMap"):
            data = config_maps[source["name"]]
        else:
            return {}
        items = source.get("items", [{"key": key, "path": key} for key in data])
        return {item["path"]: data[item["key"]] for item in items}

    def _start(self, container: Object) -> subprocess.Popen[bytes]:
        room = container["image"].rpartition("/")[2].partition(":")[0].removeprefix("voicefleet-")
        env = dict(self._variables(container))
        words = [
            self._here(container, re.sub(r"\$\((\w+)\)", lambda name: env[name[1]], word))
            for word in container["args"]
        ]
        with (self._folder / f"{container['name']}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", RECIPES[room].module, *words],
                stdout=log,
                stderr=log,
                env={**os.environ, **self._env, **env},
                cwd=self._folder,
            )

    def _variables(self, container: Object) -> Iterator[tuple[str, str]]:
        for each in container.get("env", []):
            if "value" in each:
                yield each["name"], each["value"]
            else:
                ref = each["valueFrom"]["secretKeyRef"]
                yield each["name"], self._secrets[ref["name"]][ref["key"]]

    def _here(self, container: Object, word: str) -> str:
        """A path in a container's mounts as it is here, a port as it is here."""
        if number := re.fullmatch(r"--port=(\d+)", word):
            return f"--port={self.port(int(number[1]))}"
        word = re.sub(r"http://([\w.-]+\.svc):(\d+)", self._elsewhere, word)
        paths = {
            each["mountPath"]: self._folder / each["name"] for each in container["volumeMounts"]
        }
        mounted = "|".join(re.escape(path) for path in paths)
        word = re.sub(mounted, lambda path: str(paths[path[0]]), word)
        strange = re.findall(r"=(/(?:etc|run|var|data)/[\w./-]+)", word)
        assert not strange, f"{container['name']} has no {strange}"
        return word

    def _elsewhere(self, address: re.Match[str]) -> str:
        """Another pod's port; one that nobody listens on, where there is no such pod."""
        host, port = address.groups()
        pod = self._services.get(host)
        return f"http://127.0.0.1:{pod.port(int(port)) if pod else free_port()}"
