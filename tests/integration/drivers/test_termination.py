"""Calls from us out over a client's trunk: the carrier's side, through the SDK, in the sandbox."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from twilio.rest import Client

from integration.drivers.harness import FLEET, Sandbox
from voicefleet_operator.drivers import termination
from voicefleet_operator.drivers.errors import VendorError
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.planning.observed import Mark

pytestmark = pytest.mark.integration


@pytest.fixture
def account_sid() -> str:
    """A Twilio account that is this test's own."""
    return f"AC{secrets.token_hex(16)}"


def driver_of(sandbox: Sandbox, account_sid: str, token: str = "secret") -> TwilioDriver:  # noqa: S107
    return TwilioDriver(account_sid, auth_token=token, base_url=sandbox.url, fleet_id=FLEET)


@pytest.fixture
async def driver(sandbox: Sandbox, account_sid: str) -> AsyncIterator[TwilioDriver]:
    """The fleet's driver."""
    made = driver_of(sandbox, account_sid)
    yield made
    await made.close()


async def trunk(driver: TwilioDriver, mark: Mark) -> str:
    made = await driver.create_trunk(
        client_id=mark.client_id,
        friendly_name=f"voicefleet/{FLEET}/{mark.client_id}",
        disaster_recovery_url=None,
    )
    return made.sid


async def credentials(client: Client) -> dict[str, list[str]]:
    """User names by the SID of the list that they are in."""
    lists = await client.api.v2010.account.sip.credential_lists.list_async()
    return {each.sid: [c.username for c in await each.credentials.list_async()] for each in lists}


async def test_a_trunk_is_opened_once_and_closed(driver: TwilioDriver, mark: Mark) -> None:
    sid = await trunk(driver, mark)
    assert (await driver.inventory()).outbound_user == ""
    first = await driver.termination.open(sid)
    assert await driver.termination.open(sid) == first
    found = await driver.inventory()
    assert (found.outbound_user, found.trunks[sid].calls_out) == (first.username, True)
    assert list((await credentials(driver._client)).values()) == [[first.username]]
    for _ in range(2):
        await driver.termination.close(sid)
    assert not (await driver.inventory()).trunks[sid].calls_out
    await driver.termination.close("TK" + "0" * 32)


async def test_clients_share_one_list_and_a_restart_finds_it(
    driver: TwilioDriver, sandbox: Sandbox, account_sid: str, mark: Mark, other_mark: Mark
) -> None:
    first = await driver.termination.open(await trunk(driver, mark))
    successor = driver_of(sandbox, account_sid)
    again = await successor.termination.open(await trunk(successor, other_mark))
    assert again == first
    assert len(await credentials(driver._client)) == 1
    await successor.close()


async def test_a_list_that_came_late_is_removed(driver: TwilioDriver, mark: Mark) -> None:
    sid = await trunk(driver, mark)
    mine = await driver.termination.open(sid)
    lists = driver._client.api.v2010.account.sip.credential_lists
    await lists.create_async(friendly_name=f"voicefleet/{FLEET}")
    await lists.create_async(friendly_name="somebody else's")
    for each in await lists.list_async():
        if len(await each.credentials.list_async()) == 1:
            await each.credentials.create_async(mine.username, mine.password)
    assert (await driver.inventory()).outbound_user == ""
    await driver.termination.open(sid)
    assert (await driver.inventory()).outbound_user == mine.username
    assert sorted((await credentials(driver._client)).values()) == [[], [mine.username]]


async def test_another_secret_is_another_password(
    driver: TwilioDriver, sandbox: Sandbox, account_sid: str, mark: Mark
) -> None:
    sid = await trunk(driver, mark)
    old = await driver.termination.open(sid)
    later = driver_of(sandbox, account_sid, "another secret")
    assert (await later.inventory()).outbound_user == ""
    new = await later.termination.open(sid)
    assert new.password != old.password
    assert list((await credentials(driver._client)).values()) == [[new.username]]
    await later.close()


@pytest.mark.parametrize("kind", ["error", "drop"])
async def test_what_failed_is_not_made_twice(
    driver: TwilioDriver, sandbox: Sandbox, mark: Mark, kind: str
) -> None:
    """Refused, or carried out without a reply, at each of the three writes."""
    sid = await trunk(driver, mark)
    for path in (r"SIP/CredentialLists\.json$", r"/Credentials\.json$", f"{sid}/CredentialLists$"):
        await sandbox.fault(kind, vendor="twilio", method="POST", pathRegex=path)
        with pytest.raises(VendorError):
            await driver.termination.open(sid)
    await driver.termination.open(sid)
    assert [len(found) for found in (await credentials(driver._client)).values()] == [1]


def test_the_password_is_what_twilio_takes_and_shows_nowhere() -> None:
    made = termination.derive("secret", FLEET)
    assert made == termination.derive("secret", FLEET)
    assert made.password not in repr(made)
    assert len(made.password) >= 12
    assert made.password != made.password.lower()
    assert any(map(str.isdigit, made.password))
    others: list[Any] = [termination.derive("other", FLEET), termination.derive("secret", "vf-x")]
    assert len({made.password, *(other.password for other in others)}) == 3
