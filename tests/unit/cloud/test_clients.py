"""Clients in a stack of their own."""

from __future__ import annotations

import json

import pytest

import clients
from support.declared import declare

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("thread_event_loop")]


def test_clients_are_put_into_the_cluster_of_the_stack_they_refer_to_and_waited_for() -> None:
    spec = {"plan": "Solo"}
    declared = declare(
        clients.program,
        {
            "voicefleet:platform": "agency/voicefleet/cloud",
            "voicefleet:clients": json.dumps([{"name": "pipeworks", "spec": spec}]),
        },
        outputs={
            "pulumi:pulumi:StackReference": lambda _: {
                "outputs": {"kubeconfig": "hidden"},
                "secretOutputNames": ["kubeconfig"],
            }
        },
    )
    provider = declared.one("providers:kubernetes", "cluster")
    assert provider.inputs["kubeconfig"] == "hidden"
    assert "kubeconfig" in provider.secret
    client = declared.one("voicefleet.dev/v1alpha1:VoiceClient", "pipeworks").inputs
    assert client["spec"] == spec
    assert client["metadata"]["namespace"] == "default"
    assert client["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}
