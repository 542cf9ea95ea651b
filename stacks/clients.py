"""An agency's clients, in a stack of their own beside the cloud's that they run on.

Who may change a client need not be able to change servers; what they share is one output.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_api.names import API_VERSION


def program() -> None:
    """Declare `clients`, each a name and a spec, in the cluster of the stack `platform`.

    A client is there when it is Ready, and gone when all that it had is given back.
    """
    config = pulumi.Config()
    platform = pulumi.StackReference(config.require("platform"))
    cluster = kubernetes.Provider("cluster", kubeconfig=platform.require_output("kubeconfig"))
    for client in config.require_object("clients"):
        kubernetes.apiextensions.CustomResource(
            client["name"],
            api_version=API_VERSION,
            kind="VoiceClient",
            metadata={
                "name": client["name"],
                "namespace": client.get("namespace", "default"),
                # https://www.pulumi.com/registry/packages/kubernetes/#pulumi-kubernetes-annotations
                "annotations": {"pulumi.com/waitFor": "condition=Ready"},
            },
            spec=client["spec"],
            opts=pulumi.ResourceOptions(provider=cluster),
        )
