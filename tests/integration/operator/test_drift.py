"""What a person changes at a vendor: found, repaired where it is free, reported where it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.stack import Stack, client, conditions, until
from voicefleet_infra.services import livekit_keys, tsig_secret
from voicefleet_operator.drivers.dns import DNSDriver
from voicefleet_operator.drivers.livekit import LiveKitDriver

pytestmark = pytest.mark.integration


def look(stack: Stack) -> None:
    """Have the operator list everything anew, as it does every ten minutes."""
    stack.stop_operator()
    stack.start_operator()


def dns(stack: Stack) -> DNSDriver:
    fleet_id = stack.get("fleet", "default")["status"]["fleetID"]
    return DNSDriver(
        server="127.0.0.1", port=stack.platform.port("dns"), zone="fleet.test",
        tsig_name="voicefleet", tsig_algorithm="hmac-sha256",
        tsig_secret=tsig_secret(stack.platform), fleet_id=fleet_id,
    )  # fmt: skip


def twilio(stack: Stack, method: str, path: str, **data: str) -> Any:
    """A request as the account's owner would make it in the console."""
    account = stack.platform.secret("twilio-account")
    auth = (account, stack.platform.secret("twilio-token"))
    return stack.sandbox.request(method, path.format(account=account), auth=auth, data=data)


def tamper(stack: Stack, vc: dict[str, Any]) -> None:
    """Delete the client's record and rule, and send its calls elsewhere."""
    client_id, label = vc["status"]["clientID"], vc["spec"]["dns"]["subdomain"]

    async def at_livekit_and_dns() -> None:
        keys = livekit_keys(stack.platform)
        url = f"ws://127.0.0.1:{stack.platform.port('livekit')}"
        fleet_id = stack.get("fleet", "default")["status"]["fleetID"]
        driver = LiveKitDriver(url, *keys, fleet_id=fleet_id)
        for rule in (await driver.inventory()).rules.values():
            if rule.mark and rule.mark.client_id == client_id:
                await driver.delete_rule(rule.id)
        await driver.close()
        [name] = [n for n in (await dns(stack).inventory()).values() if n.label == label]
        await dns(stack).delete(name.label, mark=name.mark)

    asyncio.run(at_livekit_and_dns())
    [trunk] = [t for t in stack.twilio_lists()["trunks"] if client_id in t["friendly_name"]]
    path = f"/twilio/trunking/v1/Trunks/{trunk['sid']}/OriginationUrls"
    [origination] = twilio(stack, "GET", path).json()["origination_urls"]
    moved = twilio(stack, "POST", f"{path}/{origination['sid']}", SipUrl="sip:evil.example")
    assert moved.status_code == 200


def test_what_is_free_is_repaired_and_said(stack: Stack) -> None:
    stack.apply(client("tampered"))
    vc = stack.wait("tampered", "Answering")
    ledger = stack.ledger()
    tamper(stack, vc)
    look(stack)
    stack.wait("tampered", "Answering")
    events = until(
        lambda: (
            (out := stack.kubectl("get", "events", "--field-selector=reason=DriftRepaired")).count(
                "DriftRepaired"
            )
            and out
        ),
        "the repair is not said",
    )
    for word in ("CreateDNSName", "SetOrigination", "CreateDispatchRule"):
        assert word in events
    assert stack.ledger() == ledger


def test_what_is_only_to_be_reported_stays_as_it_is(stack: Stack) -> None:
    stack.apply(client("watched", drift={"free": "Report"}))
    vc = stack.wait("watched", "Answering")
    tamper(stack, vc)
    seq = stack.last_request()
    look(stack)
    ready = conditions(stack.wait("watched", "Ready", "False"))
    assert ready["Ready"]["reason"] == "Drifted"
    assert "spec.drift.free" in ready["Ready"]["message"]
    assert stack.writes_since(seq) == []
    stack.patch("watched", {"drift": {"free": "Repair"}})
    stack.wait("watched", "Answering")


def test_what_would_cost_is_reported_and_done_when_asked_for(stack: Stack) -> None:
    stack.apply(client("robbed"))
    vc = stack.wait("robbed", "Answering")
    [number] = [
        n
        for n in stack.twilio_lists()["numbers"]
        if n["phone_number"] == vc["status"]["primaryNumber"]
    ]
    path = "/twilio/api/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/"
    assert twilio(stack, "DELETE", f"{path}{number['sid']}.json").status_code == 204
    [subscription] = stack.subscriptions("robbed")
    stack.stripe().v1.subscriptions.cancel(subscription["id"])
    ledger = stack.ledger()
    look(stack)
    stack.wait("robbed", "Ready", "False")
    reasons = {
        kind: condition["reason"] for kind, condition in conditions(stack.client("robbed")).items()
    }
    assert reasons["BillingReady"] == "SubscriptionCancelled"
    assert reasons["TelephonyReady"] == "NumberMissing"
    assert stack.ledger() == ledger

    stack.patch("robbed", {"drift": {"paid": "Repair"}})
    vc = stack.wait("robbed", "Answering")
    assert vc["status"]["primaryNumber"]
    assert len(stack.subscriptions("robbed")) == 1
    bought = [e["kind"] for e in stack.ledger()[len(ledger) :]]
    assert sorted(bought) == ["number.purchased", "subscription.created"]


def test_a_retained_number_that_is_gone_does_not_keep_its_client(stack: Stack) -> None:
    kept = [{"name": "main", "request": {"areaCode": "303"}, "reclaimPolicy": "Retain"}]
    stack.apply(client("bereft", telephony={"numbers": kept}))
    vc = stack.wait("bereft", "Answering")
    [number] = [
        n
        for n in stack.twilio_lists()["numbers"]
        if n["phone_number"] == vc["status"]["primaryNumber"]
    ]
    path = "/twilio/api/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/"
    assert twilio(stack, "DELETE", f"{path}{number['sid']}.json").status_code == 204
    look(stack)
    stack.wait("bereft", "Ready", "False")
    stack.delete("bereft")
    stack.kubectl("delete", "pn", "--all", "--timeout=90s")
