"""Planning of a client's own voice (pure).

The voice comes last: a client answers before it has one, with the pipeline's, and nothing else
waits for the vendor of voices. A voice that is replaced goes after the agent speaks with the new.
"""

from __future__ import annotations

from dataclasses import replace

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.meta import ConditionType, LocalRef
from voicefleet_api.names import OWN_VOICE
from voicefleet_api.pipeline import TextToSpeech
from voicefleet_operator.planning.desired import Desired, WantedUnit, canonical_json, config_hash
from voicefleet_operator.planning.observed import ClonedVoice, Observed, sample_mark
from voicefleet_operator.planning.plan import ActionKind, PlanBuilder

_POWER = ConditionType.VOICE_READY
_KEYLESS = frozenset({"AccountNotFound", "SecretNotUsable"})
"""Why voices are unseen where agents have no key to speak with, either."""
_MOST_VOICES = 4
"""Of a pipeline."""


def own_voice(desired: Desired, observed: Observed) -> ClonedVoice | None:
    """What the agent speaks with: the voice of the newest recording, or else of the last one."""
    if desired.voice is None:
        return None
    newest = _of(desired.voice.sample, observed.voices)
    return next(iter([*newest, *observed.voices]), None)


def _of(sample: str | None, voices: tuple[ClonedVoice, ...]) -> list[ClonedVoice]:
    return [v for v in voices if sample is not None and v.sample == sample_mark(sample)]


def voiced(desired: Desired, observed: Observed) -> WantedUnit | None:
    """The agent with its own voice before the pipeline's, where there is one."""
    voice = own_voice(desired, observed)
    if desired.unit is None or desired.voice is None or voice is None:
        return desired.unit
    if observed.voices_unseen is not None and observed.voices_unseen[0] in _KEYLESS:
        return desired.unit
    config = AgentConfig.model_validate_json(desired.unit.config_json)
    own = TextToSpeech(
        provider="ElevenLabs",
        secret_ref=LocalRef(name=OWN_VOICE),
        url=desired.voice.url,
        voice=voice.id,
    )
    config.pipeline.tts = [own, *config.pipeline.tts][:_MOST_VOICES]
    text = canonical_json(config)
    return replace(desired.unit, config_json=text, config_hash=config_hash(text))


def plan_voice(
    builder: PlanBuilder, desired: Desired, observed: Observed, *, gate_open: bool
) -> None:
    """Plan making the voice, and the end of those that are not wanted (any more)."""
    wanted = desired.voice
    if observed.voices_unseen is not None:
        if wanted is not None or observed.voices:
            builder.wait(_POWER, *observed.voices_unseen)
        return
    if wanted is not None and wanted.problem is not None:
        builder.wait(_POWER, *wanted.problem)
        return
    newest = _of(wanted.sample, observed.voices) if wanted else []
    if wanted is not None and wanted.sample is not None and not newest and gate_open:
        if builder.has_actions:
            builder.wait(_POWER, "Progressing", "The voice is made when all else is there")
        else:
            builder.add(
                ActionKind.CLONE_VOICE,
                _POWER,
                f"of sample {sample_mark(wanted.sample)}",
                "the client has no voice of this recording",
            )
    if builder.has_actions or (wanted is not None and not newest):
        return
    for voice in observed.voices:
        if voice not in newest[:1]:
            builder.add(
                ActionKind.DELETE_VOICE,
                _POWER,
                voice.id,
                "another one is in its place" if wanted else "it is not wanted any more",
                reversible=False,
            )
