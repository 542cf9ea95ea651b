"""Rules for what is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voicefleet_infra.components.cloud.budget import CLIENT, gpus
from voicefleet_policies.pods import containers, kind, label
from voicefleet_policies.rules import Props, Resource, Rule, StackRule, items, mapping

_INSTANCE = "aws:ec2/instance:Instance"
_PAID = frozenset(
    {
        _INSTANCE,
        "aws:ebs/volume:Volume",
        "aws:ec2/eip:Eip",
        "aws:ec2/natGateway:NatGateway",
        "aws:eks/cluster:Cluster",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:rds/instance:Instance",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketV2:BucketV2",
    }
)


def _wanted(resources: Sequence[Resource]) -> int:
    """GPUs that workloads ask for, each as often as its autoscaler may run it."""
    scaled = {}
    for type_, props in resources:
        if kind(type_) == "HorizontalPodAutoscaler":
            spec = mapping(props.get("spec"))
            target = mapping(spec.get("scaleTargetRef"))
            scaled[target.get("kind"), target.get("name")] = int(spec.get("maxReplicas", 1))
    total = 0
    for type_, props in resources:
        name = mapping(props.get("metadata")).get("name")
        replicas = mapping(props.get("spec")).get("replicas", 1)
        times = scaled.get((kind(type_), name), int(replicas))
        for container in containers(type_, props):
            limits = mapping(mapping(container.get("resources")).get("limits"))
            total += times * int(limits.get("nvidia.com/gpu", 0))
    return total


def _gpu_cap(resources: Sequence[Resource], maximum: int) -> Iterator[str]:
    bought = 0
    for type_, props in resources:
        if type_ == _INSTANCE:
            try:
                bought += gpus(str(props.get("instanceType")))
            except ValueError as error:
                yield str(error)
    for count, what in ((bought, "buys"), (_wanted(resources), "asks for")):
        if count > maximum:
            yield f"the stack {what} {count} GPUs, {maximum} are allowed"


def _client(type_: str, props: Props) -> Iterator[str]:
    if type_ in _PAID:
        if not mapping(props.get("tags")).get(CLIENT):
            yield f"nobody can tell whose this {type_.rpartition(':')[2]} is"
        return
    spec = mapping(props.get("spec"))
    paid = kind(type_) == "PersistentVolumeClaim" or spec.get("type") == "LoadBalancer"
    if paid and not label(props, CLIENT):
        yield f"nobody can tell whose this {kind(type_)} is"
    for template in map(mapping, items(spec.get("volumeClaimTemplates"))):
        if not label(template, CLIENT):
            volume = mapping(template.get("metadata")).get("name")
            yield f"nobody can tell whose the volume {volume} is"


RULES = (
    Rule(
        "paid-resource-has-client",
        "Everything that is paid for says for which client.",
        f"Set the tag (at AWS) or label (in Kubernetes) {CLIENT}: a client's ID, or `shared`",
        _client,
    ),
)
STACK_RULES = (
    StackRule(
        "gpu-cap",
        "A stack has no more GPUs than its owner allows.",
        "Take fewer or smaller servers, or lower models.maxReplicas; who means it raises `maximum`"
        " of gpu-cap in the pack's configuration (--policy-pack-config)",
        2,
        _gpu_cap,
    ),
)
