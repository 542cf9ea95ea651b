"""What each rule refuses and lets through, as functions of types and inputs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from support.policy_examples import EXAMPLES, STACKS, Example, balancer, container, deployment
from voicefleet_policies.pack import RULES, STACK_RULES
from voicefleet_policies.rules import Resource
from voicefleet_policies.workloads import pinned

pytestmark = pytest.mark.unit


def broken_rules(resource: Resource) -> dict[str, list[str]]:
    """Names of the rules that a resource breaks, with the messages."""
    found = {rule.name: list(rule.violations(*resource)) for rule in RULES}
    return {name: words for name, words in found.items() if words}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.rule}: {e.complaint}")
def test_a_violation_is_refused_by_its_rule_alone_and_told_the_remedy(example: Example) -> None:
    remedy = next(rule.remedy for rule in RULES if rule.name == example.rule)
    broken = broken_rules(example.broken)
    assert list(broken) == [example.rule]
    assert any(example.complaint in words for words in broken[example.rule])
    assert broken[example.rule][0].endswith(remedy)
    assert broken_rules(example.mended) == {}


@pytest.mark.parametrize(("broken", "mended", "complaint"), STACKS, ids=lambda x: str(x)[:30])
def test_more_gpus_than_allowed_are_refused(
    broken: Sequence[Resource], mended: Sequence[Resource], complaint: str
) -> None:
    (rule,) = STACK_RULES
    words = list(rule.violations(broken, 2))
    assert len(words) == 1
    assert complaint in words[0]
    assert words[0].endswith(rule.remedy)
    assert list(rule.violations(mended, 2)) == []


def test_every_rule_has_an_example_and_there_are_more_than_ten() -> None:
    assert {example.rule for example in EXAMPLES} == {rule.name for rule in RULES}
    assert len({rule.name for rule in (*RULES, *STACK_RULES)}) > 10


def test_a_kubernetes_secret_may_hold_one_alone_or_among_objects_that_are_applied() -> None:
    key = {"stringData": {"apiKey": "sk_test_51hunter2hunter2"}}
    assert broken_rules(("kubernetes:core/v1:Secret", key)) == {}
    manifest = "pulumi-python:dynamic/kubernetes:Manifest"
    assert broken_rules((manifest, {"objects": [{"kind": "Secret", **key}]})) == {}
    assert list(broken_rules((manifest, {"objects": [{"kind": "ConfigMap", **key}]}))) == [
        "no-plaintext-secret"
    ]


def test_a_secret_is_not_repeated_in_the_message_about_it() -> None:
    for example in EXAMPLES:
        for words in broken_rules(example.broken).values():
            assert "hunter2" not in "".join(words)


@pytest.mark.parametrize("kind", ["Pod", "DaemonSet", "CronJob", "Job", "StatefulSet"])
def test_containers_are_found_in_every_kind_of_workload(kind: str) -> None:
    spec = {"containers": [container(resources={})]}
    template = {"spec": spec}
    props = {
        "Pod": template,
        "CronJob": {"spec": {"jobTemplate": {"spec": {"template": template}}}},
    }.get(kind, {"spec": {"template": template}})
    assert "container-limits" in broken_rules((f"kubernetes:apps/v1:{kind}", props))


def test_a_load_balancer_with_a_certificate_or_inside_the_network_may_have_any_port() -> None:
    type_, props = balancer(80)
    for note in (
        {"service.beta.kubernetes.io/aws-load-balancer-ssl-cert": "arn:aws:acm:…"},
        {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"},
    ):
        noted = {**props, "metadata": {**props["metadata"], "annotations": note}}
        assert broken_rules((type_, noted)) == {}


def test_only_media_may_be_on_the_nodes_network_and_nobody_sees_its_processes() -> None:
    type_, props = deployment(hostNetwork=True, hostPID=True)
    props["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "livekit"
    (words,) = broken_rules((type_, props))["host-network-for-media-only"]
    assert "hostPID" in words


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("redis", False),
        ("redis:latest", False),
        ("redis:8.2.2", True),
        ("localhost:5000/redis", False),
        ("localhost:5000/redis:8", True),
        (f"redis@sha256:{'a' * 64}", True),
        ("", False),
    ],
)
def test_an_image_is_pinned_by_a_tag_or_a_digest(image: str, expected: bool) -> None:
    assert pinned(image) is expected
