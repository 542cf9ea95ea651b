from __future__ import annotations

import base64
from typing import Any

import pytest

from voicefleet_api.names import OWN_VOICE
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec
from voicefleet_operator.kube import KubeError
from voicefleet_operator.planning.desired import Unmet
from voicefleet_operator.reconcilers.secrets import client_secrets

pytestmark = pytest.mark.unit

SPEC = ReceptionistSpec.model_validate(
    {"calendar": {"caldav": {"url": "https://dav.example/cal/", "secretRef": {"name": "cal"}}}}
)
CLIENT = VoiceClientSpec.model_validate({"business": {"name": "Shop"}, "plan": "Pro"})
WITH_PROVIDERS = VoiceClientSpec.model_validate(
    {
        **CLIENT.to_json(),
        "agent": {
            "pipeline": {
                "stt": [
                    {"provider": "Local"},
                    {"provider": "Deepgram", "secretRef": {"name": "cal"}},
                ]
            }
        },
    }
)


class Cluster:
    def __init__(self, answer: dict[str, str] | KubeError, **binary: bytes) -> None:
        self.answer, self.binary = answer, binary

    async def get(self, _: object, name: str, namespace: str) -> dict[str, Any]:
        assert (name, namespace) == ("cal", "shop")
        if isinstance(self.answer, KubeError):
            raise self.answer
        data = {**{k: v.encode() for k, v in self.answer.items()}, **self.binary}
        return {"data": {k: base64.b64encode(v).decode() for k, v in data.items()}}


async def secrets(answer: dict[str, str] | KubeError) -> dict[str, str]:
    return await client_secrets(Cluster(answer), "shop", CLIENT, SPEC)  # type: ignore[arg-type]


async def test_the_credentials_get_the_names_that_the_agent_reads() -> None:
    found = await secrets({"username": "practice\n", "password": "quiet", "other": "x"})
    assert found == {"CALDAV_USERNAME": "practice", "CALDAV_PASSWORD": "quiet"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (KubeError(404, "not found"), "there is no Secret 'cal' in namespace shop"),
        (KubeError(403, "forbidden"), "bind the ClusterRole voicefleet-client-secrets"),
        ({"username": "practice"}, "lacks password"),
        ({}, "lacks username and password"),
    ],
)
async def test_what_is_wrong_is_said_with_its_field(
    answer: dict[str, str] | KubeError, words: str
) -> None:
    with pytest.raises(Unmet, match=words) as unmet:
        await secrets(answer)
    assert "spec.calendar.caldav.secretRef" in unmet.value.message
    assert not unmet.value.stalled


async def test_trouble_with_the_api_server_is_no_fault_of_the_manifest() -> None:
    with pytest.raises(KubeError):
        await secrets(KubeError(503, "later"))


async def test_without_caldav_nothing_is_read() -> None:
    cluster: Any = Cluster({})
    assert await client_secrets(cluster, "elsewhere", CLIENT, None) == {}
    assert await client_secrets(cluster, "elsewhere", CLIENT, ReceptionistSpec()) == {}


async def test_a_providers_key_is_carried_and_its_field_named() -> None:
    cluster: Any = Cluster({"apiKey": "quiet\n"})
    found = await client_secrets(cluster, "shop", WITH_PROVIDERS, None)
    assert found == {"PROVIDER_cal": "quiet"}
    cluster = Cluster({})
    with pytest.raises(Unmet, match=r"spec.agent.pipeline.stt\[1\].secretRef: .* lacks apiKey"):
        await client_secrets(cluster, "shop", WITH_PROVIDERS, None)


async def test_a_recording_beside_a_key_is_not_taken_for_text() -> None:
    cluster: Any = Cluster({"apiKey": "quiet"}, sample=b"\xff\xfb\x90\x00")
    assert await client_secrets(cluster, "shop", WITH_PROVIDERS, None) == {"PROVIDER_cal": "quiet"}
    cluster = Cluster({}, apiKey=b"\xff\xfb")
    with pytest.raises(Unmet, match="lacks apiKey"):
        await client_secrets(cluster, "shop", WITH_PROVIDERS, None)


async def test_no_secret_of_a_clients_stands_for_the_fleets_key() -> None:
    voice = {"provider": "ElevenLabs", "url": "https://elsewhere", "secretRef": {"name": OWN_VOICE}}
    spec = VoiceClientSpec.model_validate(
        {**CLIENT.to_json(), "agent": {"pipeline": {"tts": [voice]}}}
    )
    cluster: Any = Cluster({"apiKey": "quiet"})
    with pytest.raises(Unmet, match=r"tts\[0\].secretRef.name: .*give the Secret another name"):
        await client_secrets(cluster, "shop", spec, None)
