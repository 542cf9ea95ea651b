"""A real livekit-server for a test."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from support.ports import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "voicefleet"


def own_address() -> str:
    """This machine's address as a pod sees it; connecting UDP sends nothing."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


@dataclass
class LiveKit:
    """livekit-server on free ports; it can be stopped and started again."""

    folder: Path
    key: str = "testkey"
    secret: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://{own_address()}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        return {"LIVEKIT_API_KEY": self.key, "LIVEKIT_API_SECRET": self.secret}

    def start(self) -> None:
        config = self.folder / "livekit.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "port": self.port,
                    "keys": {self.key: self.secret},
                    "rtc": {
                        "tcp_port": free_port(),
                        "udp_port": free_port(),
                        "use_external_ip": False,
                        "node_ip": own_address(),
                    },
                }
            )
        )
        binary = shutil.which("livekit-server") or str(CACHE / "bin/livekit-server")
        with (self.folder / "livekit.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary, "--config", str(config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert time.monotonic() < deadline, "livekit-server does not listen"
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
