"""A client's own credentials, on their way from Secrets in its namespace to its agent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from voicefleet_api.names import OWN_VOICE, provider_secret
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.rules import SECRET_RESERVED
from voicefleet_api.voiceclient import VoiceClientSpec
from voicefleet_operator.drivers.elevenlabs import kind_of
from voicefleet_operator.kube import Kube, KubeError
from voicefleet_operator.planning.desired import Sample, Unmet
from voicefleet_operator.reconcilers.common import read_data, read_secret


async def client_secrets(
    kube: Kube, namespace: str, spec: VoiceClientSpec, receptionist: ReceptionistSpec | None
) -> dict[str, str]:
    """What the agent finds in /secrets beside its credentials.

    Raises `Unmet` where a Secret is not there, not readable or not whole.
    """
    found: dict[str, str] = {}
    caldav = receptionist.calendar.caldav if receptionist and receptionist.calendar else None
    if caldav is not None:
        found |= await _read(
            kube,
            namespace,
            caldav.secret_ref.name,
            {"CALDAV_USERNAME": "username", "CALDAV_PASSWORD": "password"},
            ("CalendarSecretNotUsable", "Receptionist spec.calendar.caldav.secretRef"),
        )
    pipeline = spec.agent.pipeline if spec.agent else None
    for component in ("stt", "llm", "tts"):
        for index, provider in enumerate(getattr(pipeline, component, ())):
            if provider.secret_ref is not None:
                name = provider.secret_ref.name
                field = f"spec.agent.pipeline.{component}[{index}].secretRef"
                if name == OWN_VOICE:
                    # Admission says the same; here for clients that were there before the rule.
                    words = f"{field}.name: {SECRET_RESERVED}"
                    raise Unmet("ProviderSecretNotUsable", words, stalled=True)
                found |= await _read(
                    kube,
                    namespace,
                    name,
                    {provider_secret(name): "apiKey"},
                    ("ProviderSecretNotUsable", field),
                )
    return found


async def _read(
    kube: Kube,
    namespace: str,
    name: str,
    keys: Mapping[str, str],
    asked_by: tuple[str, str],
) -> dict[str, str]:
    """`keys`: name for the agent -> key in the Secret; `asked_by`: reason and field."""
    reason, field = asked_by

    def unmet(message: str) -> Unmet:
        return Unmet(reason, f"{field}: {message}", stalled=False)

    try:
        data = await read_secret(kube, namespace, name)
    except KubeError as error:
        if words := _why_not(error, namespace, name):
            raise unmet(words) from None
        raise
    missing = [key for key in keys.values() if not data.get(key)]
    if missing:
        raise unmet(f"Secret {name!r} in namespace {namespace} lacks {' and '.join(missing)}")
    return {variable: data[key].strip() for variable, key in keys.items()}


def _why_not(error: KubeError, namespace: str, name: str) -> str | None:
    """Why a Secret cannot be read, and what to do about it; None where nobody can."""
    if error.status == 404:
        return f"there is no Secret {name!r} in namespace {namespace}"
    if error.status == 403:
        return (
            f"the operator may not read Secret {name!r} in namespace {namespace}; bind the"
            " ClusterRole voicefleet-client-secrets to its service account there"
        )
    return None


async def read_recording(
    kube: Kube, namespace: str, receptionist: ReceptionistSpec | None
) -> tuple[bytes, Sample | None]:
    """The recording of the voice that the client is to have, and its hash.

    Nothing where it is to have none; why, where there is none that can be used.
    """
    if receptionist is None or receptionist.voice is None:
        return b"", None
    ref = receptionist.voice.clone.sample_ref

    def unusable(words: str) -> tuple[bytes, Sample]:
        return b"", Sample(None, f"Receptionist spec.voice.clone.sampleRef: {words}")

    try:
        data = await read_data(kube, namespace, ref.name)
    except KubeError as error:
        if words := _why_not(error, namespace, ref.name):
            return unusable(words)
        raise
    recording = data.get(ref.key, b"")
    if kind_of(recording) is None:
        return unusable(
            f"key {ref.key!r} of Secret {ref.name!r} in namespace {namespace} holds no WAV, MP3,"
            " FLAC, Ogg or M4A"
        )
    return recording, Sample(hashlib.sha256(recording).hexdigest())
