"""The cluster that everything else is put into: one that is there, or the servers'."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.objects import DATA, MEDIA, MODELS, SYSTEM, labels

# LiveKit's and the SIP bridge's pods are on their node's network, which `baseline` forbids; that
# no others are is seen to by the policy pack.
_POD_SECURITY = {SYSTEM: "restricted", DATA: "restricted", MODELS: "baseline", MEDIA: "privileged"}


@dataclass(frozen=True)
class ClusterArgs:
    """A cluster is its administrator's kubeconfig."""

    kubeconfig: pulumi.Input[str]
    """Contents; becomes a secret."""


class Cluster(pulumi.ComponentResource):
    """A provider for the cluster, and our namespaces under Pod Security."""

    provider: kubernetes.Provider
    kubeconfig: pulumi.Output[str]
    """Secret."""
    namespaces: dict[str, kubernetes.core.v1.Namespace]

    def __init__(
        self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Cluster", name, None, opts)
        self.kubeconfig = pulumi.Output.secret(args.kubeconfig)
        self.provider = kubernetes.Provider(
            name,
            kubeconfig=self.kubeconfig,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.namespaces = {
            each: kubernetes.core.v1.Namespace(
                each,
                metadata={
                    "name": each,
                    "labels": {
                        **labels(each),
                        "pod-security.kubernetes.io/enforce": level,
                    },
                },
                opts=pulumi.ResourceOptions(parent=self, provider=self.provider),
            )
            for each, level in _POD_SECURITY.items()
        }
        self.register_outputs({"kubeconfig": self.kubeconfig})
