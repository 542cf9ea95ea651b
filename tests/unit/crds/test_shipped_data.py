"""Plans, professions and samples that we ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from voicefleet_api import professions
from voicefleet_api.base import ApiModel
from voicefleet_api.fleet import Fleet, Plan
from voicefleet_api.names import API_VERSION
from voicefleet_api.plans import default_plans
from voicefleet_api.receptionist import Receptionist
from voicefleet_api.voiceclient import VoiceClient

pytestmark = pytest.mark.unit
SAMPLES = Path(__file__).resolve().parents[3] / "crds" / "samples"
MODELS: dict[str, type[ApiModel]] = {
    "VoiceClient": VoiceClient,
    "Receptionist": Receptionist,
    "Fleet": Fleet,
}
WANTED = {
    "dentist", "doctor", "plumber", "electrician", "hvac", "lawyer", "realtor", "salon",
    "auto-repair", "restaurant", "veterinarian", "accountant",
}  # fmt: skip


def sample(name: str) -> list[dict[str, Any]]:
    """The objects of a sample."""
    return list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))


def test_plans_are_the_specifications() -> None:
    assert default_plans() == [
        Plan(name="Solo", monthly_price_minor=29900, included_minutes=500, max_numbers=1),
        Plan(name="Pro", monthly_price_minor=49900, included_minutes=2000, max_numbers=5),
        Plan(name="Enterprise", monthly_price_minor=79900, white_label=True),
    ]


def test_plans_are_the_callers_own() -> None:
    default_plans()[0].max_numbers = 99
    assert default_plans()[0].max_numbers == 1


def test_professions_are_the_twelve() -> None:
    assert set(professions.names()) == WANTED
    assert list(professions.names()) == sorted(WANTED)


def test_unknown_profession_names_the_known() -> None:
    with pytest.raises(KeyError, match="there are accountant, auto-repair"):
        professions.load("astrologer")


def test_professions_are_loaded_once_and_cannot_be_changed() -> None:
    dentist = professions.load("dentist")
    assert professions.load("dentist") is dentist
    with pytest.raises(ValidationError, match="frozen"):
        dentist.title = "Other"


def test_professions_differ() -> None:
    loaded = [professions.load(name) for name in professions.names()]
    for part in ("title", "greeting", "prompt"):
        assert len({getattr(profession, part) for profession in loaded}) == len(loaded)
    assert len({tuple(q.text for q in p.questions) for p in loaded}) == len(loaded)


def test_there_is_a_sample_for_each_profession() -> None:
    assert {path.stem for path in SAMPLES.glob("*.yaml")} == WANTED | {"fleet"}


@pytest.mark.parametrize("name", sorted(WANTED | {"fleet"}))
def test_samples_are_valid(name: str) -> None:
    for manifest in sample(name):
        assert manifest["apiVersion"] == API_VERSION
        MODELS[manifest["kind"]].model_validate({"spec": manifest["spec"]})


def test_samples_need_no_person_and_do_not_collide() -> None:
    seen: set[tuple[str, str]] = set()
    areas: dict[str, int] = {}
    for name in sorted(WANTED):
        manifest = sample(name)[0]
        client = VoiceClient.model_validate({"spec": manifest["spec"]}).spec
        assert manifest["metadata"]["namespace"] == "default"
        assert client.profession == name
        assert client.billing.collection == "Invoice"
        assert client.billing.activation == "Immediately"
        assert client.business.email is not None
        assert client.dns is not None
        for what, value in (
            ("object", manifest["metadata"]["name"]),
            ("business", client.business.name),
            ("subdomain", client.dns.subdomain),
            ("email", client.business.email),
        ):
            assert (what, value) not in seen
            seen.add((what, value))
        plan = next(plan for plan in default_plans() if plan.name == client.plan)
        assert 1 <= len(client.telephony.numbers) <= (plan.max_numbers or 100)
        for number in client.telephony.numbers:
            assert number.request is not None
            assert number.request.area_code is not None
            areas[number.request.area_code] = areas.get(number.request.area_code, 0) + 1
    assert set(areas) == {"415", "212", "312", "512", "206", "305"}


def test_the_sample_fleet_sells_the_default_plans() -> None:
    fleet = Fleet.model_validate({"spec": sample("fleet")[0]["spec"]}).spec
    assert fleet.plans == default_plans()


def test_the_dentist_has_words_of_its_own() -> None:
    client, words = sample("dentist")
    assert client["spec"]["receptionistRef"]["name"] == words["metadata"]["name"]
    spec = Receptionist.model_validate({"spec": words["spec"]}).spec
    assert spec.hours
    assert spec.facts


def wrong(**changes: Any) -> dict[str, Any]:
    """The dentist's data, changed."""
    return {**professions.load("dentist").to_json(), **changes}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wrong(greeting="Hello, this is an automated line."), "name the business"),
        (wrong(greeting="Hello, this is {business} speaking."), "a machine is speaking"),
        (wrong(title="Florist"), "says what the business is"),
        (wrong(questions=[]), "at least 3 items"),
        (wrong(emergencies=[]), "at least 1 item"),
        (
            wrong(questions=[{"key": "a", "text": "Which one is it?", "slot": "Choice"}] * 3),
            "two or more choices",
        ),
        (
            wrong(questions=[{"key": "a", "text": "What is it about?", "slot": "Text"}] * 3),
            "a key occurs twice",
        ),
        (wrong(unheard="x"), "Extra inputs"),
    ],
)
def test_data_that_breaks_a_rule_is_refused(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        professions.Profession.model_validate(data)


def test_today_is_not_offered_against_the_lead_time() -> None:
    booking = professions.load("dentist").booking.to_json()
    with pytest.raises(ValidationError, match="sameDay contradicts"):
        professions.BookingRules.model_validate({**booking, "leadTimeHours": 24})
