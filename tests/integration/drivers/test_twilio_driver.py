"""The Twilio driver, through the official SDK, against the sandbox."""

from __future__ import annotations

import asyncio
import logging
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from integration.drivers.harness import FLEET, BadServer, Sandbox, reset, saying, silent, writes
from voicefleet_operator.drivers import twilio
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
    VendorError,
)
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.planning.observed import CarrierNumber, CarrierTrunk, Mark

pytestmark = pytest.mark.integration

EDGE_A, EDGE_B = "sip:192.0.2.1:5060", "sip:192.0.2.2:5060"
FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"


@pytest.fixture
def account_sid() -> str:
    """A Twilio account that is this test's own."""
    return f"AC{secrets.token_hex(16)}"


@pytest.fixture
async def driver(sandbox: Sandbox, account_sid: str) -> AsyncIterator[TwilioDriver]:
    """The fleet's driver."""
    made = TwilioDriver(account_sid, auth_token="secret", base_url=sandbox.url, fleet_id=FLEET)
    yield made
    await made.close()


@pytest.fixture
async def area(sandbox: Sandbox) -> str:
    """An area code whose numbers nobody has bought yet, with twelve for sale."""
    code = str(200 + secrets.randbelow(700))
    await sandbox.stock(**{f"a{code}": 12})
    return code


async def buy(driver: TwilioDriver, area: str, name: str = "voicefleet/x") -> CarrierNumber:
    """A number of that area code."""
    [e164] = await driver.search_numbers(country="US", area_code=area, limit=1)
    return await driver.buy_number(e164, friendly_name=name)


async def make_trunk(driver: TwilioDriver, mark: Mark, **changes: Any) -> CarrierTrunk:
    """The client's trunk."""
    usual: dict[str, Any] = {
        "client_id": mark.client_id,
        "friendly_name": f"voicefleet/{FLEET}/{mark.client_id}",
        "disaster_recovery_url": FORWARD,
    }
    return await driver.create_trunk(**{**usual, **changes})


# --- numbers ----------------------------------------------------------------------------------


async def test_search(driver: TwilioDriver, area: str) -> None:
    offered = await driver.search_numbers(country="US", area_code=area, limit=5)
    assert len(offered) == 5
    assert all(number.startswith(f"+1{area}") and len(number) == 12 for number in offered)
    assert area in await driver.suggest_area_codes("US")


async def test_nothing_for_sale(driver: TwilioDriver, sandbox: Sandbox, area: str) -> None:
    await sandbox.stock(**{f"a{area}": 0})
    assert await driver.search_numbers(country="US", area_code=area) == []
    with pytest.raises(Rejected) as error:
        await driver.search_numbers(country="AQ", area_code=None)
    assert error.value.reason == "CountryNotOffered"


async def test_buy_exactly_this_one(
    driver: TwilioDriver, sandbox: Sandbox, account_sid: str, area: str
) -> None:
    e164 = (await driver.search_numbers(country="US", area_code=area))[3]
    async with sandbox.watched() as requests:
        bought = await driver.buy_number(e164, friendly_name="voicefleet/f/c/main")
    assert writes(requests) == [
        f"POST /2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers.json"
    ]
    assert "AreaCode" not in requests[0]["parameters"]
    assert bought == CarrierNumber(bought.sid, e164, "voicefleet/f/c/main", None, None)
    assert (await driver.inventory()).numbers == {bought.sid: bought}
    with pytest.raises(Rejected) as error:
        await driver.buy_number(e164, friendly_name="voicefleet/f/d/main")
    assert error.value.reason == "NumberUnavailable"
    assert "21422" in error.value.message


async def test_find_is_exact(driver: TwilioDriver, area: str) -> None:
    """Twilio's filter matches parts of numbers, too."""
    bought = await buy(driver, area)
    assert await driver.find_number(bought.e164) == bought
    assert await driver.find_number(bought.e164[:-1]) is None
    assert await driver.find_number("+1" + bought.e164[4:]) is None
    assert await driver.find_number("+14155550100") is None


async def test_update_number(driver: TwilioDriver, mark: Mark, area: str) -> None:
    bought = await buy(driver, area)
    trunk = await make_trunk(driver, mark)
    routed = await driver.update_number(bought.sid, trunk_sid=trunk.sid)
    assert (routed.trunk_sid, routed.friendly_name) == (trunk.sid, bought.friendly_name)
    forwarded = await driver.update_number(bought.sid, trunk_sid="", voice_url=FORWARD)
    assert (forwarded.trunk_sid, forwarded.voice_url) == (None, FORWARD)
    named = await driver.update_number(bought.sid, friendly_name="voicefleet/y")
    assert (named.friendly_name, named.voice_url) == ("voicefleet/y", FORWARD)
    assert (await driver.update_number(bought.sid, voice_url="")).voice_url is None
    with pytest.raises(Gone):
        await driver.update_number("PN" + "0" * 32, friendly_name="x")


