"""One client's life on a real Kubernetes node: made, killed, drained, rolled, gone.

kubelet, containerd, the controllers and the volumes' provisioner are real, and so are the calls;
gateways that answer at once stand in for the models. The order of the tests is that of the life.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from e2e.cluster.one_node import OneNode
from support.phones import route
from support.stack import client, until
from voicefleet_cli.load import SETTLE, Load
from voicefleet_infra.node.containerd import ctr
from voicefleet_infra.node.kubelet import NODE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "dentist"
GAP = 1.0
"""Seconds that a caller may at most get no packet."""


@pytest.fixture(scope="module")
def client_id(cluster: OneNode) -> str:
    """The client's, once its phone is answered."""
    cluster.apply(client(NAME, rollout={"strategy": "BlueGreen"}))
    vc = cluster.wait(NAME, "Answering", seconds=180)
    return str(vc["status"]["clientID"])


def test_a_client_has_a_restricted_pod_that_answers_and_whose_record_arrives(
    cluster: OneNode, client_id: str
) -> None:
    pod = cluster.pod(client_id)
    namespace = cluster.get("namespace", client_id)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["spec"]["nodeName"] == NODE
    assert pod["status"]["podIP"] in cluster.addresses()
    [claim] = cluster.get("pvc", f"-n{client_id}")["items"]
    assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "local-path")
    assert len(cluster.volumes()) == 1
    record = cluster.answers(NAME)
    assert record.client_id == client_id
    assert record.ended in {"caller left", "line lost"}
    # What the API server asks a kubelet for.
    assert record.call_id in cluster.agent_log(client_id)


def test_changed_words_are_in_the_pod_at_once(cluster: OneNode, client_id: str) -> None:
    pod = cluster.pod(client_id)
    cluster.patch(NAME, {"business": {"name": "Dental Pineapple"}})
    show = "print(open('/config/agent.json').read())"
    until(
        lambda: "Dental Pineapple"
        in cluster.kubectl(
            "exec", pod["metadata"]["name"], f"-n{client_id}", "--",
            "/usr/bin/python3.11", "-c", show,
        ),
        "kubelet does not look at the ConfigMap",
        # By itself it would within a minute.
        seconds=20,
    )  # fmt: skip
    assert cluster.pod(client_id)["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_killed_container_is_back_and_answers(cluster: OneNode, client_id: str) -> None:
    pod = cluster.pod(client_id)
    [before] = pod["status"]["containerStatuses"]
    container = before["containerID"].removeprefix("containerd://")
    ctr(cluster.platform, "tasks", "kill", "--signal", "SIGKILL", container)
    until(
        lambda: (
            cluster.pods(client_id)[0]["status"]["containerStatuses"][0]["restartCount"]
            > before["restartCount"]
        ),
        "it is not started again",
        seconds=60,
    )
    assert cluster.pod(client_id)["metadata"]["uid"] == pod["metadata"]["uid"]
    cluster.wait(NAME, "Answering", seconds=90)
    cluster.answers(NAME)


def test_a_node_that_is_drained_and_begun_anew_answers_again(
    cluster: OneNode, client_id: str
) -> None:
    before = cluster.pod(client_id)["metadata"]["uid"]
    [claim] = cluster.get("pvc", f"-n{client_id}")["items"]
    cluster.kubectl("drain", NODE, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=90s")
    cluster.wait(NAME, "Answering", "False", seconds=60)
    cluster.kubectl("uncordon", NODE)
    after = cluster.pod(client_id)
    assert after["metadata"]["uid"] != before
    cluster.wait(NAME, "Answering", seconds=90)
    # Pods outlive both.
    cluster.restart("containerd", "kubelet")
    cluster.wait(NAME, "Answering", seconds=90)
    cluster.answers(NAME)
    assert cluster.pod(client_id)["metadata"]["uid"] == after["metadata"]["uid"]
    assert cluster.get("pvc", f"-n{client_id}")["items"][0]["spec"] == claim["spec"]


def test_a_new_image_takes_over_while_a_call_goes_on(cluster: OneNode, client_id: str) -> None:
    number = cluster.client(NAME)["status"]["primaryNumber"]
    image = f"{cluster.image}-next"
    ctr(cluster.platform, "images", "tag", cluster.image, image)
    kubernetes = {"spec": {"runtime": {"kubernetes": {"image": image}}}}

    def roll() -> None:
        cluster.kubectl("patch", "fleet", "default", "--type=merge", "-p", json.dumps(kubernetes))
        green = f"voicefleet-green-{client_id}"
        until(
            lambda: cluster.client(NAME)["status"]["endpoints"]["agentName"] == green,
            "the new version does not take over",
            seconds=180,
        )

    async def story() -> None:
        load = Load(*route(cluster, number))
        try:
            await load.add([number])
            [phone] = load.phones
            assert phone.answered, "not answered"
            await asyncio.sleep(SETTLE)
            phone.packets.clear()
            await asyncio.to_thread(roll)
            record = await asyncio.to_thread(cluster.answers, NAME)
            [new] = await asyncio.to_thread(green_pods)
            said = await asyncio.to_thread(
                cluster.kubectl, "logs", new["metadata"]["name"], f"-n{client_id}"
            )
            assert record.call_id in said
            asked = len(phone.answers)
            async with asyncio.timeout(60):
                while len(phone.answers) == asked:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert not phone.call.gone.is_set(), "our side has hung up"
            pairs = itertools.pairwise(phone.packets)
            gap = max(after.came - before.came for before, after in pairs)
            print(f"longest gap {gap:.2f} s")
            assert gap < GAP
        finally:
            await load.end()

    def green_pods() -> list[dict[str, Any]]:
        pods = cluster.pods(client_id)
        return [pod for pod in pods if pod["spec"]["containers"][0]["image"] == image]

    asyncio.run(story())
    # The one before goes once its call has ended.
    until(lambda: len(cluster.pods(client_id)) == 1, "two pods", seconds=90)
    assert len(green_pods()) == 1
    cluster.wait(NAME, "Answering", seconds=60)
    cluster.answers(NAME)


def test_deleting_it_leaves_nothing(cluster: OneNode, client_id: str) -> None:
    cluster.delete(NAME)
    namespaces = [each["metadata"]["name"] for each in cluster.get("namespaces")["items"]]
    assert client_id not in namespaces
    until(lambda: not cluster.get("pv")["items"], "its volume stays", seconds=60)
    until(lambda: not cluster.volumes(), "its folder stays")
    until(lambda: not cluster.containers(client_id), "its containers stay", seconds=60)
    until(lambda: not cluster.addresses(), "its pods' addresses stay", seconds=60)
    lists = cluster.twilio_lists()
    assert lists["numbers"] == lists["trunks"] == []
    assert cluster.ledger(only_open=True) == []
    assert cluster.subscriptions(NAME) == []
