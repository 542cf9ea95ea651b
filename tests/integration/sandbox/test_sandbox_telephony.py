"""Numbers and trunks through Twilio's SDK: what is bought is bought, and nothing has a key."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException

from integration.sandbox.vendors import World

pytestmark = pytest.mark.integration

FORWARD = "https://twimlets.com/forward?PhoneNumber=%2B14155550199"


def offered(world: World, **wish: Any) -> list[str]:
    """Numbers for sale."""
    local = world.twilio().api.v2010.account.available_phone_numbers("US").local
    return [n.phone_number for n in local.list(**{"limit": 5, **wish})]


def refused(call: Any, **kwargs: Any) -> int:
    """Twilio's code of the refusal."""
    with pytest.raises(TwilioRestException) as error:
        call(**kwargs)
    code: int = error.value.code
    return code


def test_an_area_code_buys_another_number_at_every_call(world: World) -> None:
    """The trap: a repeat after a lost reply is a second purchase."""
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    bought = {numbers.create(area_code="415").phone_number for _ in range(3)}
    assert len(bought) == 3
    assert len(world.ledger(only_open=True)) == 3


def test_exactly_this_number_is_bought_once(world: World) -> None:
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    number = offered(world, area_code=212)[0]
    made = numbers.create(phone_number=number, friendly_name="voicefleet/a")
    assert (made.phone_number, made.friendly_name) == (number, "voicefleet/a")
    assert number not in offered(world, area_code=212, limit=300)
    assert refused(numbers.create, phone_number=number) == 21422
    world.account_sid = f"AC{secrets.token_hex(16)}"
    others = world.twilio().api.v2010.account.incoming_phone_numbers
    assert refused(others.create, phone_number=number) == 21422
    assert others.list() == []
    [entry] = world.ledger()
    assert (entry["kind"], entry["monthlyMinor"], entry["amountMinor"]) == (
        "number.purchased",
        115,
        115,
    )
    assert entry["mark"] == {"friendlyName": "voicefleet/a", "phoneNumber": number}


def test_stock_is_finite(world: World) -> None:
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    assert offered(world, area_code=907) == []
    assert refused(numbers.create, area_code="907") == 21452
    assert len(offered(world, area_code=808)) == 1
    last = numbers.create(area_code="808")
    assert refused(numbers.create, area_code="808") == 21452
    last.delete()
    assert offered(world, area_code=808) == [last.phone_number]
    again = numbers.create(phone_number=last.phone_number)
    world.own("POST", "/_sandbox/inventory", json={"907": 2, "cooldownSeconds": 3600})
    assert len(offered(world, area_code=907)) == 2
    again.delete()
    assert offered(world, area_code=808) == []
    assert refused(numbers.create, phone_number=last.phone_number) == 21422
    world.advance(3601)
    assert offered(world, area_code=808) == [last.phone_number]


def test_search_across_area_codes(world: World) -> None:
    wide = offered(world, limit=40)
    assert {"415", "212", "312"} <= {n[2:5] for n in wide}
    assert all(n.startswith("+1512") for n in offered(world, contains="+1512*******"))
    client = world.twilio().api.v2010.account
    with pytest.raises(TwilioException, match="HTTP 404"):
        client.available_phone_numbers("AQ").local.list()


def test_lists_and_filters_in_pages(world: World) -> None:
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    bought = [numbers.create(area_code="415", friendly_name=f"n/{i}") for i in range(7)]
    assert [n.sid for n in numbers.list(page_size=3)] == [n.sid for n in reversed(bought)]
    assert [n.sid for n in numbers.list(friendly_name="n/2")] == [bought[2].sid]
    # Twilio's filter also matches parts of numbers.
    part = bought[0].phone_number[:-1]
    assert len(numbers.list(phone_number=part, page_size=2)) == 7
    assert [n.sid for n in numbers.list(phone_number=bought[4].phone_number)] == [bought[4].sid]


def test_released_is_gone(world: World) -> None:
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    made = numbers.create(area_code="415", friendly_name="a")
    made.update(friendly_name="b")
    [entry] = world.ledger(only_open=True)
    assert entry["mark"]["friendlyName"] == "b"
    made.delete()
    assert refused(numbers(made.sid).fetch) == 20404
    assert refused(numbers(made.sid).delete) == 20404
    assert [e["kind"] for e in world.ledger()] == [
        "number.purchased",
        "number.renamed",
        "number.released",
    ]
    assert world.ledger(only_open=True) == []