async def test_release(driver: TwilioDriver, sandbox: Sandbox, account_sid: str, area: str) -> None:
    bought = await buy(driver, area)
    for _ in range(2):
        await driver.release_number(bought.sid)
    assert (await driver.inventory()).numbers == {}
    kinds = [entry["kind"] for entry in await sandbox.ledger(bought.sid)]
    assert kinds == ["number.purchased", "number.released"]


async def test_pages(
    driver: TwilioDriver, monkeypatch: pytest.MonkeyPatch, mark: Mark, area: str
) -> None:
    monkeypatch.setattr("voicefleet_operator.drivers.twilio._PAGE", 2)
    bought = {(await buy(driver, area)).sid for _ in range(5)}
    trunks = set()
    for index in range(3):
        client = f"vc-{index:010}"
        trunk = await make_trunk(
            driver, mark, client_id=client, friendly_name=f"voicefleet/{FLEET}/{client}"
        )
        trunks.add(trunk.sid)
    found = await driver.inventory()
    assert (set(found.numbers), set(found.trunks)) == (bought, trunks)


# --- trunks -----------------------------------------------------------------------------------


async def test_trunk(driver: TwilioDriver, mark: Mark) -> None:
    made = await make_trunk(driver, mark)
    assert made.domain_name == f"{mark.client_id}-{FLEET}.pstn.twilio.com"
    assert (made.disaster_recovery_url, made.transfers, made.calls_out) == (FORWARD, True, False)
    assert await driver.find_trunk(mark.client_id) == made
    assert (await driver.inventory()).trunks == {made.sid: made}
    assert await make_trunk(driver, mark) == made
    changed = await driver.update_trunk(made.sid, disaster_recovery_url=None, secure=True)
    assert changed.disaster_recovery_url is None
    assert (made.secure, changed.secure) == (False, True)
    assert await driver.find_trunk(mark.client_id) == changed
    for _ in range(2):
        await driver.delete_trunk(made.sid)
    assert (await driver.inventory()).trunks == {}
    with pytest.raises(Gone):
        await driver.update_trunk(made.sid, disaster_recovery_url=None)


async def test_a_trunk_that_may_not_transfer_is_let(driver: TwilioDriver, mark: Mark) -> None:
    made = await make_trunk(driver, mark)
    await driver._trunks(made.sid).update_async(transfer_mode="disable-all")
    assert not (await driver.inventory()).trunks[made.sid].transfers
    assert (await driver.update_trunk(made.sid, disaster_recovery_url=FORWARD)).transfers


async def test_trunks_of_others(driver: TwilioDriver, mark: Mark, other_mark: Mark) -> None:
    await make_trunk(driver, other_mark, friendly_name="somebody else's")
    await make_trunk(driver, mark, friendly_name=f"voicefleet/vf-bbbbbbbb/{mark.client_id}")
    assert (await driver.inventory()).trunks == {}
    assert await driver.find_trunk(mark.client_id[:-1]) is None


async def test_renamed_trunk_is_ours_again(driver: TwilioDriver, mark: Mark) -> None:
    """A person has changed its name in the console: its domain still says whose it is."""
    made = await make_trunk(driver, mark, friendly_name="renamed by hand")
    again = await make_trunk(driver, mark)
    assert again.sid == made.sid
    assert (await driver.inventory()).trunks == {made.sid: again}


async def test_domain_that_is_not_free(driver: TwilioDriver, sandbox: Sandbox, mark: Mark) -> None:
    """Twilio keeps a deleted trunk's domain for 30 days (here another account has it)."""
    elsewhere = TwilioDriver(
        f"AC{secrets.token_hex(16)}", auth_token="x", base_url=sandbox.url, fleet_id=FLEET
    )
    await make_trunk(elsewhere, mark)
    made = await make_trunk(driver, mark)
    assert made.domain_name == f"{mark.client_id}-{FLEET}-2.pstn.twilio.com"
    assert await make_trunk(driver, mark) == made
    assert await driver.find_trunk(mark.client_id) == made
    await elsewhere.close()


