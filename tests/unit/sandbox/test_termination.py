"""Who may call out over a trunk, and what a password is recognised by."""

from __future__ import annotations

import hashlib

import pytest

from voicefleet_sandbox.carrier.termination import ha1, trunk_of
from voicefleet_sandbox.store import Store
from voicefleet_sandbox.twilio import numbers, sip, trunks

pytestmark = pytest.mark.unit

ACCOUNT, PASSWORD = "AC" + "1" * 32, "LongEnough1234"


@pytest.fixture
def store() -> Store:
    return Store(None)


def trunk(store: Store) -> tuple[str, str]:
    """SID of a trunk, and its number."""
    numbers.set_stock(store, {"415": 9})
    bought = numbers.buy(store, ACCOUNT, {"AreaCode": "415"})
    made = trunks.create(store, ACCOUNT, {})["sid"]
    trunks.add_number(store, ACCOUNT, made, {"PhoneNumberSid": bought["sid"]})
    return made, bought["phone_number"]


def guarded(store: Store, trunk_sid: str, user: str) -> str:
    """A list with that user guards the trunk now."""
    made = sip.create(store, ACCOUNT, "CredentialLists", {"FriendlyName": "l"})["sid"]
    login = {"Username": user, "Password": PASSWORD}
    sip.add_member(store, ACCOUNT, "CredentialLists", made, login)
    trunks.add_list(store, ACCOUNT, trunk_sid, "CredentialLists", {"CredentialListSid": made})
    return str(made)


def test_a_trunk_is_known_by_the_number_that_a_call_shows(store: Store) -> None:
    sid, number = trunk(store)
    found = trunk_of(store, number)
    assert found is not None
    assert found["sid"] == sid
    assert trunk_of(store, "+15005550006") is None
    trunks.delete(store, ACCOUNT, sid)
    assert trunk_of(store, number) is None


def test_a_number_on_no_trunk_is_shown_over_a_guarded_one_of_its_account(store: Store) -> None:
    number = numbers.buy(store, ACCOUNT, {"AreaCode": "415"})["phone_number"]
    trunk(store)
    assert trunk_of(store, number) is None
    sid, _ = trunk(store)
    guarded(store, sid, "one")
    found = trunk_of(store, number)
    assert found is not None
    assert found["sid"] == sid


def test_only_users_of_the_trunk_s_own_lists_are_known(store: Store) -> None:
    sid, number = trunk(store)
    found = trunk_of(store, number)
    assert found is not None
    assert ha1(store, found, "one") is None
    guarded(store, sid, "one")
    guarded(store, trunk(store)[0], "two")
    known = hashlib.md5(f"one:sip.twilio.com:{PASSWORD}".encode()).hexdigest()  # noqa: S324
    assert ha1(store, found, "one") == known
    nobody = [ha1(store, found, "two") for _ in range(2)]
    assert None not in nobody
    assert nobody[0] != nobody[1]


def test_what_a_password_is_recognised_by_is_not_shown(store: Store) -> None:
    made = guarded(store, trunk(store)[0], "one")
    listing = sip.list_members(store, ACCOUNT, "CredentialLists", made, {})
    [member] = listing["credentials"]
    one = sip.get_member(store, ACCOUNT, "CredentialLists", made, member["sid"])
    assert "ha1" not in str(listing) + str(one)
