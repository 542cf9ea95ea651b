"""The platform's overflow agent: takes a message where a client's own agent does not join a call.

One for all clients. It works with LiveKit, the gateways and the portal alone, so neither the
cluster nor the runtime that clients' agents run on has to be there.
"""

from __future__ import annotations

import json
import sys

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import http_ok
from voicefleet_infra.service import Service, source
from voicefleet_infra.services import livekit_keys, models_folder, models_key

AGENT_NAME = "voicefleet-overflow"
"""In LiveKit, and in the Fleet's `spec.livekit.overflowAgent`."""
_DRAIN_SECONDS = 5
_SECRETS = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


def overflow(platform: Platform) -> Service:
    """The same program as clients' agents, with a configuration that is no client's."""
    port, key = platform.port("overflow"), models_key(platform)
    config = AgentConfig(
        client_id="overflow",
        agent_name=AGENT_NAME,
        livekit_url=f"ws://127.0.0.1:{platform.port('livekit')}",
        business_name="Overflow",
        # Each call's own stands in its dispatch.
        greeting="What would you like me to pass on?",
        overflow=True,
    )
    file = platform.folder("overflow") / "agent.json"
    write_private(file, json.dumps(config.to_json()))
    data, secrets = platform.folder("overflow", "data"), platform.folder("overflow", "secrets")
    for name, value in zip(_SECRETS, livekit_keys(platform), strict=True):
        write_private(secrets / name, value)
    return Service(
        "overflow",
        (sys.executable, "-m", "voicefleet_agent"),
        f"http://127.0.0.1:{port}",
        lambda: http_ok(port, "/"),
        environment={
            "VOICEFLEET_CONFIG": str(file),
            "VOICEFLEET_DATA": str(data),
            "VOICEFLEET_MODELS": str(models_folder(platform)),
            "VOICEFLEET_MODELS_KEY": str(key),
            "VOICEFLEET_HEALTH_HOST": "127.0.0.1",
            "VOICEFLEET_HEALTH_PORT": str(port),
            "VOICEFLEET_DRAIN_SECONDS": str(_DRAIN_SECONDS),
            "VOICEFLEET_SECRETS": str(secrets),
        },
        inputs=(
            file,
            key,
            *(secrets / name for name in _SECRETS),
            *source("voicefleet_agent"),
            *source("voicefleet_dialogue"),
            *source("voicefleet_api"),
        ),
        data=(data,),
        shared=(models_folder(platform),),
        stop_seconds=_DRAIN_SECONDS + 10,
        ports=("overflow",),
    )
