"""The pack as Pulumi's engine meets it: a process that is asked over gRPC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerStub

from support.policy_examples import EXAMPLES, STACKS, Example
from voicefleet_policies.pack import RULES, STACK_RULES
from voicefleet_policies.rules import Props, Resource

pytestmark = pytest.mark.integration
PACK = Path(__file__).parents[3] / "policies"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a string that it does not know in a preview."""


@pytest.fixture(scope="module")
def pack() -> Iterator[AnalyzerStub]:
    process = subprocess.Popen([sys.executable, str(PACK)], cwd=PACK, stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield AnalyzerStub(channel)
    process.kill()
    process.wait()
    process.stdout.close()


def _struct(props: Props) -> Struct:
    made = Struct()
    made.update(dict(props))
    return made


def _analyze(pack: AnalyzerStub, resource: Resource) -> list[Any]:
    type_, props = resource
    request = proto.AnalyzeRequest(type=type_, properties=_struct(props), urn="urn", name="it")
    return list(pack.Analyze(request).diagnostics)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.rule}: {e.complaint}")
def test_the_engine_is_told_to_stop_with_rule_and_remedy(
    pack: AnalyzerStub, example: Example
) -> None:
    remedy = next(rule.remedy for rule in RULES if rule.name == example.rule)
    found = _analyze(pack, example.broken)
    assert {each.policyName for each in found} == {example.rule}
    assert {each.enforcementLevel for each in found} == {proto.MANDATORY}
    assert any(example.complaint in each.message for each in found)
    assert remedy in found[0].message
    assert _analyze(pack, example.mended) == []


@pytest.mark.parametrize(("broken", "mended", "complaint"), STACKS, ids=lambda x: str(x)[:30])
def test_a_stack_with_too_many_gpus_is_stopped(
    pack: AnalyzerStub, broken: Any, mended: Any, complaint: str
) -> None:
    def analyze(resources: Any) -> list[Any]:
        listed = [
            proto.AnalyzerResource(type=type_, properties=_struct(props), urn=f"urn:{n}", name="x")
            for n, (type_, props) in enumerate(resources)
        ]
        return list(pack.AnalyzeStack(proto.AnalyzeStackRequest(resources=listed)).diagnostics)

    (found,) = analyze(broken)
    assert found.policyName == "gpu-cap"
    assert found.enforcementLevel == proto.MANDATORY
    assert complaint in found.message
    assert analyze(mended) == []


def test_what_a_preview_does_not_know_yet_stops_nothing(pack: AnalyzerStub) -> None:
    found = _analyze(pack, ("aws:ec2/instance:Instance", {"tags": UNKNOWN}))
    levels = {each.policyName: each.enforcementLevel for each in found}
    assert levels["paid-resource-has-client"] == proto.ADVISORY


def test_the_pack_names_all_rules_and_the_caps_setting(pack: AnalyzerStub) -> None:
    info = pack.GetAnalyzerInfo(Empty())
    assert info.name == "voicefleet"
    named = {policy.name: policy for policy in info.policies}
    assert set(named) == {rule.name for rule in (*RULES, *STACK_RULES)}
    assert "maximum" in named["gpu-cap"].configSchema.properties
