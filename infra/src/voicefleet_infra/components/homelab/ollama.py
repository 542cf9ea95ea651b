"""Ollama: a language model for all clients of the machine, pulled once."""

from __future__ import annotations

import pulumi

from voicefleet_infra.components.homelab.programs import Lab
from voicefleet_infra.components.podman import Container, Mount, Network, Pod, Port, Volume
from voicefleet_infra.images.layers import PREFIX

_PORT = 11434
_MODELS = "/models"


class Ollama(pulumi.ComponentResource):
    """On a bridge of its own: it needs the internet for its model, and nothing of the lab's."""

    url: str
    """OpenAI-compatible, on loopback; `provider` of the gateway's `languageModel`."""
    pod: Pod

    def __init__(self, lab: Lab, model: str, opts: pulumi.ResourceOptions) -> None:
        """`model` as Ollama's library names it ("llama3.2:3b")."""
        super().__init__("voicefleet:homelab:Ollama", "ollama", None, opts)
        own = pulumi.ResourceOptions(parent=self)
        port = lab.platform.port("ollama")
        self.url = f"http://127.0.0.1:{port}/v1"
        network = Network(f"{lab.name}-ollama", lab.socket, own)
        volume = Volume(f"{lab.name}-ollama", lab.socket, own)
        program = f"{PREFIX}/bin/ollama"
        server = Container(
            "server",
            lab.image,
            [program, "serve"],
            lab.limit("ollama"),
            {"OLLAMA_HOST": f"0.0.0.0:{_PORT}", "OLLAMA_MODELS": _MODELS, "HOME": "/tmp"},  # noqa: S108
            mounts=[Mount(volume.name, _MODELS)],
        )
        # Asks the server, which keeps it in the volume; tried again until it is there.
        pull = Container(
            "pull",
            lab.image,
            [program, "pull", model],
            64,
            {"OLLAMA_HOST": f"127.0.0.1:{_PORT}", "HOME": "/tmp"},  # noqa: S108
            once=True,
        )
        self.pod = Pod(
            f"{lab.name}-ollama",
            [server, pull],
            lab.socket,
            own,
            network=network.name,
            ports=[Port(_PORT, port)],
            ready=[f"127.0.0.1:{port}"],
        )
        self.register_outputs({"url": self.url})
