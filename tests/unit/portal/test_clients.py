"""What the portal makes of a VoiceClient."""

from __future__ import annotations

import pytest

from support.manifests import voice_client
from voicefleet_portal.clients import Client

pytestmark = pytest.mark.unit


def test_a_client_with_nothing_but_what_it_must_have_is_shown() -> None:
    manifest = voice_client("pipeworks") | {"status": {"clientID": "vc-1"}}
    manifest["spec"]["business"].pop("timeZone", None)
    client = Client.of(manifest)
    assert client is not None
    assert (client.name, client.time_zone, client.answering) == ("pipeworks", "UTC", False)
