"""Stacks under Pulumi's real engine with the policy pack: what is refused, and what is not.

Providers are stood in for: no registry of ours has their plugins.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi import automation

import run
from support import pulumi_plugin
from support.controlplane import ROOT
from support.policy_examples import EXAMPLES, STACKS
from voicefleet_policies.pack import RULES, STACK_RULES
from voicefleet_policies.rules import Resource

pytestmark = [
    pytest.mark.integration,
    # The Automation API leaves the loop of a program that was ended open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:aws.ec2:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This resource is deprecated:DeprecationWarning"),
]
PROVIDERS = ("kubernetes", "aws", "random", "command")

Preview = Callable[[Callable[[], None] | None, dict[str, Any]], str]


@pytest.fixture
def preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Preview]:
    """What `pulumi preview --policy-pack policies` says about a program (None: the project's own)
    with these settings; raises CommandError where a rule is broken."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    pulumi_plugin.install(plugins, *PROVIDERS)
    monkeypatch.setenv("PATH", f"{plugins}:{os.environ['PATH']}")
    (tmp_path / "state").mkdir()
    for name in ("Pulumi.yaml", "stacks"):
        (tmp_path / name).symlink_to(ROOT / name)

    def previewed(program: Callable[[], None] | None, config: dict[str, Any]) -> str:
        if program is not None:
            monkeypatch.setattr(run, "program", program)
        (tmp_path / "Pulumi.trial.yaml").write_text(yaml.safe_dump({"config": config}))
        environment = {
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "not a secret",
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        stack = run.select("trial", tmp_path, environment)
        return stack.preview(policy_packs=[str(ROOT / "policies")]).stdout

    yield previewed
    gc.collect()


def declaring(resources: Iterable[Resource]) -> Callable[[], None]:
    """A program with these resources; of dynamic providers' the inputs alone matter here."""

    def program() -> None:
        for number, (type_, props) in enumerate(resources):
            pulumi.CustomResource(type_, f"it-{number}", dict(props))

    return program


def of_plugins(resources: Iterable[Resource]) -> list[Resource]:
    return [each for each in resources if each[0].partition(":")[0] in PROVIDERS]


def refusal(preview: Preview, resources: Iterable[Resource]) -> str:
    """What is said where a preview is refused, in one line."""
    with pytest.raises(automation.CommandError) as refused:
        preview(declaring(of_plugins(resources)), {})
    return _in_a_line(str(refused.value))


def _in_a_line(text: str) -> str:
    return " ".join(text.split())


def test_every_rule_stops_a_preview_with_its_name_and_remedy(preview: Preview) -> None:
    examples = [each for each in EXAMPLES if of_plugins([each.broken])]
    assert {each.rule for each in examples} == {rule.name for rule in RULES}
    said = refusal(preview, [each.broken for each in examples])
    for rule in RULES:
        assert f"[mandatory] {rule.name} (" in said
        assert _in_a_line(rule.remedy) in said
    for each in examples:
        assert _in_a_line(each.complaint) in said


def test_a_stack_with_too_many_gpus_is_refused_as_a_whole(preview: Preview) -> None:
    (rule,), (broken, _, complaint) = STACK_RULES, STACKS[0]
    said = refusal(preview, broken)
    assert f"[mandatory] {rule.name} (" in said
    assert _in_a_line(complaint) in said
    assert _in_a_line(rule.remedy) in said


def test_the_same_resources_mended_are_let_through(preview: Preview) -> None:
    # One of each kind: together they would be more GPUs than are allowed.
    mended = {each.mended[0]: each.mended for each in EXAMPLES}
    assert "✅ voicefleet@v0.1.0" in preview(declaring(of_plugins(mended.values())), {})


@pytest.mark.parametrize("name", ["cloud", "cloud-staging", "cloud-development"])
def test_our_own_stacks_keep_every_rule(preview: Preview, name: str, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    if "cluster" in config["voicefleet:cloud"]:
        (tmp_path / "kubeconfig").write_text("{}")
        config["voicefleet:cloud"]["cluster"]["kubeconfig"] = str(tmp_path / "kubeconfig")
    secrets = {"voicefleet:sshPrivateKey": "hunter2", "voicefleet:tsigSecret": "hunter2"}
    said = preview(None, config | secrets)
    # What a preview does not know yet is a warning (advisory).
    assert re.search("[✅⚠]\ufe0f? voicefleet@v0.1.0", said)
    assert "[mandatory]" not in said
    assert "voicefleet:cloud:LiveKit livekit create" in said
    assert "hunter2" not in said
