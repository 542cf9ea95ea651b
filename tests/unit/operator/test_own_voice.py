"""A client's own voice, as it is planned: last of all, and never in the way of answering."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from support import manifests
from support.clients import MARK, desired, settled, voice
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.meta import ConditionType
from voicefleet_api.pipeline import TextToSpeech
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import ConsentRecord, VoiceClientSpec, VoiceClientStatus
from voicefleet_operator.execution import voices
from voicefleet_operator.kube import Conflict, KubeError, Object
from voicefleet_operator.planning.desired import Desired, nothing
from voicefleet_operator.planning.health import answering, findings
from voicefleet_operator.planning.observed import ClonedVoice, Observed
from voicefleet_operator.planning.plan import ActionKind, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.voices import voiced
from voicefleet_operator.preview import preview
from voicefleet_operator.reconcilers.report import fill_status
from voicefleet_operator.reconcilers.secrets import read_recording

pytestmark = pytest.mark.unit

OLD, NEW = "a" * 64, "b" * 64
CLONE = {
    "sampleRef": {"name": "ada", "key": "sample.mp3"},
    "consent": {"givenBy": "Ada", "givenAt": "2026-01-31T12:00:00Z", "statement": "Yes."},
}
LIVE = {"namespace": "voicefleet-system", "name": "credentials"}
SPEC = ReceptionistSpec.model_validate({"voice": {"clone": CLONE}})


def speaking(sample: str | None = NEW, problem: tuple[str, str] | None = None) -> Desired:
    """A client that has everything and is to have a voice of that recording."""
    return desired(voice=voice(sample, problem))


def made(sample: str, id_: str) -> ClonedVoice:
    return ClonedVoice(id_, sample[:32], MARK)


def kinds(todo: Plan) -> list[ActionKind]:
    return [action.kind for action in todo.actions]


def heard(wanted: Desired, observed: Observed) -> list[TextToSpeech]:
    unit = voiced(wanted, observed)
    assert unit is not None
    return AgentConfig.model_validate_json(unit.config_json).pipeline.tts


def test_a_new_client_answers_first_and_then_gets_its_voice() -> None:
    wanted = speaking()
    first = plan(wanted, Observed())
    assert ActionKind.CLONE_VOICE not in kinds(first)
    without = settled(replace(wanted, voice=None))
    assert answering(wanted, without).status
    assert kinds(plan(wanted, without)) == [ActionKind.CLONE_VOICE]
    whole = replace(without, voices=(made(NEW, "v-new"),))
    assert kinds(plan(wanted, whole)) == [ActionKind.CONFIGURE_UNIT]
    assert not plan(wanted, settled(wanted)).actions


def test_the_own_voice_comes_before_the_pipelines() -> None:
    own, machine = heard(speaking(), Observed(voices=(made(NEW, "v-new"),)))
    assert (own.provider, own.voice, own.url) == (
        "ElevenLabs", "v-new", "http://sandbox/elevenlabs",
    )  # fmt: skip
    assert machine.provider == "Local"
    assert [v.provider for v in heard(speaking(), Observed())] == ["Local"]


def test_another_recording_is_heard_before_the_old_voice_goes() -> None:
    wanted = speaking()
    old = settled(speaking(OLD))
    assert kinds(plan(wanted, old)) == [ActionKind.CLONE_VOICE]
    both = replace(old, voices=(*old.voices, made(NEW, "v-new")))
    assert kinds(plan(wanted, both)) == [ActionKind.CONFIGURE_UNIT]
    unit = voiced(wanted, both)
    assert unit is not None
    podman = replace(both.units["podman"], config_hash=unit.config_hash)
    [last] = plan(wanted, replace(both, units={"podman": podman})).actions
    assert (last.kind, last.target) == (ActionKind.DELETE_VOICE, old.voices[0].id)


def test_of_two_voices_of_one_recording_one_goes() -> None:
    wanted = speaking()
    whole = settled(wanted)
    twice = replace(whole, voices=(*whole.voices, made(NEW, "v-twin")))
    assert [a.target for a in plan(wanted, twice).actions] == ["v-twin"]


@pytest.mark.parametrize("wanted", [desired(), nothing(MARK, "Now")])
def test_a_voice_that_is_not_wanted_goes_last(wanted: Desired) -> None:
    observed = replace(settled(speaking()), numbers=())
    todo = plan(wanted, observed)
    assert todo.actions
    assert ActionKind.DELETE_VOICE not in kinds(todo)
    assert not settled(wanted, observed).voices


def test_a_recording_that_cannot_be_had_leaves_the_voice_that_there_is() -> None:
    whole = settled(speaking())
    wanted = speaking(None, ("SampleNotUsable", "there is no Secret"))
    todo = plan(wanted, whole)
    assert not todo.actions
    assert [v.provider for v in heard(wanted, whole)] == ["ElevenLabs", "Local"]
    found = {f.type: f for f in findings(wanted, whole, todo, [])}
    assert found[ConditionType.VOICE_READY].reason == "SampleNotUsable"
    assert found[ConditionType.ANSWERING].status


def test_while_the_vendor_is_down_the_voice_is_neither_made_nor_forgotten() -> None:
    whole = settled(speaking())
    unseen = replace(whole, voices_unseen=("VendorDown", "elevenlabs has not worked"))
    assert not plan(speaking(), unseen).actions
    assert [wait.reason for wait in plan(speaking(), unseen).waits] == ["VendorDown"]
    # Who has no voice and wants none is not concerned; who has one is not let go.
    assert not plan(desired(), replace(unseen, voices=())).waits
    assert plan(
        nothing(MARK, "Now"), Observed(voices=unseen.voices, voices_unseen=("x", "y"))
    ).waits


def test_the_consent_on_record_is_the_one_that_the_voice_was_made_with() -> None:
    first = speaking()
    assert first.voice is not None
    later = ConsentRecord(
        given_by="Bea", given_at="2026-02-01T12:00:00Z", statement_sha256="1" * 64
    )
    world = SimpleNamespace(spec=SimpleNamespace(dns=None))
    spec = VoiceClientSpec.model_validate({"business": {"name": "Shop"}, "plan": "Pro"})
    status = VoiceClientStatus()

    def consent_after(wanted: Desired, id_: str) -> str:
        ctx: Any = SimpleNamespace(desired=wanted, spec=spec, world=world)
        fill_status(status, ctx, Observed(voices=(made(NEW, id_),)))
        assert status.voice is not None
        return status.voice.consent.given_by

    reworded = replace(first, voice=replace(first.voice, consent=later))
    assert consent_after(first, "v-new") == "Ada"
    assert consent_after(reworded, "v-new") == "Ada"
    assert consent_after(reworded, "v-made-again") == "Bea"


def test_a_preview_has_the_voice_and_what_another_recording_changes() -> None:
    account = {"name": "main", "mode": "Sandbox", "secretRef": LIVE}
    livekit = {"url": "http://l", "agentURL": "ws://l", "secretRef": LIVE}
    fleet = manifests.fleet("default", voices={"accounts": [account]}, livekit=livekit)

    def applied(key: str) -> list[Object]:
        clone = {**CLONE, "sampleRef": {"name": "ada", "key": key}}
        return [
            manifests.receptionist("words", voice={"clone": clone}),
            manifests.voice_client("a", plan="Small", receptionistRef={"name": "words"}),
        ]

    def kinds_of(documents: list[Object], *, there: bool) -> list[ActionKind]:
        live = {d["kind"]: d for d in [fleet, *(applied("one.mp3") if there else ())]}
        [shown] = preview(documents, lambda kind, _, __: live.get(kind), "default")
        return [action.kind for action in shown.actions]

    assert kinds_of(applied("one.mp3"), there=False)[-2:] == [
        ActionKind.CLONE_VOICE,
        ActionKind.CONFIGURE_UNIT,
    ]
    assert kinds_of(applied("one.mp3"), there=True) == []
    assert kinds_of(applied("two.mp3"), there=True) == [
        ActionKind.CLONE_VOICE,
        ActionKind.CONFIGURE_UNIT,
        ActionKind.DELETE_VOICE,
    ]


def test_the_model_too_refuses_a_voice_without_consent() -> None:
    clone = {"sampleRef": CLONE["sampleRef"]}
    with pytest.raises(ValidationError, match="not cloned without their consent"):
        ReceptionistSpec.model_validate({"voice": {"clone": clone}})


class Cluster:
    """Has one Secret, or a reason why not."""

    def __init__(self, answer: bytes | KubeError) -> None:
        self.answer = answer

    async def get(self, _: object, name: str, namespace: str) -> dict[str, Any]:
        assert (name, namespace) == ("ada", "shop")
        if isinstance(self.answer, KubeError):
            raise self.answer
        return {"data": {"sample.mp3": base64.b64encode(self.answer).decode()}}


async def test_a_recording_is_known_by_its_hash() -> None:
    content = b"\xff\xfb\x90\x00 not utf-8"
    recording, sample = await read_recording(Cluster(content), "shop", SPEC)  # type: ignore[arg-type]
    assert recording == content
    assert sample is not None
    assert (sample.sha256, sample.problem) == (hashlib.sha256(content).hexdigest(), "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (KubeError(404, "not found"), "there is no Secret 'ada' in namespace shop"),
        (KubeError(403, "forbidden"), "bind the ClusterRole voicefleet-client-secrets"),
        (b"a letter", "key 'sample.mp3' of Secret 'ada' in namespace shop holds no WAV"),
        (b"", "holds no WAV"),
    ],
)
async def test_what_is_wrong_with_a_recording_is_said(
    answer: bytes | KubeError, words: str
) -> None:
    recording, sample = await read_recording(Cluster(answer), "shop", SPEC)  # type: ignore[arg-type]
    assert recording == b""
    assert sample is not None
    assert sample.sha256 is None
    assert words in sample.problem
    assert sample.problem.startswith("Receptionist spec.voice.clone.sampleRef: ")


@pytest.mark.parametrize("kind", [ActionKind.CLONE_VOICE, ActionKind.DELETE_VOICE])
async def test_a_plan_of_an_older_receptionist_is_not_carried_out(kind: ActionKind) -> None:
    """Also where the cache has come to know the newer one since the plan was made."""
    newest = manifests.receptionist("words") | {"spec": SPEC.to_json()}
    newest["metadata"] |= {"namespace": "default", "resourceVersion": "2"}
    older = newest | {"metadata": newest["metadata"] | {"resourceVersion": "1"}}

    async def confirm() -> None:
        """The client is as it was."""

    async def get(*_: str) -> Object:
        return newest

    ctx: Any = SimpleNamespace(
        desired=speaking(),
        receptionist=older,
        writer=SimpleNamespace(confirm=confirm),
        kube=SimpleNamespace(get=get),
        store=SimpleNamespace(get=lambda _: newest),
    )
    with pytest.raises(Conflict):
        await voices.HANDLERS[kind](ctx, SimpleNamespace(target="voice-1", kind=kind))
