"""Whether a process answers yet: asked over the protocol that it is there for."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any


def tcp_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def http_ok(port: int, path: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a GET on loopback is answered with 2xx."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def sip_answers(host: str, port: int) -> bool:
    """Whether an OPTIONS request (RFC 3261, section 11) is answered at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect((host, port))
            own = "{}:{}".format(*probe.getsockname())
            probe.send(
                f"OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;"
                f"branch=z9hG4bKready\r\nMax-Forwards: 70\r\nFrom: <sip:up@{own}>;tag=up\r\n"
                f"To: <sip:{host}:{port}>\r\nCall-ID: ready-{own}\r\nCSeq: 1 OPTIONS\r\n"
                "Content-Length: 0\r\n\r\n".encode()
            )
            return probe.recv(4096).startswith(b"SIP/2.0")
        except OSError:
            return False


def unix_open(file: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(file)) == 0


def gateway_state(file: Path) -> dict[str, Any]:
    """What a model gateway says of itself; empty where it says nothing."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(2)
        connection = http.client.HTTPConnection("gateway")
        connection.sock = connected
        try:
            connected.connect(str(file))
            connection.request("GET", "/healthz")
            state: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return state


def clients_looked_at(metrics_port: int) -> int:
    """How often the operator has reconciled a client since it was started."""
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=2)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    found = re.findall(
        r'^voicefleet_reconciliations_total\{kind="VoiceClient".*\} (\S+)$', text, re.MULTILINE
    )
    return int(sum(map(float, found)))
