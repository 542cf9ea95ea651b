"""What belongs to nobody is found, priced and given back; another fleet's things are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.stack import Stack, client, until
from voicefleet_operator.drivers.stripe import StripeDriver
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.planning.observed import Mark

pytestmark = pytest.mark.integration


def voicefleet(stack: Stack, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("voicefleet")), *arguments],
        env={**os.environ, "KUBECONFIG": str(stack.kubeconfig)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout or done.stderr


def listed(stack: Stack) -> tuple[int, list[dict[str, Any]]]:
    code, text = voicefleet(stack, "orphans", "-o", "json")
    return code, json.loads(text)


async def neighbours_things(stack: Stack) -> None:
    """Another fleet on the same accounts has a number, a trunk and a customer."""
    account, token = stack.platform.secret("twilio-account"), stack.platform.secret("twilio-token")
    base = stack.platform.sandbox_url
    mark = Mark("vf-neighbor", "vc-0000000000", "default", "theirs")
    twilio = TwilioDriver(
        account, auth_token=token, api_key_sid=None, api_key_secret=None, base_url=base,
        fleet_id=mark.fleet_id,
    )  # fmt: skip
    [e164] = await twilio.search_numbers(country="US", area_code="512", limit=1)
    name = f"voicefleet/{mark.fleet_id}/{mark.client_id}"
    await twilio.buy_number(e164, friendly_name=f"{name}/main")
    await twilio.create_trunk(
        client_id=mark.client_id, friendly_name=name, disaster_recovery_url=None
    )
    await twilio.close()
    key = f"sk_test_{stack.platform.secret('stripe')}"
    stripe = StripeDriver(key, base_url=base, fleet_id=mark.fleet_id)
    await stripe.create_customer("op-neighbour", mark=mark, name="Theirs", email=None)
    await stripe.close()


async def test_what_a_lost_cluster_leaves_is_found_and_given_back(stack: Stack) -> None:
    stack.kubectl("wait", "--for=condition=Ready", "fleet/default", "--timeout=60s")
    assert listed(stack) == (0, [])
    stack.apply(client("lost"), client("found"))
    lost = stack.wait("lost", "Answering")["status"]["clientID"]
    stack.wait("found", "Answering")
    assert listed(stack) == (0, [])
    await neighbours_things(stack)
    theirs = stack.ledger()[-1]
    # By force: the finalizers taken off by hand.
    stack.stop_operator()
    for thing in ("vc/lost", f"pn/{lost}-{stack.client('lost')['status']['numbers'][0]['name']}"):
        stack.kubectl("delete", thing, "--wait=false")
        stack.kubectl("patch", thing, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')

    code, found = listed(stack)
    assert code == 2
    assert sorted(thing["kind"] for thing in found) == [
        "CarrierTrunk", "DNSName", "DispatchRule", "InboundTrunk", "Number", "Subscription",
    ]  # fmt: skip
    assert all(lost in thing["owner"] for thing in found)
    assert sum(thing["monthlyCostMinor"] for thing in found) == 115
    assert sum(thing["monthlyChargeMinor"] for thing in found) == 49900
    costs = json.loads(voicefleet(stack, "cost", "-o", "json")[1])
    assert (costs["priceMinor"], costs["clientsCostMinor"]) == (49900, 115)
    assert (costs["orphansCostMinor"], costs["marginMinor"]) == (115, 49900 - 230)

    assert voicefleet(stack, "orphans", "--release", "--yes")[0] == 0
    assert listed(stack) == (0, [])
    still = [e for e in stack.ledger(only_open=True) if lost in str(e["mark"])]
    assert still == []
    assert theirs in stack.ledger(only_open=True)
    assert [n for n in stack.twilio_lists()["numbers"] if "vf-neighbor" in n["friendly_name"]]
    stack.start_operator()
    stack.wait("found", "Answering")


def test_dead_credentials_do_not_keep_a_client_for_ever(stack: Stack) -> None:
    stack.apply(client("stuck"))
    vc = stack.wait("stuck", "Answering")
    number = vc["status"]["primaryNumber"]
    assert voicefleet(stack, "abandon", "vc", "stuck", "--yes")[0] == 1
    stack.fault("error", status=500, vendor="stripe", times=None)
    stack.fault("error", status=500, vendor="twilio", times=None)
    stack.kubectl("delete", "vc", "stuck", "--wait=false")
    code, said = voicefleet(stack, "abandon", "vc", "stuck", "--yes")
    assert code == 0
    assert number in said
    assert vc["status"]["billing"]["subscriptionID"] in said
    until(lambda: "stuck" not in stack.kubectl("get", "vc", "-o", "name"), "it does not go")
    until(lambda: stack.get("pn")["items"] == [], "its number does not go")
    # What it has in flight would otherwise be carried out after all.
    stack.stop_operator()
    stack.clear_faults()
    code, found = listed(stack)
    assert code == 2
    assert {"Number", "Subscription"} <= {thing["kind"] for thing in found}
    assert voicefleet(stack, "orphans", "--release", "--yes")[0] == 0