async def test_no_domain_is_free(
    driver: TwilioDriver, sandbox: Sandbox, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicefleet_operator.drivers.twilio._DOMAINS", 1)
    elsewhere = TwilioDriver(
        f"AC{secrets.token_hex(16)}", auth_token="x", base_url=sandbox.url, fleet_id=FLEET
    )
    await make_trunk(elsewhere, mark)
    with pytest.raises(Rejected) as error:
        await make_trunk(driver, mark)
    assert error.value.reason == "DomainTaken"
    await elsewhere.close()


async def test_origination_changes_only_what_differs(
    driver: TwilioDriver, sandbox: Sandbox, mark: Mark
) -> None:
    trunk = await make_trunk(driver, mark)
    made = await driver.set_origination(trunk.sid, [EDGE_A, EDGE_B])
    assert [(u.sip_url, u.priority, u.weight, u.enabled) for u in made] == [
        (EDGE_A, 10, 10, True),
        (EDGE_B, 20, 10, True),
    ]
    assert (await driver.inventory()).trunks[trunk.sid].origination == made
    async with sandbox.watched() as requests:
        assert await driver.set_origination(trunk.sid, [EDGE_A, EDGE_B]) == made
    assert writes(requests) == []
    urls = f"/v1/Trunks/{trunk.sid}/OriginationUrls"
    async with sandbox.watched() as requests:
        [left] = await driver.set_origination(trunk.sid, [EDGE_B])
    assert writes(requests) == [f"POST {urls}/{made[1].sid}", f"DELETE {urls}/{made[0].sid}"]
    assert (left.sid, left.priority) == (made[1].sid, 10)


async def test_origination_urls_of_many_trunks_are_read_in_turns(
    driver: TwilioDriver, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "_ORIGINATION_TURN", 1)
    marks = [replace(mark, client_id=f"{mark.client_id}{i}") for i in range(2)]
    sids = {(await make_trunk(driver, each)).sid for each in marks}
    first = {s: t.origination for s, t in (await driver.inventory()).trunks.items() if s in sids}
    assert sorted(first.values(), key=str) == [(), None]
    second = {s: t.origination for s, t in (await driver.inventory()).trunks.items() if s in sids}
    assert list(second.values()) == [(), ()]


async def test_origination_url_that_is_there_twice(
    driver: TwilioDriver, sandbox: Sandbox, mark: Mark
) -> None:
    """A lost reply, repeated by somebody: the calls would be split by weight."""
    trunk = await make_trunk(driver, mark)
    await driver.set_origination(trunk.sid, [EDGE_A])
    service = driver._trunks(trunk.sid).origination_urls
    await service.create_async(
        weight=5, priority=10, enabled=True, friendly_name="again", sip_url=EDGE_A
    )
    [left] = await driver.set_origination(trunk.sid, [EDGE_A])
    assert (left.sip_url, left.weight) == (EDGE_A, 10)


async def test_origination_with_weight_changed_by_hand(driver: TwilioDriver, mark: Mark) -> None:
    trunk = await make_trunk(driver, mark)
    [made] = await driver.set_origination(trunk.sid, [EDGE_A])
    await driver._trunks(trunk.sid).origination_urls(made.sid).update_async(weight=99)
    assert await driver.set_origination(trunk.sid, [EDGE_A]) == (made,)


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "reset"])
async def test_lost_reply_of_a_purchase(
    driver: TwilioDriver, sandbox: Sandbox, area: str, kind: str
) -> None:
    """It is not repeated by the driver; looking for the number tells what has become of it."""
    [e164] = await driver.search_numbers(country="US", area_code=area, limit=1)
    await sandbox.fault(kind, vendor="twilio", method="POST")
    async with sandbox.watched() as requests:
        with pytest.raises(Ambiguous):
            await driver.buy_number(e164, friendly_name="voicefleet/x")
    assert len(requests) == 1
    found = await driver.find_number(e164)
    assert (found is not None) == (kind == "drop")


async def test_lost_reply_of_a_trunk(driver: TwilioDriver, sandbox: Sandbox, mark: Mark) -> None:
    await sandbox.fault("drop", vendor="twilio", method="POST")
    with pytest.raises(Ambiguous):
        await make_trunk(driver, mark)
    made = await make_trunk(driver, mark)
    assert set((await driver.inventory()).trunks) == {made.sid}


