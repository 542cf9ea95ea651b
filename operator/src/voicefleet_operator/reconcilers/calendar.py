"""The credentials of a business's own calendar, on their way from its Secret to its agent."""

from __future__ import annotations

from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_operator.kube import Kube, KubeError
from voicefleet_operator.planning.desired import Unmet
from voicefleet_operator.reconcilers.common import read_secret

_KEYS = {"CALDAV_USERNAME": "username", "CALDAV_PASSWORD": "password"}
_FIELD = "Receptionist spec.calendar.caldav.secretRef"


async def calendar_secrets(
    kube: Kube, namespace: str, receptionist: ReceptionistSpec | None
) -> dict[str, str]:
    """What the agent finds in /secrets; empty without a CalDAV calendar.

    Raises `Unmet` where the Secret is not there, not readable or not whole.
    """
    caldav = receptionist.calendar.caldav if receptionist and receptionist.calendar else None
    if caldav is None:
        return {}
    name = caldav.secret_ref.name
    try:
        data = await read_secret(kube, namespace, name)
    except KubeError as error:
        if error.status == 404:
            raise _unmet(f"there is no Secret {name!r} in namespace {namespace}") from None
        if error.status == 403:
            raise _unmet(
                f"the operator may not read Secret {name!r} in namespace {namespace}; bind the"
                " ClusterRole voicefleet-client-secrets to its service account there"
            ) from None
        raise
    missing = [key for key in _KEYS.values() if not data.get(key)]
    if missing:
        raise _unmet(f"Secret {name!r} in namespace {namespace} lacks {' and '.join(missing)}")
    return {variable: data[key].strip() for variable, key in _KEYS.items()}


def _unmet(message: str) -> Unmet:
    return Unmet("CalendarSecretNotUsable", f"{_FIELD}: {message}", stalled=False)
