"""Twelve clients on one machine: each its own pod, number, name and words; then nothing is left.

The tests run in this order: the last one takes everything away.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.manifests import receptionist
from support.phones import knock, ring, ring_together
from support.speech import says, transcribe
from support.stack import Stack, until
from voicefleet_infra.services import livekit_keys
from voicefleet_operator.drivers.livekit import LiveKitDriver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Words that a telephone line and a small transcriber leave whole.
_WORDS = ("pineapple", "umbrella", "elephant", "chocolate", "dinosaur", "mountain", "butterfly")


def routing(stack: Stack, work: Callable[[LiveKitDriver], Any]) -> Any:
    """Do something with LiveKit's objects of the fleet."""

    async def do() -> Any:
        url = f"ws://127.0.0.1:{stack.platform.port('livekit')}"
        fleet_id = stack.get("fleet", "default")["status"]["fleetID"]
        driver = LiveKitDriver(url, *livekit_keys(stack.platform), fleet_id=fleet_id)
        try:
            return await work(driver)
        finally:
            await driver.close()

    return asyncio.run(do())


def test_twelve_samples_have_one_of_each_thing(platform: Any) -> None:
    clients = platform.get("vc")["items"]
    assert len(clients) == 12
    table = platform.kubectl("get", "vc")
    for vc in clients:
        name, status = vc["metadata"]["name"], vc["status"]
        assert vc["spec"]["plan"] in table
        assert status["primaryNumber"] in table
        assert status["endpoints"]["url"] in table
        host = status["endpoints"]["url"].removeprefix("https://")
        dig = subprocess.run(
            ["dig", "+short", "@127.0.0.1", "-p", str(platform.platform.port("dns")), host],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert dig.stdout.strip() == platform.platform.address
        assert len(platform.subscriptions(name)) == 1
    ids = [vc["status"]["clientID"] for vc in clients]
    assert sorted(platform.pods()) == sorted(f"vf-{client_id}" for client_id in ids)
    lists = platform.twilio_lists()
    wanted = sum(len(vc["spec"]["telephony"]["numbers"]) for vc in clients)
    assert len(lists["numbers"]) == wanted
    assert len(lists["trunks"]) == 12
    customers = platform.stripe().v1.customers.list({"limit": 100}).data
    assert sorted(c.metadata.to_dict()["voicefleet_client"] for c in customers) == sorted(ids)
    memory = psutil.virtual_memory()
    print(f"memory left with twelve clients: {memory.available >> 20} of {memory.total >> 20} MiB")
    assert memory.available > memory.total // 4


def pod(platform: Any, name: str) -> str:
    """Name of the client's container."""
    return f"vf-{platform.client(name)['status']['clientID']}-agent"


def spoken(container: str) -> int:
    """How many greetings the agent has made ready."""
    shown = subprocess.run(["podman", "logs", container], capture_output=True, text=True)
    return (shown.stdout + shown.stderr).count("GreetingReady")


@pytest.fixture(scope="module")
def two_numbers(platform: Any) -> dict[str, tuple[str, str]]:
    """Two clients with words made up for this run: business name -> (number, word).

    Of the samples, those whose names a small transcriber spells right.
    """
    # Twelve pods that make their first words at the same time leave no processor for a call.
    for vc in platform.get("vc")["items"]:
        container = pod(platform, vc["metadata"]["name"])
        until(lambda container=container: spoken(container), f"{container} is silent", seconds=240)
    first, second = secrets.SystemRandom().sample(_WORDS, 2)
    words = {"harbor-family-medicine": first, "evergreen-air": second}
    found = {}
    for name, word in words.items():
        before = spoken(pod(platform, name))
        greeting = f"Hello, this is {{business}}. Our word is {word}."
        platform.apply(receptionist(f"{name}-words", greeting=greeting))
        platform.patch(name, {"receptionistRef": {"name": f"{name}-words"}})
        vc = platform.wait(name, "Answering")
        found[vc["spec"]["business"]["name"]] = (vc["status"]["primaryNumber"], word)
        # Speech is made ahead by the agent, after its configuration was replaced.
        until(
            lambda name=name, before=before: spoken(pod(platform, name)) > before,
            "the new words are not spoken",
            seconds=120,
        )
    return found


def heard_right(heard: str, business: str, word: str, others: list[tuple[str, str]]) -> bool:
    """Whether a caller heard this client, and no other."""
    own = says(heard, f"{business}. Our word is {word}")
    return own and not any(says(heard, b) or says(heard, w) for b, w in others)


def test_two_callers_at_once_each_hear_their_own_client(
    platform: Any, two_numbers: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    recordings = ring_together(platform, [n for n, _ in two_numbers.values()], tmp_path)
    heard = [transcribe(recording) for recording in recordings]
    clients = [(business, word) for business, (_, word) in two_numbers.items()]
    assert heard_right(heard[0], *clients[0], [clients[1]]), heard
    assert heard_right(heard[1], *clients[1], [clients[0]]), heard


def test_crossed_rules_are_heard(
    platform: Any, two_numbers: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """The listener above is no yes-man: with the two rules crossed it hears the wrong client."""
    (first, (number, word)), (second, (_, other)) = two_numbers.items()
    ids = {
        vc["spec"]["business"]["name"]: vc["status"]["clientID"]
        for vc in platform.get("vc")["items"]
    }

    async def point(driver: LiveKitDriver, crossed: bool) -> None:
        found = await driver.inventory()
        for own, foreign in ((first, second), (second, first)):
            [rule] = [r for r in found.rules.values() if r.mark.client_id == ids[own]]
            agent = ids[foreign] if crossed else ids[own]
            [trunk_id] = rule.trunk_ids
            await driver.replace_rule(
                rule.id, mark=rule.mark, trunk_id=trunk_id, agent_name=f"voicefleet-{agent}"
            )

    routing(platform, lambda driver: point(driver, True))
    try:
        call = ring(platform, number, tmp_path / "crossed.wav")
        assert call.recording, call
        heard = transcribe(call.recording)
        assert not heard_right(heard, first, word, [(second, other)]), heard
        assert heard_right(heard, second, other, [(first, word)]), heard
    finally:
        routing(platform, lambda driver: point(driver, False))


def test_a_killed_worker_is_seen_within_five_seconds_and_comes_back(platform: Any) -> None:
    platform.wait("pipeworks", "Answering")
    pid = subprocess.run(
        ["podman", "inspect", "-f", "{{.State.Pid}}", pod(platform, "pipeworks")],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    killed = time.monotonic()
    psutil.Process(int(pid)).kill()
    platform.wait("pipeworks", "Answering", "False", seconds=5)
    print(f"seen after {time.monotonic() - killed:.1f} s")
    platform.wait("pipeworks", "Answering", seconds=90)
    print(f"answering again after {time.monotonic() - killed:.1f} s")


def test_strangers_and_unknown_numbers_are_refused(platform: Any) -> None:
    """LiveKit SIP says 100 and 180 to everybody and then drops what it does not admit: what
    counts is whether a call is ever answered."""
    number = platform.client("pipeworks")["status"]["primaryNumber"]
    foreign = knock(platform, number, "127.0.0.2")
    unknown = knock(platform, "+14155550123", platform.platform.address)
    known = knock(platform, number, platform.platform.address)
    print("answers:", {"foreign": foreign, "unknown": unknown, "known": known})
    assert not [status for status in foreign if 200 <= status < 300], foreign
    assert not [status for status in unknown if 200 <= status < 300], unknown
    assert [status for status in known if 200 <= status < 300], known


def test_deleting_all_leaves_nothing(platform: Any) -> None:
    ids = [vc["status"]["clientID"] for vc in platform.get("vc")["items"]]
    platform.kubectl("delete", "vc", "--all", "--timeout=240s")
    assert platform.get("vc")["items"] == platform.get("pn")["items"] == []
    lists = platform.twilio_lists()
    assert lists["numbers"] == lists["trunks"] == []
    assert platform.ledger(only_open=True) == []
    found = routing(platform, lambda driver: driver.inventory())
    assert found.trunks == found.rules == {}
    for listing in ("pod ps", "ps --all", "network ls", "volume ls", "secret ls"):
        shown = subprocess.run(
            ["podman", *listing.split()], capture_output=True, text=True, check=True
        ).stdout
        assert not [client_id for client_id in ids if client_id in shown], (listing, shown)
    zone = subprocess.run(
        ["dig", "+short", "@127.0.0.1", "-p", str(platform.platform.port("dns")),
         "bright-smile.fleet.test"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert zone.stdout.strip() == ""
