"""The DNS driver against a real knotd."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import pytest

from integration.drivers.harness import FLEET, ZONE, BadServer, Knot, reset, silent
from voicefleet_operator.drivers.dns import DNSDriver
from voicefleet_operator.drivers.errors import Ambiguous, Rejected, Unauthorized, Unavailable
from voicefleet_operator.planning.observed import DNSName, Mark

pytestmark = pytest.mark.integration

MakeDriver = Callable[..., DNSDriver]


@pytest.fixture
def make_driver(knot: Knot) -> MakeDriver:
    """Makes drivers for the test server, with what differs."""

    def make(**changes: Any) -> DNSDriver:
        usual: dict[str, Any] = {
            "server": "127.0.0.1",
            "port": knot.port,
            "zone": ZONE,
            "tsig_name": "fleet",
            "tsig_algorithm": "hmac-sha256",
            "tsig_secret": knot.secret,
            "fleet_id": FLEET,
        }
        return DNSDriver(**{**usual, **changes})

    return make


@pytest.fixture
async def driver(make_driver: MakeDriver) -> AsyncIterator[DNSDriver]:
    """The fleet's driver."""
    made = make_driver()
    yield made
    await made.close()


@pytest.fixture
def label() -> str:
    """A name that nobody has yet."""
    return f"t{secrets.token_hex(5)}"


def by_hand(knot: Knot, change: Callable[[dns.update.UpdateMessage], None]) -> None:
    """Change the zone as a person would, past the driver."""
    update = dns.update.UpdateMessage(
        ZONE, keyring=dns.tsigkeyring.from_text({"fleet": ("hmac-sha256", knot.secret)})
    )
    change(update)
    answer = dns.query.tcp(update, "127.0.0.1", port=knot.port, timeout=60)
    assert answer.rcode() == dns.rcode.NOERROR


def resolve(knot: Knot, name: str, rtype: str) -> list[str]:
    """What the server tells the world."""
    query = dns.message.make_query(f"{name}.{ZONE}", rtype)
    answer = dns.query.udp(query, "127.0.0.1", port=knot.port, timeout=60)
    return sorted(rdata.to_text() for rrset in answer.answer for rdata in rrset)


@pytest.mark.parametrize(
    ("target", "rtype"),
    [("192.0.2.9", "A"), ("2001:db8::9", "AAAA"), ("edge.example.net", "CNAME")],
)
async def test_create_publishes_name_and_owner(
    driver: DNSDriver, knot: Knot, label: str, mark: Mark, target: str, rtype: str
) -> None:
    made = await driver.create(label, target=target, ttl=300, mark=mark)
    assert made == DNSName(label, rtype, target, 300, mark)
    assert (await driver.inventory())[label] == made
    assert resolve(knot, label, rtype) == [f"{target}." if rtype == "CNAME" else target]
    assert resolve(knot, f"_voicefleet.{label}", "TXT") == [
        f'"heritage=voicefleet,fleet={FLEET},client={mark.client_id},'
        'namespace=default,name=bright-smile"'
    ]


async def test_create_again_is_success(driver: DNSDriver, label: str, mark: Mark) -> None:
    """A reply was lost: the repeat finds its own name, and sets what it points at."""
    await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    again = await driver.create(label, target="192.0.2.10", ttl=60, mark=mark)
    assert (await driver.inventory())[label] == again
    assert (again.value, again.ttl) == ("192.0.2.10", 60)


async def test_create_refuses_another_clients_name(
    driver: DNSDriver, label: str, mark: Mark, other_mark: Mark
) -> None:
    theirs = await driver.create(label, target="192.0.2.9", ttl=300, mark=other_mark)
    with pytest.raises(Rejected, match="old-town-plumbing") as error:
        await driver.create(label, target="192.0.2.10", ttl=300, mark=mark)
    assert (error.value.reason, bool(error.value.hint)) == ("SubdomainTaken", True)
    assert (await driver.inventory())[label] == theirs


@pytest.mark.parametrize("taken", ["ns", "mail"])
async def test_create_refuses_names_of_the_zone(driver: DNSDriver, mark: Mark, taken: str) -> None:
    """Also a name that has records of other types only."""
    with pytest.raises(Rejected) as error:
        await driver.create(taken, target="192.0.2.10", ttl=300, mark=mark)
    assert error.value.reason == "SubdomainTaken"
    assert taken != "ns" or (await driver.inventory())["ns"].value == "127.0.0.1"


async def test_create_mends_a_name_whose_address_was_removed(
    driver: DNSDriver, knot: Knot, label: str, mark: Mark
) -> None:
    made = await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    by_hand(knot, lambda update: update.delete(label))
    assert label not in await driver.inventory()
    assert await driver.create(label, target="192.0.2.9", ttl=300, mark=mark) == made
    assert (await driver.inventory())[label] == made


async def test_update_changes_type_too(driver: DNSDriver, label: str, mark: Mark) -> None:
    await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    changed = await driver.update(label, target="edge.example.net", ttl=60, mark=mark)
    assert (await driver.inventory())[label] == changed
    assert changed.rtype == "CNAME"


async def test_update_needs_our_owner_record(
    driver: DNSDriver, label: str, mark: Mark, other_mark: Mark
) -> None:
    theirs = await driver.create(label, target="192.0.2.9", ttl=300, mark=other_mark)
    with pytest.raises(Rejected) as error:
        await driver.update(label, target="192.0.2.10", ttl=300, mark=mark)
    assert error.value.reason == "NotOurs"
    assert (await driver.inventory())[label] == theirs


