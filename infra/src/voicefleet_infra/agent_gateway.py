"""The agent gateway: clients' agents reach LiveKit's API through it, and have none of its keys."""

from __future__ import annotations

import sys

from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import http_ok
from voicefleet_infra.service import Service, source
from voicefleet_infra.services import livekit_keys, models_folder, models_key


def address(platform: Platform) -> str:
    """Where pods reach it."""
    return f"ws://{platform.address}:{platform.port('agent-gateway')}"


def agent_gateway(platform: Platform) -> Service:
    """On loopback for us, on the machine's address for pods, as LiveKit is."""
    port, livekit = platform.port("agent-gateway"), platform.port("livekit")
    key, _ = livekit_keys(platform)
    secret, clients = platform.path("secrets", "livekit-secret"), models_key(platform)
    hosts = sorted({"127.0.0.1", platform.address})
    return Service(
        "agent-gateway",
        (
            sys.executable,
            "-m",
            "voicefleet_gateway",
            *(f"--host={host}" for host in hosts),
            f"--port={port}",
            f"--livekit=ws://127.0.0.1:{livekit}",
            f"--room-url=ws://{platform.address}:{livekit}",
            f"--livekit-key={key}",
            f"--livekit-secret-file={secret}",
            f"--secret-file={clients}",
            f"--services={models_folder(platform)}",
        ),
        address(platform),
        lambda: http_ok(port, "/healthz"),
        inputs=(secret, clients, *source("voicefleet_gateway"), *source("voicefleet_api")),
        ports=("agent-gateway",),
        shared=(models_folder(platform),),
    )
