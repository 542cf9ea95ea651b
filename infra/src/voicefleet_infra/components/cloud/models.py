"""The language model that all clients share, on GPUs: Ollama or vLLM, both OpenAI-compatible.

Each replica has a volume of its own with the model, fetched once.
Pages: https://docs.ollama.com/faq, https://docs.vllm.ai/en/latest/deployment/k8s/,
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes

from voicefleet_infra.components.cloud.gpu import RESOURCE, RUNTIME_CLASS
from voicefleet_infra.components.cloud.objects import (
    MODELS,
    RESTRICTED,
    RESTRICTED_POD,
    SYSTEM,
    labels,
    limits,
    metadata,
    selector,
    within,
)

IMAGES = {
    "ollama": "docker.io/ollama/ollama:0.12.6",
    "vllm": "docker.io/vllm/vllm-openai:v0.11.0",
}
PORTS = {"ollama": 11434, "vllm": 8000}
_NAME = "models"
_FOLDER = "/models"
_CPU_TARGET = 70
"""Percent of the requested processor time, above which another replica starts."""
# A server of its own for as long as the model takes to come.
_PULL = """\
ollama serve & server=$!
until ollama list >/dev/null 2>&1; do sleep 1; done
ollama pull "$MODEL"
kill "$server"
"""


@dataclass(frozen=True)
class ModelsArgs:
    """Which model, and how much of it."""

    engine: Literal["ollama", "vllm"]
    model: str
    """As the engine calls it: llama3:8b, or a repository of Hugging Face's."""
    min_replicas: int
    max_replicas: int
    gpus: int
    """Of each replica."""
    cpu: str
    memory: str
    storage: str


class Models(pulumi.ComponentResource):
    """One address for all replicas, which only pods in `voicefleet-system` may use."""

    url: str
    """Base address for an OpenAI-compatible client, as `languageModel.provider` of models.yaml."""
    model: str
    """Its name towards clients."""

    def __init__(
        self, name: str, args: ModelsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("voicefleet:cloud:Models", name, None, opts)
        mine, port = within(self, opts), PORTS[args.engine]
        self.model = args.model
        self.url = f"http://{_NAME}.{MODELS}.svc.cluster.local:{port}/v1"
        kubernetes.core.v1.Service(
            name,
            metadata=metadata(_NAME, MODELS),
            spec={"selector": selector(_NAME), "ports": [{"name": "http", "port": port}]},
            opts=mine,
        )
        kubernetes.networking.v1.NetworkPolicy(
            name,
            metadata=metadata(_NAME, MODELS),
            spec={
                "podSelector": {"matchLabels": selector(_NAME)},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [
                            {
                                "namespaceSelector": {
                                    "matchLabels": {"kubernetes.io/metadata.name": SYSTEM}
                                }
                            }
                        ],
                        "ports": [{"port": port}],
                    }
                ],
            },
            opts=mine,
        )
        workload = kubernetes.apps.v1.StatefulSet(
            name,
            metadata=metadata(_NAME, MODELS),
            spec={
                "serviceName": _NAME,
                "selector": {"matchLabels": selector(_NAME)},
                # The model takes minutes to come; none has to wait for another's.
                "podManagementPolicy": "Parallel",
                "template": {"metadata": {"labels": labels(_NAME)}, "spec": _pod(args)},
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "models", "labels": labels(_NAME)},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": args.storage}},
                        },
                    }
                ],
            },
            # How many there are is the autoscaler's.
            opts=pulumi.ResourceOptions.merge(
                mine, pulumi.ResourceOptions(ignore_changes=["spec.replicas"])
            ),
        )
        kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
            name,
            metadata=metadata(_NAME, MODELS),
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": _NAME},
                "minReplicas": args.min_replicas,
                "maxReplicas": args.max_replicas,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": _CPU_TARGET},
                        },
                    }
                ],
                # A call lasts minutes, and a replica to come back takes as long.
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 900}},
            },
            opts=within(self, opts, workload),
        )
        self.register_outputs({"url": self.url, "model": self.model})


def _pod(args: ModelsArgs) -> dict[str, Any]:
    served = limits(args.cpu, args.memory, **{RESOURCE: str(args.gpus)})
    # What the autoscaler compares with is what is requested.
    served["requests"]["cpu"] = args.cpu
    common = {
        "image": IMAGES[args.engine],
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "models", "mountPath": _FOLDER},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    port = PORTS[args.engine]
    pod: dict[str, Any] = {
        "runtimeClassName": RUNTIME_CLASS,
        "automountServiceAccountToken": False,
        "securityContext": RESTRICTED_POD,
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}],
    }
    if args.engine == "ollama":
        kept = [{"name": "OLLAMA_MODELS", "value": _FOLDER}, {"name": "HOME", "value": _FOLDER}]
        pod["initContainers"] = [
            {
                **common,
                "name": "fetch",
                "command": ["/bin/sh", "-euc", _PULL],
                "env": [*kept, {"name": "MODEL", "value": args.model}],
                "resources": limits("1", "2Gi"),
            }
        ]
        # It stays loaded: the first caller of the morning must not wait for it.
        environment = [
            *kept,
            {"name": "OLLAMA_HOST", "value": f"0.0.0.0:{port}"},
            {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
        ]
        words = {"command": ["ollama", "serve"]}
    else:
        environment = [{"name": "HF_HOME", "value": _FOLDER}, {"name": "HOME", "value": _FOLDER}]
        words = {
            "args": [
                f"--model={args.model}",
                f"--tensor-parallel-size={args.gpus}",
                f"--port={port}",
            ]
        }
    pod["containers"] = [
        {
            **common,
            **words,
            "name": args.engine,
            "env": environment,
            "ports": [{"name": "http", "containerPort": port}],
            "resources": served,
            "readinessProbe": {
                "httpGet": {"path": "/v1/models", "port": port},
                "periodSeconds": 5,
            },
        }
    ]
    return pod
