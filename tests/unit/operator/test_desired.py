"""From manifests to wishes: what cannot be met is said with field, reason and remedy."""

from __future__ import annotations

import json

import pytest

from support.manifests import fleet as fleet_manifest
from support.manifests import voice_client
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.pipeline import Pipeline
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec
from voicefleet_operator.planning.desired import Desired, Unmet, desire
from voicefleet_operator.planning.observed import Mark

pytestmark = pytest.mark.unit

FLEET = FleetSpec.model_validate(
    fleet_manifest(
        plans=[
            {"name": "Small", "monthlyPriceMinor": 100, "maxNumbers": 2},
            {"name": "Endless", "monthlyPriceMinor": 200},
        ],
        livekit={
            "url": "ws://127.0.0.1:7880",
            "agentURL": "ws://192.0.2.1:7880",
            "secretRef": {"namespace": "voicefleet-system", "name": "livekit"},
        },
    )["spec"]
)
assert FLEET.telephony is not None
ENCRYPTED = FLEET.model_copy(
    update={
        "telephony": FLEET.telephony.model_copy(
            update={"secure": True, "voice_webhook_url": "https://voice.example"}
        )
    }
)
OVERFLOW = "voicefleet-overflow"
MARK = Mark("vf-aaaaaaaa", "vc-aaaaaaaaaa", "default", "bright-smile")

SPANISH = {"name": "X", "locale": "es-US", "email": "a@b.example"}


def wish(
    receptionist: ReceptionistSpec | None = None, fleet: FleetSpec = FLEET, **spec: object
) -> Desired:
    manifest = voice_client(**{"plan": "Small", **spec})
    parsed = VoiceClientSpec.model_validate(manifest["spec"])
    return desire(MARK, parsed, fleet, FleetStatus(), receptionist)


def overflow(receptionist: ReceptionistSpec | None = None, **spec: object) -> AgentConfig | None:
    """What the overflow agent is told, in a fleet that has one."""
    assert FLEET.livekit is not None
    livekit = FLEET.livekit.model_copy(update={"overflow_agent": OVERFLOW})
    fleet = FLEET.model_copy(update={"livekit": livekit})
    wanted = wish(receptionist, fleet, **spec).telephony
    assert wanted is not None
    return wanted.overflow


def lines(count: int) -> dict:
    return {"numbers": [{"name": f"n{i}", "request": {"areaCode": "415"}} for i in range(count)]}


def test_as_many_numbers_as_the_plan_has_and_not_one_more() -> None:
    wanted = wish(telephony=lines(2)).telephony
    assert wanted is not None
    assert len(wanted.numbers) == 2
    with pytest.raises(Unmet, match="includes 2 number") as unmet:
        wish(telephony=lines(3))
    assert (unmet.value.reason, unmet.value.stalled) == ("PlanLimitExceeded", True)
    assert wish(plan="Endless", telephony=lines(50)).telephony is not None


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        (
            {"telephony": {"ingress": "ProgrammableVoice", "transfer": "Warm"}},
            "VoiceWebhookNotConfigured",
            "set ingress to Trunk",
        ),
        (
            {
                "fleet": ENCRYPTED,
                "telephony": {"ingress": "ProgrammableVoice", "transfer": "Warm"},
            },
            "IngressNotEncrypted",
            "set ingress to Trunk",
        ),
        ({"plan": "Gold"}, "PlanNotFound", "choose Small, Endless"),
        ({"accounts": {"billing": "other"}}, "AccountNotFound", "it has: main"),
        ({"accounts": {"telephony": "other"}}, "AccountNotFound", "it has: main"),
        ({"dns": {"subdomain": "smile"}}, "DNSNotConfigured", "remove spec.dns"),
        ({"profession": "astronaut"}, "UnknownProfession", "dentist"),
        ({"business": SPANISH}, "LanguageNotHeard", "such as Deepgram"),
        (
            {"business": {"name": "X", "timeZone": "Mars/Olympus", "email": "a@b.example"}},
            "UnknownTimeZone",
            "America/New_York",
        ),
    ],
)
def test_what_cannot_be_met_names_the_remedy(spec: dict, reason: str, words: str) -> None:
    with pytest.raises(Unmet, match=words) as unmet:
        wish(**spec)
    assert unmet.value.reason == reason
    assert unmet.value.stalled


def test_a_client_is_greeted_in_its_language() -> None:
    pipeline = {"stt": [{"provider": "Local"}, {"provider": "Deepgram"}]}
    unit = wish(business=SPANISH, profession="dentist", agent={"pipeline": pipeline}).unit
    assert unit is not None
    config = json.loads(unit.config_json)
    assert config["greeting"] == "Hola, soy el asistente automático de X. ¿En qué puedo ayudarle?"


def test_own_words_come_before_the_professions() -> None:
    plain = wish().unit
    own = wish(ReceptionistSpec(greeting="Here is {business}.", questions=["Why?"])).unit
    assert plain is not None
    assert own is not None
    assert plain.config_hash != own.config_hash
    config = json.loads(own.config_json)
    assert config["greeting"] == "Here is Bright Smile."
    assert config["questions"] == ["Why?"]
    assert config["prompt"] == json.loads(plain.config_json)["prompt"]


