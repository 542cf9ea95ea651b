"""`voicefleet abandon`: let an object go whose vendor will never answer again."""

from __future__ import annotations

from voicefleet_api.names import FINALIZER
from voicefleet_cli.console import Exit, err, fail, out
from voicefleet_operator.execution.events import emit
from voicefleet_operator.kube import PHONENUMBERS, VOICECLIENTS, Kube, NotFound, Object, Resource

_KINDS = {"vc": ("VoiceClient", VOICECLIENTS), "pn": ("PhoneNumber", PHONENUMBERS)}


async def abandon(kube: Kube, kind: str, name: str, namespace: str, *, yes: bool) -> Exit:
    """Take our finalizer off an object that is being deleted, and say what stays behind.

    A client's PhoneNumbers go with it.
    """
    if kind not in _KINDS:
        fail(f"{kind}: one of {', '.join(_KINDS)}")
    full, resource = _KINDS[kind]
    where = namespace if kind == "vc" else None
    try:
        obj = await kube.get(resource, name, where)
    except NotFound:
        fail(f"there is no {full} {name}")
    if "deletionTimestamp" not in obj["metadata"]:
        fail(
            f"{full} {name} is not being deleted; first: kubectl delete {kind} {name} --wait=false"
        )
    client_id = (obj.get("status") or {}).get("clientID")
    held = [
        number
        for number in (await kube.list(PHONENUMBERS) if client_id else [])
        if (number["spec"].get("claimRef") or {}).get("clientID") == client_id
    ]
    left = [line for thing in (obj, *held) for line in _left(thing)]
    out.print(f"{full} {name} is forgotten; what stays at the vendors:")
    for line in left or ["nothing that its status knows of"]:
        out.print(f"  {line}")
    if not yes and err.input("Abandon it? [y/N] ") != "y":
        return Exit.CHANGES
    for number in held:
        await kube.delete(PHONENUMBERS, number["metadata"]["name"])
        await _let_go(kube, PHONENUMBERS, number, None)
    words = f"Abandoned; left at the vendors: {'; '.join(left) or 'nothing known'}"
    await emit(kube, {**obj, "kind": full}, "Abandoned", words, warning=True)
    await _let_go(kube, resource, obj, where)
    return Exit.OK


def _left(obj: Object) -> list[str]:
    status = obj.get("status") or {}
    lines = []
    subscription = (status.get("billing") or {}).get("subscriptionID")
    if subscription:
        price = (status.get("cost") or {}).get("priceMinor", 0)
        lines.append(f"Stripe subscription {subscription}: {price / 100:.2f} a month is charged")
    voice = (status.get("voice") or {}).get("voiceID")
    if voice:
        lines.append(f"ElevenLabs voice {voice}: made of a person's recording")
    if status.get("sid"):
        cost = status.get("monthlyCostMinor", 0) / 100
        lines.append(f"number {status.get('e164')} ({status['sid']}): {cost:.2f} a month")
    return lines


async def _let_go(kube: Kube, resource: Resource, obj: Object, namespace: str | None) -> None:
    kept = [f for f in obj["metadata"].get("finalizers", []) if f != FINALIZER]
    try:
        await kube.patch(
            resource, obj["metadata"]["name"], {"metadata": {"finalizers": kept}}, namespace
        )
    except NotFound:
        return
