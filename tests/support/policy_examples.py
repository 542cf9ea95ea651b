"""For each rule of the policy pack, resources that break it alone, and their mended twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voicefleet_policies.rules import Resource

CLIENT = {"voicefleet.dev/client": "shared"}


@dataclass(frozen=True)
class Example:
    """One stack's worth: `broken` breaks exactly `rule`, `mended` breaks none."""

    rule: str
    broken: Resource
    mended: Resource
    complaint: str
    """What the message must name."""


def container(**changes: Any) -> dict[str, Any]:
    """A container that all rules are content with, and changes."""
    return {
        "name": "web",
        "image": "registry.example/web:1.2.3",
        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False},
        **changes,
    }


def deployment(of: dict[str, Any] | None = None, **pod: Any) -> Resource:
    """A Deployment of one container."""
    spec = {"containers": [of or container()], **pod}
    template = {"metadata": {"labels": {"app.kubernetes.io/name": "web"}}, "spec": spec}
    return "kubernetes:apps/v1:Deployment", {
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "template": template},
    }


def server(**changes: Any) -> Resource:
    """An EC2 instance that all rules are content with, and changes."""
    return "aws:ec2/instance:Instance", {
        "instanceType": "g6.xlarge",
        "rootBlockDevice": {"encrypted": True},
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "tags": CLIENT,
        **changes,
    }


def balancer(port: int) -> Resource:
    """A Service that the world reaches."""
    return "kubernetes:core/v1:Service", {
        "metadata": {"name": "web", "labels": CLIENT},
        "spec": {"type": "LoadBalancer", "ports": [{"port": port}]},
    }


def release(**changes: Any) -> Resource:
    """A fetched chart."""
    return "kubernetes:helm.sh/v3:Release", {
        "chart": "redis",
        "version": "1.2.3",
        "repositoryOpts": {"repo": "https://charts.example"},
        **changes,
    }


def group(**ingress: Any) -> Resource:
    """A security group with one opening."""
    opening = {"protocol": "tcp", "cidrBlocks": ["0.0.0.0/0"], **ingress}
    return "aws:ec2/securityGroup:SecurityGroup", {"ingress": [opening]}


def podman(**changes: Any) -> Resource:
    """A pod of the home lab."""
    only = {
        "name": "redis",
        "image": "localhost/voicefleet-platform:1f2e3d",
        "memory_mib": 64,
        "environment": {},
        **changes,
    }
    return "pulumi-python:dynamic/podman:Pod", {"name": "redis", "containers": [only]}


def _claims(labels: dict[str, str]) -> Resource:
    type_, props = deployment()
    claim = {"metadata": {"name": "data", "labels": labels}}
    spec = {**props["spec"], "volumeClaimTemplates": [claim]}
    return type_.replace("Deployment", "StatefulSet"), {**props, "spec": spec}


_SECRET_REF = {"secretKeyRef": {"name": "billing", "key": "apiKey"}}
_MEDIA = "kubernetes:apps/v1:Deployment"