async def test_delete_takes_name_and_owner(
    driver: DNSDriver, knot: Knot, label: str, mark: Mark
) -> None:
    await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    await driver.delete(label, mark=mark)
    assert label not in await driver.inventory()
    assert resolve(knot, f"_voicefleet.{label}", "TXT") == []
    await driver.delete(label, mark=mark)


async def test_delete_needs_our_owner_record(
    driver: DNSDriver, label: str, mark: Mark, other_mark: Mark
) -> None:
    theirs = await driver.create(label, target="192.0.2.9", ttl=300, mark=other_mark)
    with pytest.raises(Rejected) as error:
        await driver.delete(label, mark=mark)
    assert error.value.reason == "NotOurs"
    assert (await driver.inventory())[label] == theirs


async def test_delete_leaves_a_name_without_owner_record(
    driver: DNSDriver, knot: Knot, mark: Mark
) -> None:
    with pytest.raises(Rejected) as error:
        await driver.delete("ns", mark=mark)
    assert error.value.reason == "NotOurs"
    assert resolve(knot, "ns", "A") == ["127.0.0.1"]


async def test_delete_leaves_another_fleets_name(driver: DNSDriver, label: str, mark: Mark) -> None:
    """Two clusters share a zone, and an export took the client's id along."""
    await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    with pytest.raises(Rejected):
        await driver.delete(label, mark=replace(mark, fleet_id="vf-bbbbbbbb"))
    assert label in await driver.inventory()


async def test_a_renamed_client_keeps_its_name(driver: DNSDriver, label: str, mark: Mark) -> None:
    await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    moved = replace(mark, namespace="elsewhere")
    changed = await driver.update(label, target="192.0.2.10", ttl=300, mark=moved)
    assert (await driver.inventory())[label] == changed
    assert changed.mark == moved
    await driver.delete(label, mark=mark)
    assert label not in await driver.inventory()


async def test_long_names_of_clients(driver: DNSDriver, label: str, mark: Mark) -> None:
    """A TXT string has at most 255 bytes; namespace and name together may have 316."""
    long = replace(mark, namespace="n" * 63, name="c" * 253)
    made = await driver.create(label, target="192.0.2.9", ttl=300, mark=long)
    assert (await driver.inventory())[label] == made
    await driver.delete(label, mark=long)
    assert label not in await driver.inventory()


async def test_inventory_shows_what_others_added(
    driver: DNSDriver, knot: Knot, label: str, mark: Mark
) -> None:
    made = await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    by_hand(knot, lambda update: update.add(label, 300, "A", "192.0.2.66"))
    found = await driver.inventory()
    assert found[label].value == "192.0.2.66,192.0.2.9"
    assert "@" not in found
    assert found["ns"].mark is None
    await driver.update(label, target="192.0.2.9", ttl=300, mark=mark)
    assert (await driver.inventory())[label] == made


@pytest.mark.parametrize("tsig_name", ["fleet", "unknown"])
async def test_wrong_key(make_driver: MakeDriver, label: str, mark: Mark, tsig_name: str) -> None:
    driver = make_driver(tsig_name=tsig_name, tsig_secret="c2VjcmV0LXRoYXQtaXMtd3Jvbmc=")
    with pytest.raises(Unauthorized) as error:
        await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    assert "c2VjcmV0" not in str(error.value)
    with pytest.raises(Unauthorized):
        await driver.inventory()


async def test_key_without_rights(
    make_driver: MakeDriver, knot: Knot, label: str, mark: Mark
) -> None:
    driver = make_driver(tsig_name="powerless", tsig_secret=knot.powerless_secret)
    with pytest.raises(Unauthorized):
        await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    with pytest.raises(Unauthorized):
        await driver.inventory()


async def test_zone_not_served(make_driver: MakeDriver, label: str, mark: Mark) -> None:
    driver = make_driver(zone="elsewhere.test")
    with pytest.raises(Ambiguous, match="serve this zone"):
        await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)


def test_unknown_algorithm(make_driver: MakeDriver) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        make_driver(tsig_algorithm="nonsense")


async def test_server_by_host_name(make_driver: MakeDriver) -> None:
    assert "ns" in await make_driver(server="localhost").inventory()


async def test_server_not_found(make_driver: MakeDriver) -> None:
    with pytest.raises(Unavailable):
        await make_driver(server="nowhere.invalid").inventory()


async def test_nobody_there(make_driver: MakeDriver, nobody: str, label: str, mark: Mark) -> None:
    driver = make_driver(port=int(nobody.rsplit(":", 1)[1]))
    with pytest.raises(Unavailable):
        await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
    with pytest.raises(Unavailable):
        await driver.inventory()


@pytest.mark.parametrize("answer", [silent, reset])
async def test_reply_lost(
    make_driver: MakeDriver, bad_server: BadServer, label: str, mark: Mark, answer: Any
) -> None:
    address = await bad_server(answer)
    driver = make_driver(port=int(address.rsplit(":", 1)[1]), timeout=0.3)
    with pytest.raises(Ambiguous):
        await driver.create(label, target="192.0.2.9", ttl=300, mark=mark)
