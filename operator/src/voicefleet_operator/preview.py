"""`voicefleet plan -f FILE`: what applying a manifest would do, and what it would cost a month.

The same planner as the controller's, run on manifests instead of vendors: a client that exists is
taken to be as its spec says, and each step to go well, so that later steps can be shown too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec, VoiceClientStatus
from voicefleet_operator.kube import Object
from voicefleet_operator.planning.desired import Desired, Sample, Unmet, desire, nothing
from voicefleet_operator.planning.observed import Mark, Observed
from voicefleet_operator.planning.plan import Action, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.simulate import assume

_ROUNDS = 8
_NEW, _EXISTING = "(new)", "(existing)"
"""What the planner's simulation calls ids that it does not know; of what is there, they exist."""

Lookup = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) -> the live object."""
_Key = tuple[str, str, str]


class Change(StrEnum):
    """What happens to a client's manifest."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen to one client; `actions` may be empty."""

    namespace: str
    name: str
    change: Change
    actions: tuple[Action, ...]

    @property
    def plan(self) -> Plan:
        """The steps as one plan, for its sums."""
        return Plan(self.actions)


def preview(
    documents: Iterable[Object], lookup: Lookup, namespace: str, before: Iterable[Object] = ()
) -> list[Preview]:
    """Previews of every VoiceClient among the documents, and of those that they no longer have.

    Other documents (a Receptionist, a Fleet) count as if they were applied too. What is among
    `before` and not among the documents counts as deleted. Raises `Unmet` where a client cannot be
    what its manifest asks for, `pydantic.ValidationError` where the manifest is not of the kind's
    shape.
    """
    written = {_key(document, namespace): document for document in documents}
    gone = [key for document in before if (key := _key(document, namespace)) not in written]

    def find(kind: str, ns: str, name: str) -> Object | None:
        key = (kind, ns, name)
        return None if key in gone else written.get(key) or lookup(*key)

    previews = []
    for (kind, ns, name), document in written.items():
        if kind != "VoiceClient":
            continue
        live = lookup(kind, ns, name)
        wanted = _desire(document, live, ns, find)
        if live is None:
            actions = _settle(wanted, Observed())[1]
            previews.append(Preview(ns, name, Change.NEW, tuple(actions)))
        else:
            actions = _settle(wanted, _as_it_is(live, ns, lookup))[1]
            previews.append(Preview(ns, name, Change.CHANGED, _told(actions)))
    for kind, ns, name in gone:
        live = lookup(kind, ns, name) if kind == "VoiceClient" else None
        if live is not None:
            actions = _deletion(live, ns, lookup)
            previews.append(Preview(ns, name, Change.DELETED, _told(actions)))
    return previews


def _key(document: Object, namespace: str) -> _Key:
    kind, meta = document["kind"], document["metadata"]
    return kind, "" if kind == "Fleet" else meta.get("namespace", namespace), meta["name"]


def _settle(wanted: Desired, observed: Observed) -> tuple[Observed, list[Action]]:
    actions: list[Action] = []
    for _ in range(_ROUNDS):
        todo = plan(wanted, observed)
        if not todo.actions:
            break
        actions += todo.actions
        observed = assume(wanted, observed, todo)
    return observed, actions


def _as_it_is(live: Object, namespace: str, lookup: Lookup) -> Observed:
    """All that a client's spec asks for, with what its status knows by name.

    A spec that cannot be met has brought nothing about, unless its status says otherwise.
    """
    status = _status(live)
    try:
        wanted = _desire(live, live, namespace, lookup)
    except Unmet:
        if status.numbers or status.billing:
            raise
        return Observed()
    if wanted.telephony is not None:
        known = {number.name: number.e164 for number in status.numbers}
        numbers = tuple(
            claim.model_copy(update={"e164": known.get(claim.name) or claim.e164})
            for claim in wanted.telephony.numbers
        )
        wanted = replace(wanted, telephony=replace(wanted.telephony, numbers=numbers))
    observed = _settle(wanted, Observed())[0]
    if observed.subscription and status.billing and status.billing.subscription_id:
        subscription = replace(observed.subscription, id=status.billing.subscription_id)
        observed = replace(observed, subscription=subscription)
    return observed


def _deletion(live: Object, namespace: str, lookup: Lookup) -> list[Action]:
    spec = VoiceClientSpec.model_validate(live["spec"])
    if spec.deletion_protection:
        raise Unmet(
            "DeletionProtected",
            f"VoiceClient {namespace}/{live['metadata']['name']} is to go, and has"
            " spec.deletionProtection: the cluster would refuse it; set it to false in a change"
            " before this one",
            stalled=True,
        )
    gone = nothing(_mark(live, live, namespace), spec.billing.on_delete)
    return _settle(gone, _as_it_is(live, namespace, lookup))[1]


def _told(actions: Iterable[Action]) -> tuple[Action, ...]:
    """The steps for a client that is there: ids that are not known are not new."""

    def words(text: str) -> str:
        return text.removesuffix(_NEW) + _EXISTING if text.endswith(_NEW) else text

    return tuple(
        replace(action, target=words(action.target), after=tuple(words(a) for a in action.after))
        for action in actions
    )


def _status(live: Object | None) -> VoiceClientStatus:
    return VoiceClientStatus.model_validate((live or {}).get("status") or {})


def _mark(document: Object, live: Object | None, namespace: str) -> Mark:
    client_id = _status(live).client_id or "vc-(new)"
    return Mark("", client_id, namespace, document["metadata"]["name"])


def _desire(document: Object, live: Object | None, namespace: str, find: Lookup) -> Desired:
    spec = VoiceClientSpec.model_validate(document["spec"])
    fleet = find("Fleet", "", spec.fleet_ref.name)
    if fleet is None:
        raise Unmet(
            "FleetNotFound",
            f"spec.fleetRef: there is no Fleet {spec.fleet_ref.name!r}",
            stalled=True,
        )
    receptionist = None
    if spec.receptionist_ref is not None:
        found = find("Receptionist", namespace, spec.receptionist_ref.name)
        if found is None:
            raise Unmet(
                "ReceptionistNotFound",
                f"spec.receptionistRef: there is no Receptionist {spec.receptionist_ref.name!r} in"
                f" namespace {namespace}, neither in the cluster nor in the file",
                stalled=False,
            )
        receptionist = ReceptionistSpec.model_validate(found["spec"])
    fleet_spec = FleetSpec.model_validate(fleet["spec"])
    sample = _assumed_sample(receptionist)
    mark = _mark(document, live, namespace)
    return desire(mark, spec, fleet_spec, _assumed_prices(fleet_spec), receptionist, sample)


def _assumed_sample(receptionist: ReceptionistSpec | None) -> Sample | None:
    """A recording by its name: Secrets are not read for a preview."""
    if receptionist is None or receptionist.voice is None:
        return None
    ref = receptionist.voice.clone.sample_ref
    return Sample(f"{ref.name}/{ref.key}")


def _assumed_prices(fleet: FleetSpec) -> FleetStatus:
    """Prices by name: two plans differ in them, whether or not Stripe has them yet."""
    accounts = fleet.billing.accounts if fleet.billing else []
    return FleetStatus(
        prices={
            f"{account.name}/{item.name}": f"{item.name} at {item.monthly_price_minor}"
            for account in accounts
            for item in fleet.plans
        }
    )