EXAMPLES = (
    Example(
        "container-limits",
        deployment(container(resources={"limits": {"memory": "64Mi"}})),
        deployment(),
        "web has no limit of cpu",
    ),
    Example(
        "container-limits",
        deployment(initContainers=[container(name="fetch", resources={})]),
        deployment(initContainers=[container(name="fetch")]),
        "fetch has no limit of cpu and memory",
    ),
    Example("container-limits", podman(memory_mib=0), podman(), "redis has no limit of memory"),
    Example(
        "pinned-image",
        deployment(container(image="registry.example:5000/web:latest")),
        deployment(container(image="registry.example:5000/web@sha256:" + "0" * 64)),
        "runs registry.example:5000/web:latest",
    ),
    Example(
        "pinned-image",
        deployment(container(image="registry.example:5000/web")),
        deployment(container(image="registry.example:5000/web:1")),
        "runs registry.example:5000/web",
    ),
    Example(
        "no-privileged-container",
        deployment(container(securityContext={"privileged": True})),
        deployment(),
        "web is privileged",
    ),
    Example(
        "no-privileged-container",
        deployment(container(securityContext={})),
        deployment(),
        "web may gain privileges",
    ),
    Example(
        "no-host-path",
        deployment(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
        deployment(volumes=[{"name": "root", "emptyDir": {}}]),
        "root is / of the node",
    ),
    Example(
        "host-network-for-media-only",
        deployment(hostNetwork=True),
        (
            _MEDIA,
            {
                "spec": {
                    "template": {
                        "metadata": {"labels": {"app.kubernetes.io/name": "livekit-sip"}},
                        "spec": {"hostNetwork": True, "containers": [container()]},
                    }
                }
            },
        ),
        "on the node's network",
    ),
    Example(
        "host-network-for-media-only",
        deployment(container(ports=[{"containerPort": 80, "hostPort": 8080}])),
        deployment(container(ports=[{"containerPort": 80}])),
        "takes the node's port 8080",
    ),
    Example("load-balancer-tls", balancer(80), balancer(443), "port 80"),
    Example(
        "load-balancer-tls",
        ("kubernetes:networking.k8s.io/v1:Ingress", {"spec": {"rules": []}}),
        ("kubernetes:networking.k8s.io/v1:Ingress", {"spec": {"tls": [{"hosts": ["a.example"]}]}}),
        "no TLS",
    ),
    Example(
        "no-public-administration",
        group(fromPort=22, toPort=22),
        group(fromPort=22, toPort=22, cidrBlocks=["203.0.113.0/24"]),
        "SSH (port 22)",
    ),
    Example(
        "no-public-administration",
        group(protocol="-1", cidrBlocks=[], ipv6CidrBlocks=["::/0"]),
        group(fromPort=5060, toPort=5061),
        "the Kubernetes API (port 6443)",
    ),
    Example(
        "no-plaintext-secret",
        deployment(container(env=[{"name": "STRIPE_API_KEY", "value": "hunter2"}])),
        deployment(container(env=[{"name": "STRIPE_API_KEY", "valueFrom": _SECRET_REF}])),
        "web has STRIPE_API_KEY in the clear",
    ),
    Example(
        "no-plaintext-secret",
        podman(environment={"LIVEKIT_API_SECRET": "hunter2"}),
        podman(environment={"LIVEKIT_API_SECRET_FILE": "/run/secrets/livekit"}),
        "redis has LIVEKIT_API_SECRET in the clear",
    ),
    Example(
        "no-plaintext-secret",
        release(values={"auth": {"password": "hunter2"}}),
        release(values={"auth": {"existingSecret": "redis"}}),
        "values.auth.password",
    ),
    Example(
        "no-plaintext-secret",
        server(userData="curl https://bot:hunter2@registry.example/"),
        server(userData="curl https://registry.example/"),
        "userData holds",
    ),
    Example(
        "paid-resource-has-client",
        server(tags={"Name": "web"}),
        server(),
        "whose this Instance is",
    ),
    Example(
        "paid-resource-has-client",
        _claims({}),
        _claims(CLIENT),
        "whose the volume data is",
    ),
    Example("pinned-chart", release(version=">=1.0"), release(), "redis is taken in version >=1.0"),
    Example(
        "encrypted-disk",
        server(rootBlockDevice={"volumeSize": 200}),
        server(),
        "disk that is not encrypted",
    ),
    Example(
        "metadata-tokens",
        server(metadataOptions={"httpTokens": "optional"}),
        server(),
        "read the server's metadata",
    ),
)


def _models(most: int) -> tuple[Resource, ...]:
    """A model server that may scale to so many replicas of one GPU."""
    limits = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    type_, props = deployment(container(resources={"limits": limits}))
    target = {"kind": "Deployment", "name": "web"}
    scaler = {"spec": {"scaleTargetRef": target, "maxReplicas": most}}
    return (type_, props), ("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", scaler)


STACKS = (
    ((server(instanceType="g5.12xlarge"),), (server(),), "buys 4 GPUs, 2 are allowed"),
    (_models(3), _models(2), "asks for 3 GPUs, 2 are allowed"),
    ((server(instanceType="g99.xlarge"),), (server(instanceType="m7i.large"),), "g99.xlarge"),
)
"""For gpu-cap, which looks at whole stacks: broken, mended, complaint."""