async def test_trunk_whose_first_request_arrives_late(
    driver: TwilioDriver, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not there when looked for, and there when the second request arrives."""
    made = await make_trunk(driver, mark)
    look = driver.find_trunk
    seen = 0

    async def first_blind(client_id: str) -> CarrierTrunk | None:
        nonlocal seen
        seen += 1
        return None if seen == 1 else await look(client_id)

    monkeypatch.setattr(driver, "find_trunk", first_blind)
    assert await make_trunk(driver, mark) == made
    assert seen == 2


async def test_throttled(driver: TwilioDriver, sandbox: Sandbox, area: str) -> None:
    [e164] = await driver.search_numbers(country="US", area_code=area, limit=1)
    await sandbox.fault("throttle", vendor="twilio", retryAfter=0.2, times=2)
    with pytest.raises(Throttled, match="Too many requests") as error:
        await driver.buy_number(e164, friendly_name="x")
    assert error.value.retry_after == 0.2
    await asyncio.sleep(0.3)
    with pytest.raises(Throttled, match="Too many requests"):
        await driver.inventory()
    await asyncio.sleep(0.3)
    assert (await driver.inventory()).numbers == {}


async def test_reads_are_repeated(driver: TwilioDriver, sandbox: Sandbox, area: str) -> None:
    bought = await buy(driver, area)
    await sandbox.fault("error", vendor="twilio", method="GET", status=503, times=2)
    assert await driver.find_number(bought.e164) == bought
    await sandbox.fault("error", vendor="twilio", method="GET", status=503, times=3)
    with pytest.raises(Ambiguous):
        await driver.find_number(bought.e164)


async def test_server_error_of_a_write(driver: TwilioDriver, sandbox: Sandbox, area: str) -> None:
    [e164] = await driver.search_numbers(country="US", area_code=area, limit=1)
    await sandbox.fault("error", vendor="twilio", method="POST", status=500, done=True)
    with pytest.raises(Ambiguous, match="Internal Server Error"):
        await driver.buy_number(e164, friendly_name="x")


async def test_wrong_token(sandbox: Sandbox, account_sid: str) -> None:
    driver = TwilioDriver(account_sid, auth_token="invalid", base_url=sandbox.url, fleet_id=FLEET)
    with pytest.raises(Unauthorized):
        await driver.inventory()
    await driver.close()


async def test_api_key(sandbox: Sandbox, account_sid: str, area: str) -> None:
    driver = TwilioDriver(
        account_sid,
        api_key_sid=f"SK{secrets.token_hex(16)}",
        api_key_secret="secret",
        base_url=sandbox.url,
        fleet_id=FLEET,
    )
    bought = await buy(driver, area)
    assert await driver.find_number(bought.e164) == bought
    await driver.close()


async def test_no_credentials(sandbox: Sandbox, account_sid: str) -> None:
    with pytest.raises(ValueError, match="authToken"):
        TwilioDriver(account_sid, base_url=sandbox.url, fleet_id=FLEET)


async def test_secrets_stay_out_of_logs_and_errors(
    sandbox: Sandbox, account_sid: str, area: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = f"token-{secrets.token_hex(8)}"
    driver = TwilioDriver(account_sid, auth_token=token, base_url=sandbox.url, fleet_id=FLEET)
    with pytest.raises(VendorError) as error:
        await driver.buy_number("+14155550100", friendly_name="x")
    said = str(error.value) + repr(error.value.__cause__) + caplog.text
    assert "IncomingPhoneNumbers" in caplog.text
    assert token not in said
    assert b64encode(f"{account_sid}:{token}".encode()).decode() not in said
    await driver.close()


async def test_nobody_there(nobody: str, account_sid: str) -> None:
    driver = TwilioDriver(account_sid, auth_token="x", base_url=nobody, fleet_id=FLEET)
    with pytest.raises(Unavailable):
        await driver.buy_number("+14155550100", friendly_name="x")
    await driver.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (silent, Ambiguous),
        (reset, Ambiguous),
        (saying("201 Created", "<html>"), Ambiguous),
        (saying("502 Bad Gateway", "<html>"), Ambiguous),
        (saying("429 Too Many Requests", "<html>", "Retry-After: soon"), Throttled),
        (
            saying(
                "400 Bad Request",
                '{"type": "x", "title": "Bad", "status": 400, "code": 21422, "detail": "taken"}',
            ),
            Rejected,
        ),
        (saying("400 Bad Request", '{"code": 21631, "message": "Requires an Address"}'), Rejected),
    ],
    ids=["silent", "reset", "page", "gateway", "throttle", "rfc9457", "address"],
)
async def test_bad_answers(
    bad_server: BadServer, account_sid: str, answer: Any, kind: type[VendorError]
) -> None:
    driver = TwilioDriver(
        account_sid,
        auth_token="x",
        base_url=await bad_server(answer),
        fleet_id=FLEET,
        timeout=0.3,
    )
    with pytest.raises(kind):
        await driver.buy_number("+14155550100", friendly_name="x")
    await driver.close()
