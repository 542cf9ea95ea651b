"""`voicefleet plan -f FILE`: what applying a manifest would do, and what it would cost a month.

The same planner as the controller's, run on manifests instead of vendors: a client that exists is
taken to be as its spec says, and each step to go well, so that later steps can be shown too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec, VoiceClientStatus
from voicefleet_operator.kube import Object
from voicefleet_operator.planning.desired import Desired, Sample, Unmet, desire
from voicefleet_operator.planning.observed import Mark, Observed
from voicefleet_operator.planning.plan import Action, Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.simulate import assume

_ROUNDS = 8

Lookup = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) -> the live object."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen to one client."""

    namespace: str
    name: str
    exists: bool
    actions: tuple[Action, ...]

    @property
    def plan(self) -> Plan:
        """The steps as one plan, for its sums."""
        return Plan(self.actions)


def preview(documents: Iterable[Object], lookup: Lookup, namespace: str) -> list[Preview]:
    """Previews of every VoiceClient among the documents.

    Other documents (a Receptionist, a Fleet) count as if they were applied too. Raises `Unmet`
    where a client cannot be what its manifest asks for, `pydantic.ValidationError` where the
    manifest is not of the kind's shape.
    """
    documents = list(documents)
    written = {
        (d["kind"], d["metadata"].get("namespace", namespace), d["metadata"]["name"]): d
        for d in documents
    }

    def find(kind: str, ns: str, name: str, *, live_only: bool = False) -> Object | None:
        if not live_only and (kind, ns, name) in written:
            return written[kind, ns, name]
        return lookup(kind, ns, name)

    previews = []
    for document in documents:
        if document["kind"] != "VoiceClient":
            continue
        ns, name = document["metadata"].get("namespace", namespace), document["metadata"]["name"]
        live = find("VoiceClient", ns, name, live_only=True)
        wanted = _desire(document, live, ns, find)
        observed = Observed()
        if live is not None:
            observed = _settle(
                _desire(live, live, ns, lambda k, n, x: find(k, n, x, live_only=True)), Observed()
            )[0]
        actions = _settle(wanted, observed)[1]
        previews.append(Preview(ns, name, live is not None, tuple(actions)))
    return previews


def _settle(wanted: Desired, observed: Observed) -> tuple[Observed, list[Action]]:
    actions: list[Action] = []
    for _ in range(_ROUNDS):
        todo = plan(wanted, observed)
        if not todo.actions:
            break
        actions += todo.actions
        observed = assume(wanted, observed, todo)
    return observed, actions


def _desire(
    document: Object, live: Object | None, namespace: str, find: Callable[..., Object | None]
) -> Desired:
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
    status = VoiceClientStatus.model_validate((live or {}).get("status") or {})
    mark = Mark("", status.client_id or "vc-(new)", namespace, document["metadata"]["name"])
    sample = _assumed_sample(receptionist)
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
