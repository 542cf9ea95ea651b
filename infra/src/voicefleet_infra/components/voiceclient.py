"""A client of the agency, declared in Pulumi: the custom resource, and the wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from voicefleet_api.names import API_VERSION
from voicefleet_infra.components.kubernetes import Manifest


@dataclass(frozen=True)
class VoiceClientArgs:
    """What is asked for."""

    kubeconfig: pulumi.Input[str]
    """Path of the kubeconfig of a user who may write VoiceClients."""
    spec: Mapping[str, Any]
    """The resource's, as `kubectl explain vc.spec` has it. Nothing in it is secret."""
    namespace: str = "default"


class VoiceClient(pulumi.ComponentResource):
    """One VoiceClient that is Ready; its deletion waits until everything is given back."""

    number: pulumi.Output[str]
    """Its first telephone number, E.164; empty where it has none."""
    client_id: pulumi.Output[str]
    """Its identity towards vendors."""

    def __init__(
        self, name: str, args: VoiceClientArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:index:VoiceClient", name, None, opts)
        target = {
            "apiVersion": API_VERSION,
            "kind": "VoiceClient",
            "metadata": {"name": name, "namespace": args.namespace},
            "spec": dict(args.spec),
        }
        manifest = Manifest(
            name,
            args.kubeconfig,
            [target],
            pulumi.ResourceOptions(parent=self),
            wait_for="Ready",
        )
        self.number = manifest.status.apply(lambda found: _first(found).get("primaryNumber", ""))
        self.client_id = manifest.status.apply(lambda found: _first(found).get("clientID", ""))
        self.register_outputs({"number": self.number, "client_id": self.client_id})


def _first(statuses: list[dict[str, Any]] | None) -> dict[str, Any]:
    return statuses[0] if statuses else {}
