"""The models' pod as `deploy/models` has it, and the agent gateway's in front of it."""

from __future__ import annotations

import ssl
import wave
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from support.helm import Objects, kustomized
from support.pod import Pod, gateway_secrets, pod_of
from support.speech import says, speak
from support.stack import until
from voicefleet_api import tokens
from voicefleet_infra.pki import Authority
from voicefleet_infra.probes import http_ok

pytestmark = pytest.mark.integration

KEY, CLIENT = "k" * 48, "vc-0000000001"
HOST = "voicefleet-models.voicefleet-system.svc"
WORDS = "I would like to see the dentist tomorrow morning."


class LanguageModel:
    """In place of the cluster's: says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], str | None]] = []
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        self.server = TestServer(app)

    async def _chat(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json(), request.headers.get("Authorization")))
        message = {"role": "assistant", "content": "We open at eight."}
        return web.json_response({"choices": [{"index": 0, "message": message}]})


@pytest.fixture
def manifests(tmp_path: Path) -> Objects:
    """As kustomize has them."""
    (tmp_path / "overlay").mkdir()
    return kustomized(tmp_path / "overlay", "gateway", "models")


@pytest.fixture
async def language() -> AsyncIterator[LanguageModel]:
    model = LanguageModel()
    async with model.server:
        yield model


@pytest.fixture
async def models(manifests: Objects, language: LanguageModel, tmp_path: Path) -> AsyncIterator[Pod]:
    """Running, with the language model that the ConfigMap names, but for where it is."""
    settings = yaml.safe_load(manifests["ConfigMap", "voicefleet-models"]["data"]["models.yaml"])
    settings["languageModel"]["provider"] = str(language.server.make_url("/"))
    settings["languageModel"]["keyFile"] = str(tmp_path / "models" / "language-model" / "key")
    with Pod(
        pod_of(manifests, "voicefleet-models"),
        {"voicefleet-clients-key": {"key": KEY}, "voicefleet-language-model": {"key": "hidden"}},
        tmp_path / "models",
        config_maps={"voicefleet-models": {"models.yaml": yaml.safe_dump(settings)}},
    ) as running:
        for container in running.spec["containers"]:
            [port] = container["ports"]
            for kind in ("startup", "liveness"):
                probe = container[f"{kind}Probe"]["httpGet"]
                assert (probe["port"], probe["path"]) == (port["name"], "/healthz")
            here = running.port(port["containerPort"])
            until(partial(http_ok, here, "/healthz"), f"{port} is not healthy", seconds=60)
        yield running


@pytest.fixture
def agent(manifests: Objects, models: Pod, tmp_path: Path) -> Iterator[httpx.AsyncClient]:
    """Who asks as a client's agent does: the gateway, with its token."""
    authority = Authority(tmp_path / "pki")
    secrets = gateway_secrets(authority, KEY)
    spec = pod_of(manifests, "voicefleet-agent-gateway")
    alone = {**spec, "containers": [c for c in spec["containers"] if c["name"] == "agent-gateway"]}
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    with Pod(alone, secrets, tmp_path / "gateway", services={HOST: models}) as gateway:
        port = gateway.port(8443)
        until(lambda: http_ok(port, "/healthz", trust), "the gateway is not healthy")
        yield httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}/services",
            verify=trust,
            headers={"Authorization": f"Bearer {tokens.mint(KEY, CLIENT)}"},
            timeout=60,
        )


async def test_an_agent_hears_speaks_and_asks_through_the_gateway(
    agent: httpx.AsyncClient, language: LanguageModel, tmp_path: Path
) -> None:
    with wave.open(str(speak(WORDS, tmp_path / "caller.wav"))) as caller:
        sound = caller.readframes(caller.getnframes())
    async with agent:
        said = {"Content-Type": "audio/l16;rate=16000"}
        heard = await agent.post("/stt/v1/transcriptions", content=sound, headers=said)
        assert heard.status_code == 200, heard.text
        assert says("".join(filter(str.isalpha, heard.json()["text"].lower())), WORDS)

        words = {"text": WORDS, "voice": "piper/en_US-joe-medium"}
        spoken = await agent.post("/tts/v1/speech", json=words)
        assert spoken.headers["Content-Type"].startswith("audio/l16")
        assert len(spoken.content) > len(sound) / 2

        question = {"messages": [{"role": "user", "content": "When do you open?"}]}
        answer = await agent.post("/llm/v1/chat/completions", json=question)
        assert answer.json()["choices"][0]["message"]["content"] == "We open at eight."
        [(asked, key)] = language.asked
        assert (asked["model"], key) == ("llama3:8b", "Bearer hidden")
        assert asked["messages"] == question["messages"]

        agent.headers.pop("Authorization")
        assert (await agent.post("/tts/v1/speech", json=words)).status_code == 401


def test_what_the_gateway_asks_for_is_what_the_service_has(manifests: Objects) -> None:
    service = manifests["Service", "voicefleet-models"]
    assert f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc" == HOST
    pod = pod_of(manifests, "voicefleet-models")
    ports = {p["name"]: p["containerPort"] for c in pod["containers"] for p in c["ports"]}
    wanted = {
        f"--service={each['targetPort']}=http://{HOST}:{each['port']}"
        for each in service["spec"]["ports"]
        if ports[each["targetPort"]] == each["port"]
    }
    assert len(wanted) == 3
    gateway, _ = pod_of(manifests, "voicefleet-agent-gateway")["containers"]
    assert wanted == {word for word in gateway["args"] if word.startswith("--service=")}


def test_only_the_way_out_has_the_language_models_key(manifests: Objects) -> None:
    pod = pod_of(manifests, "voicefleet-models")
    having = {
        container["name"]
        for container in pod["containers"]
        for mount in container["volumeMounts"]
        if mount["name"] == "language-model"
    }
    assert having == {"llm"}
    assert pod["automountServiceAccountToken"] is False
