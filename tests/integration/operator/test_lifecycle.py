"""From a manifest to one of each thing at every vendor, through changes, and back to nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.manifests import numbers, receptionist
from support.stack import Stack, client, conditions, until
from voicefleet_infra.services import livekit_keys, tsig_secret
from voicefleet_operator.drivers.dns import DNSDriver
from voicefleet_operator.drivers.livekit import LiveKitDriver
from voicefleet_operator.planning.observed import DNSName, RoutingInventory

pytestmark = pytest.mark.integration


def fleet_id(stack: Stack) -> str:
    return stack.get("fleet", "default")["status"]["fleetID"]


def routing(stack: Stack) -> RoutingInventory:
    async def ask() -> RoutingInventory:
        url = f"ws://127.0.0.1:{stack.platform.port('livekit')}"
        driver = LiveKitDriver(url, *livekit_keys(stack.platform), fleet_id=fleet_id(stack))
        try:
            return await driver.inventory()
        finally:
            await driver.close()

    return asyncio.run(ask())


def names(stack: Stack) -> dict[str, DNSName]:
    async def ask() -> dict[str, DNSName]:
        driver = DNSDriver(
            server="127.0.0.1", port=stack.platform.port("dns"), zone="fleet.test",
            tsig_name="voicefleet", tsig_algorithm="hmac-sha256",
            tsig_secret=tsig_secret(stack.platform), fleet_id=fleet_id(stack),
        )  # fmt: skip
        return await driver.inventory()

    return asyncio.run(ask())


def test_one_of_each_and_back_to_nothing(stack: Stack) -> None:
    stack.apply(client("whole"))
    vc = stack.wait("whole", "Answering")
    assert conditions(vc)["Ready"]["status"] == "True"
    number = vc["status"]["primaryNumber"]
    client_id = vc["status"]["clientID"]
    assert number.startswith("+1415")
    assert vc["status"]["endpoints"]["url"] == "https://whole.fleet.test"
    assert vc["status"].get("operations", []) == []
    assert [m["milestone"] for m in vc["status"]["timeline"]] == [
        "Accepted", "Subscribed", "Activated", "NumbersBound", "Ready", "Answering",
    ]  # fmt: skip

    [subscription] = stack.subscriptions("whole")
    assert subscription["items"]["data"][0]["price"]["unit_amount"] == 49900
    lists = stack.twilio_lists()
    [held] = [n for n in lists["numbers"] if client_id in n["friendly_name"]]
    [trunk] = [t for t in lists["trunks"] if client_id in t["friendly_name"]]
    assert (held["phone_number"], held["trunk_sid"]) == (number, trunk["sid"])
    found = routing(stack)
    [inbound] = [t for t in found.trunks.values() if t.mark and t.mark.client_id == client_id]
    [rule] = [r for r in found.rules.values() if r.mark and r.mark.client_id == client_id]
    assert inbound.numbers == {number}
    assert inbound.allowed_addresses == {f"{stack.platform.address}/32"}
    assert rule.trunk_ids == {inbound.id}
    assert names(stack)["whole"].value == stack.platform.address

    stack.delete("whole")
    assert stack.subscriptions("whole") == []
    assert not [e for e in stack.ledger(only_open=True) if client_id in str(e["mark"])]
    lists = stack.twilio_lists()
    assert not [x for x in lists["numbers"] + lists["trunks"] if client_id in x["friendly_name"]]
    assert "whole" not in names(stack)
    found = routing(stack)
    assert not [t for t in found.trunks.values() if t.mark and t.mark.client_id == client_id]
    assert not [r for r in found.rules.values() if r.mark and r.mark.client_id == client_id]
    assert client_id not in stack.kubectl("get", "pn", "-o", "name")


def test_an_unchanged_client_costs_no_write_anywhere(stack: Stack) -> None:
    stack.apply(client("still"))
    before = stack.wait("still", "Answering")
    seq = stack.last_request()
    # A restart looks at everything anew; level-triggered, it finds nothing to do.
    stack.stop_operator()
    stack.start_operator()
    until(lambda: stack.last_request() > seq, "the operator lists nothing")
    time.sleep(3)
    assert stack.writes_since(seq) == []
    after = stack.client("still")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_each_change_converges_with_the_smallest_set_of_writes(stack: Stack) -> None:
    stack.apply(client("changing", telephony={"fallback": {"forwardTo": "+14155550199"}}))
    stack.wait("changing", "Answering")
    [subscription] = stack.subscriptions("changing")

    seq = stack.last_request()
    stack.patch("changing", {"plan": "Enterprise"})
    stack.wait("changing", "Ready")
    until(
        lambda: (
            stack.subscriptions("changing")[0]["items"]["data"][0]["price"]["unit_amount"] == 79900
        ),
        "the price does not change",
    )
    assert stack.writes_since(seq) == [f"POST /v1/subscriptions/{subscription['id']}"]

    seq = stack.last_request()
    stack.patch("changing", {"telephony": {"numbers": numbers(2)}})
    vc = until(
        lambda: len((vc := stack.wait("changing", "Answering"))["status"]["numbers"]) == 2 and vc,
        "the second number does not come",
    )
    bought = [w for w in stack.writes_since(seq) if w.endswith("IncomingPhoneNumbers.json")]
    assert len(bought) == 1
    e164 = {n["e164"] for n in vc["status"]["numbers"]}
    [inbound] = [
        t
        for t in routing(stack).trunks.values()
        if t.mark and t.mark.client_id == vc["status"]["clientID"]
    ]
    assert inbound.numbers == e164

    seq = stack.last_request()
    stack.patch("changing", {"telephony": {"numbers": numbers(1)}})
    until(
        lambda: len(stack.wait("changing", "Ready")["status"]["numbers"]) == 1,
        "the number does not go",
    )
    writes = stack.writes_since(seq)
    assert [w.split()[0] for w in writes] == ["DELETE"], writes


def test_suspend_sends_calls_to_the_fallback_and_resume_takes_them_back(stack: Stack) -> None:
    stack.apply(client("pausing", telephony={"fallback": {"forwardTo": "+14155550199"}}))
    number = stack.wait("pausing", "Answering")["status"]["primaryNumber"]

    def route() -> dict:
        return stack.sandbox.get("/_sandbox/route", params={"number": number}).json()

    stack.patch("pausing", {"suspend": True})
    vc = stack.wait("pausing", "Answering", "False")
    until(lambda: route()["trunkSid"] is None, "calls still take the trunk")
    vc = stack.wait("pausing", "Ready")
    assert conditions(vc)["Ready"]["reason"] == "Suspended"
    assert route()["forwardTo"] == "+14155550199"
    stack.patch("pausing", {"suspend": False})
    stack.wait("pausing", "Answering")
    assert route()["trunkSid"] is not None


def test_a_receptionist_is_loaded_and_reloaded(stack: Stack) -> None:
    stack.apply(client("wordy", receptionistRef={"name": "words"}))
    vc = stack.wait("wordy", "Ready", "False")
    assert conditions(vc)["Ready"]["reason"] == "ReceptionistNotFound"
    stack.apply(receptionist("words", greeting="Hello from {business}."))
    vc = stack.wait("wordy", "Answering")
    seq = stack.last_request()
    stack.apply(receptionist("words", greeting="Good day from {business}."))
    until(lambda: "ReconfigureAgent" in stack.log(), "the agent is not reconfigured")
    assert stack.writes_since(seq) == []


def test_a_calendars_secret_is_asked_for_and_reaches_the_unit(stack: Stack) -> None:
    caldav = {"url": "https://dav.example/cal/", "secretRef": {"name": "cal"}}
    stack.apply(receptionist("dated", calendar={"caldav": caldav}))
    stack.apply(client("dated", receptionistRef={"name": "dated"}))
    ready = conditions(stack.wait("dated", "Ready", "False"))["Ready"]
    assert ready["reason"] == "CalendarSecretNotUsable"
    assert "bind the ClusterRole voicefleet-client-secrets" in ready["message"]
    stack.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "calendars", "namespace": "default"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "voicefleet-client-secrets",
            },
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": "voicefleet-operator",
                    "namespace": "voicefleet-system",
                }
            ],
        }
    )
    until(
        lambda: "there is no Secret" in conditions(stack.client("dated"))["Ready"]["message"],
        "the missing Secret is not said",
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cal"}}
    stack.apply({**secret, "stringData": {"username": "practice"}})
    until(
        lambda: "lacks password" in conditions(stack.client("dated"))["Ready"]["message"],
        "the missing key is not said",
        seconds=30,
    )
    stack.apply({**secret, "stringData": {"username": "practice", "password": "quiet-word"}})
    stack.wait("dated", "Answering")
    assert "quiet-word" not in str(stack.client("dated"))
    assert "quiet-word" not in stack.log()


def test_numbers_wait_for_the_payment_at_checkout(stack: Stack) -> None:
    billing = {"collection": "Checkout", "activation": "OnPayment"}
    stack.apply(client("paying", billing=billing))
    vc = stack.wait("paying", "Ready", "False")
    url = until(
        lambda: stack.client("paying")["status"].get("billing", {}).get("checkoutURL"),
        "there is no link to pay by",
    )
    vc = stack.client("paying")
    assert conditions(vc)["Ready"]["reason"] == "AwaitingPayment"
    time.sleep(2)
    client_id = vc["status"]["clientID"]
    assert not [e for e in stack.ledger() if client_id in str(e["mark"])]
    assert stack.sandbox.post(url, data={"pay": "yes"}).status_code == 200
    vc = stack.wait("paying", "Answering")
    assert "checkoutURL" not in vc["status"]["billing"]
    assert len(stack.subscriptions("paying")) == 1


def test_who_pays_and_leaves_at_the_same_moment_is_not_billed_for_ever(stack: Stack) -> None:
    billing = {"collection": "Checkout", "activation": "OnPayment"}
    stack.apply(client("fickle", billing=billing))
    url = until(
        lambda: stack.client("fickle").get("status", {}).get("billing", {}).get("checkoutURL"),
        "there is no link to pay by",
    )
    assert stack.sandbox.post(url, data={"pay": "yes"}).status_code == 200
    # Before the operator asks for the payment again.
    stack.delete("fickle")
    assert stack.subscriptions("fickle") == []
    assert not [e for e in stack.ledger(only_open=True) if "fickle" in str(e["mark"])]


@pytest.mark.parametrize("power", ["billing", "telephony"])
def test_powers_are_independent(stack: Stack, power: str) -> None:
    name = f"no-{power}"
    spec = {power: {"mode": "None"}}
    if power == "telephony":
        spec["telephony"]["numbers"] = None
    stack.apply(client(name, **spec))
    vc = stack.wait(name, "Ready")
    if power == "billing":
        stack.wait(name, "Answering")
        assert stack.subscriptions(name) == []
    else:
        assert conditions(vc)["Answering"]["reason"] == "NoTelephony"
        client_id = vc["status"]["clientID"]
        assert not [t for t in stack.twilio_lists()["trunks"] if client_id in t["friendly_name"]]


def test_deletion_protection_covers_the_namespace(stack: Stack) -> None:
    stack.kubectl("create", "namespace", "guarded")
    manifest = client("kept", deletionProtection=True)
    manifest["metadata"]["namespace"] = "guarded"
    stack.apply(manifest)
    until(
        lambda: (
            stack.get("namespace", "guarded")["metadata"]["labels"].get(
                "voicefleet.dev/deletion-protected"
            )
            == "true"
        ),
        "the namespace is not labelled",
    )
    with pytest.raises(Exception, match="deletionProtection"):
        stack.kubectl("delete", "vc", "kept", "-n", "guarded", "--wait=false")
    with pytest.raises(Exception, match="guarded"):
        stack.kubectl("delete", "namespace", "guarded", "--wait=false")
    patch = '{"spec":{"deletionProtection":false}}'
    stack.kubectl("patch", "vc", "kept", "-n", "guarded", "--type=merge", "-p", patch)
    stack.kubectl("delete", "vc", "kept", "-n", "guarded", "--timeout=60s")


def test_a_retained_number_returns_only_to_its_client(stack: Stack) -> None:
    kept = [{"name": "main", "request": {"areaCode": "303"}, "reclaimPolicy": "Retain"}]
    stack.apply(client("leaver", telephony={"numbers": kept}))
    number = stack.wait("leaver", "Answering")["status"]["primaryNumber"]
    stack.delete("leaver")
    [pn] = stack.get("pn")["items"]
    assert (pn["status"]["phase"], pn["status"]["e164"]) == ("Quarantined", number)
    stack.apply(client("stranger", telephony={"numbers": kept}))
    assert stack.wait("stranger", "Answering")["status"]["primaryNumber"] != number
    stack.apply(client("leaver", telephony={"numbers": kept}))
    assert stack.wait("leaver", "Answering")["status"]["primaryNumber"] == number


def test_a_fleet_goes_after_its_clients(stack: Stack) -> None:
    stack.apply(client("member"))
    stack.wait("member", "Answering")
    stack.kubectl("delete", "fleet", "default", "--wait=false")
    try:
        until(
            lambda: conditions(stack.get("fleet", "default"))["Ready"]["reason"] == "InUse",
            "the fleet does not say that it is in use",
        )
        stack.delete("member")
        stack.kubectl("wait", "--for=delete", "fleet/default", "--timeout=60s")
    finally:
        stack.set_fleet()
        stack.kubectl("wait", "--for=condition=Ready", "fleet/default", "--timeout=60s")