def test_what_is_compared_differs_in_what_the_experiment_says_and_in_nothing_else() -> None:
    other = {"name": "shorter", "percent": 30, "greeting": "{business}, hello!"}
    own = ReceptionistSpec.model_validate({"prompt": "You are {business}.", "experiment": other})
    unit = wish(own).unit
    assert unit is not None
    config = json.loads(unit.config_json)
    assert config["experiment"] == {
        "name": "shorter",
        "percent": 30,
        "greeting": "Bright Smile, hello!",
        "prompt": config["prompt"],
    }
    assert config["prompt"] == "You are Bright Smile."
    plain = wish().unit
    assert plain is not None
    assert "experiment" not in json.loads(plain.config_json)


def test_a_suspended_client_wants_no_agent() -> None:
    suspended = wish(suspend=True, telephony={"fallback": {"forwardTo": "+14155550100"}})
    assert suspended.unit is None
    assert suspended.suspended


def test_callers_are_connected_only_with_whom_the_agency_allows() -> None:
    people = [{"name": n, "phone": f"+1415555010{n}"} for n in "12"]
    words = ReceptionistSpec.model_validate({"contacts": people})

    def contacts(**limits: object) -> list[str]:
        wanted = wish(words, telephony={**lines(1), "limits": limits})
        assert wanted.unit is not None
        found = json.loads(wanted.unit.config_json).get("contacts", [])
        return [contact["phone"] for contact in found]

    assert contacts() == ["+14155550101", "+14155550102"]
    assert contacts(transferTo=["+14155550102", "+14155550103"]) == ["+14155550102"]
    assert contacts(transferTo=[]) == []


EXTENSIONS = ReceptionistSpec.model_validate(
    {
        "contacts": [
            {"name": "the owner", "phone": "+14155550101"},
            {"name": "billing", "phone": "+14155550102;ext=204"},
        ]
    }
)


@pytest.mark.parametrize(
    ("transfer_to", "barred"),
    [
        (["+14155550101", "+14155550102"], ()),
        (["+14155550102;ext=204"], ("the owner",)),
        (["+14155550101", "+14155550102;ext=205"], ("billing",)),
        ([], ("the owner", "billing")),
    ],
)
def test_a_number_is_allowed_with_all_of_its_extensions_or_with_one(
    transfer_to: list[str], barred: tuple[str, ...]
) -> None:
    wanted = wish(EXTENSIONS, telephony={**lines(1), "limits": {"transferTo": transfer_to}})
    assert wanted.telephony is not None
    assert wanted.telephony.barred == barred
    assert wanted.telephony.calls_out is ("billing" not in barred)


@pytest.mark.parametrize("transfer", ["Refer", "Warm"])
def test_the_agent_is_told_who_connects_callers(transfer: str) -> None:
    wanted = wish(EXTENSIONS, telephony={**lines(1), "transfer": transfer})
    assert wanted.telephony is not None
    assert wanted.telephony.calls_out
    assert wanted.unit is not None
    assert json.loads(wanted.unit.config_json)["transfer"] == transfer


def test_a_recorded_client_says_so_first() -> None:
    def disclosure(**spec: object) -> object:
        unit = wish(**spec).unit
        assert unit is not None
        return json.loads(unit.config_json).get("disclosure")

    assert disclosure() is None
    assert disclosure(recording={}) == "This call is recorded."
    assert disclosure(recording={"disclosure": "We record."}) == "We record."


def test_the_overflow_agent_speaks_for_the_client_with_the_machines_own_models() -> None:
    words = ReceptionistSpec.model_validate(
        {
            "greeting": "Smile!",
            "facts": [{"topic": "price", "text": "A cleaning is 90 dollars."}],
            "contacts": [{"name": "Ann", "phone": "+14155550177"}],
        }
    )
    own = {"pipeline": {"stt": [{"provider": "Deepgram", "secretRef": {"name": "dg"}}]}}
    told = overflow(words, recording={}, agent=own)
    assert told is not None
    assert (told.client_id, told.agent_name, told.overflow) == (MARK.client_id, OVERFLOW, True)
    assert (told.business_name, told.profession) == ("Bright Smile", "dentist")
    assert told.opening[0] == "This call is recorded."
    assert told.greeting.startswith("Thank you for calling Bright Smile. ")
    assert [contact.phone for contact in told.contacts] == ["+14155550177"]
    assert told.facts == []
    assert told.pipeline == Pipeline()


def test_without_a_name_in_the_fleet_there_is_no_overflow_agent() -> None:
    wanted = wish().telephony
    assert wanted is not None
    assert wanted.overflow is None


def test_nobody_overflows_in_a_language_that_the_machine_does_not_hear_or_while_suspended() -> None:
    deepgram = {"pipeline": {"stt": [{"provider": "Deepgram", "secretRef": {"name": "dg"}}]}}
    assert overflow(business=SPANISH, agent=deepgram) is None
    assert overflow(suspend=True) is None
