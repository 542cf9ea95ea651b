"""A real CalDAV server, and the person who uses the business's calendar with another program."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from support.ports import free_port


class Radicale:
    """Serves on a free port; its methods are that person's."""

    username, password = "practice", "s3cret: ü"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = ""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "users").write_text(f"{self.username}:{self.password}\n")

    def new_calendar(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}/{self.username}/{uuid.uuid4().hex}/"
        self.request("MKCALENDAR")

    def start(self) -> None:
        options = {
            "--server-hosts": f"127.0.0.1:{self.port}",
            "--auth-type": "htpasswd",
            "--auth-htpasswd-filename": str(self._folder / "users"),
            "--auth-htpasswd-encryption": "plain",
            "--auth-delay": "0",
            "--storage-filesystem-folder": str(self._folder / "collections"),
            "--logging-level": "error",
        }
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "radicale",
                "--config",
                "",
                *(w for o in options.items() for w in o),
            ]
        )
        deadline = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                assert self._process.poll() is None
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def request(self, method: str, name: str = "", body: str = "", **headers: str) -> str:
        secret = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - loopback, ours
            self.url + name,
            body.encode() or None,
            {"Authorization": f"Basic {secret}", **headers},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback, ours
            return str(answer.read().decode())

    def put(self, name: str, *lines: str) -> None:
        """A person's event, or another person's version of ours."""
        event = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//person//EN", "BEGIN:VEVENT"]
        event += [f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT", "END:VCALENDAR"]
        body = "\r\n".join([*event, ""])
        self.request("PUT", f"{name}.ics", body, **{"Content-Type": "text/calendar"})

    def read(self, name: str) -> str | None:
        try:
            return self.request("GET", f"{name}.ics")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