def test_trunk_domain_is_one_trunks_and_kept_for_30_days(world: World) -> None:
    trunks = world.twilio().trunking.v1.trunks
    assert refused(trunks.create, domain_name="one.example.com") == 21245
    made = trunks.create(domain_name="one.pstn.twilio.com")
    assert refused(trunks.create, domain_name="one.pstn.twilio.com") == 21248
    own = world.account_sid
    world.account_sid = f"AC{secrets.token_hex(16)}"
    others = world.twilio().trunking.v1.trunks
    assert refused(others.create, domain_name="one.pstn.twilio.com") == 21248
    world.account_sid = own
    made.update(domain_name="two.pstn.twilio.com")
    made.update(friendly_name="kept")
    made.delete()
    assert refused(trunks.create, domain_name="two.pstn.twilio.com") == 21248
    world.advance(30 * 86400 + 1)
    assert trunks.create(domain_name="two.pstn.twilio.com").domain_name == "two.pstn.twilio.com"


def test_trunks_in_pages_under_twilios_own_host(world: World) -> None:
    trunks = world.twilio().trunking.v1.trunks
    made = [trunks.create(friendly_name=f"t{i}").sid for i in range(5)]
    page = trunks.page(page_size=2)
    assert page.next_page_url.startswith("https://trunking.twilio.com/v1/Trunks?")
    assert [t.sid for t in trunks.list(page_size=2)] == made[::-1]


def test_route_of_a_call(world: World) -> None:
    client = world.twilio()
    number = client.api.v2010.account.incoming_phone_numbers.create(area_code="415")

    def route() -> Any:
        return world.own("GET", "/_sandbox/route", params={"number": number.phone_number})

    assert (route()["trunkSid"], route()["forwardTo"]) == (None, None)
    number.update(voice_url=FORWARD)
    assert route()["forwardTo"] == "+14155550199"
    trunk = client.trunking.v1.trunks.create(friendly_name="t")
    one = client.trunking.v1.trunks(trunk.sid)
    for priority, weight, enabled in ((20, 1, True), (10, 1, True), (10, 9, True), (1, 1, False)):
        one.origination_urls.create(
            friendly_name="x", sip_url=f"sip:10.0.{priority}.{weight}", priority=priority,
            weight=weight, enabled=enabled,
        )  # fmt: skip
    one.phone_numbers.create(phone_number_sid=number.sid)
    by_trunk = route()
    assert by_trunk["trunkSid"] == trunk.sid
    assert [u["sipUrl"] for u in by_trunk["originationUrls"]] == [
        "sip:10.0.10.9",
        "sip:10.0.10.1",
        "sip:10.0.20.1",
    ]
    # With a trunk the number's own instructions are not heeded.
    assert by_trunk["forwardTo"] is None
    trunk.update(disaster_recovery_url=FORWARD, disaster_recovery_method="GET")
    assert route()["forwardTo"] == "+14155550199"
    trunk.delete()
    assert number.fetch().trunk_sid is None
    number.delete()
    with pytest.raises(AssertionError, match="nobody has"):
        route()


def test_bad_origination_urls(world: World) -> None:
    trunks = world.twilio().trunking.v1.trunks
    urls = trunks(trunks.create().sid).origination_urls
    wish = {"weight": 1, "priority": 1, "enabled": True, "friendly_name": "a"}
    assert refused(urls.create, **wish, sip_url="http://x.example") == 21246
    assert refused(urls.create, **{**wish, "weight": 70000}, sip_url="sip:x.example") == 20001
    assert urls.list() == []


def test_number_of_somebody_elses_trunk(world: World) -> None:
    numbers = world.twilio().api.v2010.account.incoming_phone_numbers
    made = numbers.create(area_code="415")
    assert refused(made.update, trunk_sid="TK" + "0" * 32) == 21226
    assert refused(made.update, friendly_name="x" * 65) == 20001
    assert made.fetch().trunk_sid is None


def test_credentials(world: World) -> None:
    lists = world.twilio().api.v2010.account.sip.credential_lists
    logins = lists(lists.create(friendly_name="l").sid).credentials
    assert refused(logins.create, username="u", password="short") == 21228
    logins.create(username="u", password="LongEnough1234")
    assert [c.username for c in logins.list()] == ["u"]
    assert "LongEnough1234" not in str(world.own("GET", "/_sandbox/requests"))


def test_who_may_ask(world: World) -> None:
    accounts = world.twilio(password="invalid").api.v2010.account
    with pytest.raises(TwilioRestException) as error:
        accounts.fetch()
    assert (error.value.status, error.value.code) == (401, 20003)


def test_an_api_key_is_its_accounts(world: World) -> None:
    """The newer APIs do not name the account that a key belongs to."""
    client = world.twilio(f"SK{secrets.token_hex(16)}", "secret")
    number = client.api.v2010.account.incoming_phone_numbers.create(area_code="415")
    trunk = client.trunking.v1.trunks.create(friendly_name="t")
    assert trunk.account_sid == world.account_sid
    client.trunking.v1.trunks(trunk.sid).phone_numbers.create(phone_number_sid=number.sid)
    assert number.fetch().trunk_sid == trunk.sid
    assert [t.sid for t in world.twilio().trunking.v1.trunks.list()] == [trunk.sid]
