"""The sandbox's carrier, which connects telephones with us, and the webhook that it asks."""

from __future__ import annotations

import json
import sys

from voicefleet_infra.pki import sip_authority
from voicefleet_infra.platform import Platform, write_private
from voicefleet_infra.probes import http_ok, sip_answers
from voicefleet_infra.service import Service, source
from voicefleet_infra.services import livekit_keys


def carrier(platform: Platform) -> Service:
    """The sandbox's SIP edge: where people's phones call, and where the owner's is reached."""
    host, port = platform.address, platform.port("carrier")
    authority = sip_authority(platform)
    certificate, private_key = authority.issue("carrier")
    return Service(
        "carrier",
        (
            sys.executable,
            "-m",
            "voicefleet_sandbox.carrier",
            f"--host={host}",
            f"--port={port}",
            f"--sandbox={platform.sandbox_url}",
            f"--switch={host}:{platform.port('switch')}",
            f"--certificate={certificate}",
            f"--private-key={private_key}",
            f"--ca={authority.certificate}",
        ),
        f"sip:{host}:{port}",
        lambda: sip_answers(host, port),
        inputs=(
            certificate,
            private_key,
            authority.certificate,
            *source("voicefleet_sandbox"),
        ),
        ports=("carrier",),
    )


def switch(platform: Platform) -> Service:
    """The sandbox's switch: it keeps callers of numbers with instructions."""
    host, port = platform.address, platform.port("switch")
    command = (sys.executable, "-m", "voicefleet_sandbox.carrier.switch", f"--host={host}")
    edge = f"--edge={host}:{platform.port('carrier')}"
    return Service(
        "switch",
        (*command, f"--port={port}", edge, f"--sandbox={platform.sandbox_url}"),
        f"sip:{host}:{port}",
        lambda: sip_answers(host, port),
        inputs=source("voicefleet_sandbox"),
        ports=("switch",),
    )


def twilio_account(platform: Platform) -> tuple[str, str]:
    """SID and auth token of the account at the sandbox."""
    sid = platform.secret("twilio-account", make=f"AC{platform.secret('twilio-seed')[:32]}")
    return sid, platform.secret("twilio-token")


def voice(platform: Platform) -> Service:
    """The voice webhook, which the carrier asks when a leg to us has ended."""
    port = platform.port("voice")
    sid, token = twilio_account(platform)
    key, secret = livekit_keys(platform)
    livekit = f"http://127.0.0.1:{platform.port('livekit')}"
    settings = {
        "url": platform.voice_url,
        "accounts": {sid: token},
        "livekit": {"url": livekit, "apiKey": key, "apiSecret": secret},
    }
    file = write_private(platform.path("voice.json"), json.dumps(settings))
    command = (sys.executable, "-m", "voicefleet_portal.voice", f"--port={port}")
    return Service(
        "voice",
        (*command, f"--settings={file}"),
        platform.voice_url,
        lambda: http_ok(port, "/healthz"),
        inputs=(file, *source("voicefleet_portal"), *source("voicefleet_api")),
        ports=("voice",),
    )
