"""Reconciles a VoiceClient: observe, plan, execute, write status; level-triggered.

Any pass may be the first, the last or a repeat. The only things kept between passes are in the
object: the finalizer, the client's identity and the journal.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.meta import ConditionType
from voicefleet_api.names import (
    ANNOTATION_CLIENT_ID,
    ANNOTATION_PAUSED,
    ANNOTATION_RECONCILE_AT,
    LABEL_PROTECTED,
    OWN_VOICE,
    provider_secret,
)
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec, VoiceClientStatus
from voicefleet_operator import metrics
from voicefleet_operator.drivers.errors import Ambiguous, VendorError
from voicefleet_operator.execution.context import ClientContext, NotConfigured
from voicefleet_operator.execution.events import emit
from voicefleet_operator.execution.executor import Outcome, execute, trouble_of
from voicefleet_operator.execution.placement import unit_spec
from voicefleet_operator.execution.status import Journal, StatusWriter
from voicefleet_operator.kube import NAMESPACES, VOICECLIENTS, Object
from voicefleet_operator.planning.desired import Unmet, desire, nothing, undone
from voicefleet_operator.planning.drift import drifted, hold_back
from voicefleet_operator.planning.health import Finding, Trouble, findings
from voicefleet_operator.planning.observed import Mark, Observed
from voicefleet_operator.planning.plan import Plan
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.reconcilers.common import (
    Controller,
    Retry,
    deleting,
    has_finalizer,
    with_finalizer,
)
from voicefleet_operator.reconcilers.fleet import new_id
from voicefleet_operator.reconcilers.observe import observe
from voicefleet_operator.reconcilers.onboarding import Onboarding, milestone, reached
from voicefleet_operator.reconcilers.report import (
    complete,
    fill_status,
    in_the_way,
    note_progress,
    tell,
    tell_voice,
    truths,
)
from voicefleet_operator.reconcilers.rollout import (
    ROLLOUT_POLL,
    ROLLOUT_WAITS,
    follow,
    retry_rollout,
)
from voicefleet_operator.reconcilers.secrets import client_secrets, read_recording
from voicefleet_operator.reconcilers.settling import forget_all, outdated, settle
from voicefleet_operator.store import key_of
from voicefleet_operator.workqueue import Key

logger = logging.getLogger(__name__)

_ROUNDS = 6
_PAYMENT_POLL = 5.0
_VOICE_POLL = 30.0
_UNSAID = 30.0
"""Seconds for which a new client's wait for its numbers is not worth a write: it says already that
it is being made."""
# A thousand clients that are nudged at once share one listing.
_FRESH = 5.0


async def reconcile_voiceclient(controller: Controller, key: Key) -> float | None:
    """One pass; the delay in seconds until the next one is due, if any. Raises `Conflict`."""
    obj = controller.store.get(key)
    if obj is None or (deleting(obj) and not has_finalizer(obj)):
        return None
    status = VoiceClientStatus.model_validate(obj.get("status") or {})
    writer = StatusWriter(controller.kube, controller.store, VOICECLIENTS, obj, status)
    if controller.is_paused(obj):
        await _pause(controller, writer)
        return None
    spec = VoiceClientSpec.model_validate(obj["spec"])
    if deleting(obj) and status.client_id is None:
        # Nothing outside was ever made under an identity that was never written.
        await writer.let_go()
        return None
    onboarding = Onboarding(spec, status, obj["metadata"])
    if not deleting(obj):
        await _prepare(controller, writer, spec, onboarding)
    fleet = controller.fleet(spec.fleet_ref.name)
    if fleet is None or fleet[1].fleet_id is None:
        what = "does not exist" if fleet is None else "is not ready yet"
        trouble = Trouble(
            ConditionType.READY, "FleetNotReady", f"Fleet {spec.fleet_ref.name} {what}"
        )
        await _report_trouble(writer, trouble)
        return 10.0
    return await _Pass(controller, writer, spec, fleet, onboarding).run()


async def _pause(controller: Controller, writer: StatusWriter[VoiceClientStatus]) -> None:
    """Nothing is done, here or at a vendor, deletion included; what was last known stands."""
    words = f"Nothing is done while {ANNOTATION_PAUSED} stands on the client or its Fleet"
    writer.add_condition(Finding(ConditionType.PAUSED, True, "Paused", words))
    if await writer.save():
        await emit(controller.kube, writer.obj, "Paused", words)


async def _prepare(
    controller: Controller,
    writer: StatusWriter[VoiceClientStatus],
    spec: VoiceClientSpec,
    onboarding: Onboarding,
) -> None:
    """Before the first external call: finalizer, identity, protection of the namespace."""
    meta = writer.obj["metadata"]
    if not has_finalizer(writer.obj):
        await writer.patch_metadata({"finalizers": with_finalizer(writer.obj)})
    status = writer.status
    if status.client_id is None:
        annotations = meta.get("annotations") or {}
        status.client_id = annotations.get(ANNOTATION_CLIENT_ID) or new_id("vc", 10)
        milestone(status, "Accepted")
    onboarding.enter()
    if spec.deletion_protection:
        namespace = await controller.kube.get(NAMESPACES, meta["namespace"])
        if (namespace["metadata"].get("labels") or {}).get(LABEL_PROTECTED) != "true":
            await controller.kube.patch(
                NAMESPACES, meta["namespace"], {"metadata": {"labels": {LABEL_PROTECTED: "true"}}}
            )


async def _report_trouble(writer: StatusWriter[VoiceClientStatus], trouble: Trouble) -> None:
    kind = ConditionType.STALLED if trouble.stalled else ConditionType.RECONCILING
    writer.set_conditions(
        [
            Finding(ConditionType.READY, False, trouble.reason, trouble.message),
            Finding(kind, True, trouble.reason, trouble.message),
            Finding(ConditionType.ANSWERING, False, trouble.reason, trouble.message),
        ]
    )
    await writer.save()


class _Pass:
    """One reconciliation of one client whose fleet is known."""

    def __init__(
        self,
        controller: Controller,
        writer: StatusWriter[VoiceClientStatus],
        spec: VoiceClientSpec,
        fleet: tuple[FleetSpec, FleetStatus],
        onboarding: Onboarding,
    ) -> None:
        self.controller = controller
        self.writer = writer
        self.status = writer.status
        self.spec = spec
        self.fleet_spec, self.fleet_status = fleet
        self.onboarding = onboarding
        self.journal = Journal(writer)
        self.deleting = deleting(writer.obj)

    @property
    def _mark(self) -> Mark:
        meta = self.writer.obj["metadata"]
        return Mark(
            fleet_id=self.fleet_status.fleet_id or "",
            client_id=self.status.client_id or "",
            namespace=meta["namespace"],
            name=meta["name"],
        )

    async def run(self) -> float | None:
        """Observe, plan and execute until nothing is left to do or something is in the way."""
        try:
            ctx = await self._context()
        except Unmet as unmet:
            trouble = Trouble(ConditionType.READY, unmet.reason, unmet.message, unmet.stalled)
            rolls_back = self.onboarding.judge(complete=False, trouble=trouble)
            await _report_trouble(self.writer, trouble)
            return 0.0 if rolls_back else self.onboarding.next_look(None if unmet.stalled else 10.0)
        outcome = Outcome()
        observed: Observed | None = None
        if self._asked_at() != self.status.last_handled_reconcile_at:
            for listed in ctx.world.all_listed():
                listed.forget(older_than=_FRESH)
            retry_rollout(self.status)
        elif self.status.rollout is not None and ctx.desired.unit is not None:
            # How its calls went is in no event.
            ctx.runtime(ctx.desired.unit.class_name).forget()
        try:
            for _ in range(_ROUNDS):
                await self._refresh_payment(ctx)
                observed = await follow(ctx, await self._observe(ctx))
                todo = self._plan(ctx, observed)
                await settle(ctx, observed, todo)
                if not todo.actions or outcome.failures:
                    break
                if not self.status.conditions:
                    # The first intent that is recorded says what is going on, too.
                    self.writer.set_conditions(findings(ctx.desired, observed, todo, []))
                outcome = await execute(todo, ctx)
                await self._tell_drift(ctx, outcome)
        except VendorError as error:
            if isinstance(error, Ambiguous):
                outcome.unknown = True
                forget_all(ctx)
            outcome.failures.append(trouble_of(ConditionType.READY, error))
        except NotConfigured as error:
            outcome.failures.append(Trouble(ConditionType.READY, "NotConfigured", str(error)))
        if observed is None:
            return await self._not_seen(outcome)
        return await self._conclude(ctx, observed, outcome)

    def _asked_at(self) -> str | None:
        """When a person has last asked for a look at the real world."""
        annotations = self.writer.obj["metadata"].get("annotations") or {}
        asked: str | None = annotations.get(ANNOTATION_RECONCILE_AT)
        return asked

    async def _context(self) -> ClientContext:
        mark = self._mark
        world = await self.controller.world(
            self.spec.fleet_ref.name, self.fleet_spec, mark.fleet_id
        )
        secrets: dict[str, str] = {}
        recording = b""
        receptionist: Object | None = None
        if self.onboarding.undoing:
            desired = undone(mark, self.spec)
        elif self.deleting:
            desired = nothing(mark, self.spec.billing.on_delete)
        else:
            receptionist = self._receptionist()
            words = ReceptionistSpec.model_validate(receptionist["spec"]) if receptionist else None
            kube = self.controller.kube
            recording, sample = await read_recording(kube, mark.namespace, words)
            desired = desire(mark, self.spec, self.fleet_spec, self.fleet_status, words, sample)
            secrets = await client_secrets(kube, mark.namespace, self.spec, words)
            secrets |= self.controller.credentials(mark.client_id)
            if desired.voice is not None and desired.voice.account in world.speech_keys:
                secrets[provider_secret(OWN_VOICE)] = world.speech_keys[desired.voice.account]
        ctx = ClientContext(
            kube=self.controller.kube,
            store=self.controller.store,
            world=world,
            spec=self.spec,
            desired=desired,
            writer=self.writer,
            journal=self.journal,
            runtime=self.controller.runtime,
            enqueue=self.controller.queue.add,
            secrets=secrets,
            recording=recording,
            receptionist=receptionist,
        )
        if desired.unit is not None:
            driver = self.controller.runtime(desired.unit.class_name).driver
            spec_hash = driver.spec_hash(unit_spec(ctx, desired.unit))
            ctx.desired = replace(desired, unit=replace(desired.unit, spec_hash=spec_hash))
        return ctx

    def _receptionist(self) -> Object | None:
        ref = self.spec.receptionist_ref
        if ref is None:
            return None
        namespace = self.writer.obj["metadata"]["namespace"]
        obj = self.controller.store.get(Key("Receptionist", namespace, ref.name))
        if obj is None:
            raise Unmet(
                "ReceptionistNotFound",
                f"spec.receptionistRef: there is no Receptionist {ref.name!r} in namespace"
                f" {namespace}; create it or remove the reference",
                stalled=False,
            )
        return obj

    async def _observe(self, ctx: ClientContext) -> Observed:
        classes = set(self.controller.runtimes)
        if ctx.desired.unit is not None:
            classes.add(ctx.desired.unit.class_name)
        elif self.spec.runtime is not None and self.spec.runtime.class_name:
            classes.add(self.spec.runtime.class_name)
        elif self.fleet_spec.livekit is not None:
            runtime = self.fleet_spec.runtime
            classes.add(runtime.class_name if runtime else "podman")
        known: dict[str, Any] = {
            "activated": reached(self.status, "Activated"),
            "runtime_classes": classes,
            "trusted_trunk": self.status.carrier_trunk_sid if self._was_whole(ctx) else None,
        }
        observed = await observe(ctx, **known)
        if old := outdated(ctx, observed):
            # What a replaced leader must not take for missing, and make again.
            for listed in old:
                listed.forget()
            observed = await observe(ctx, **known)
        return observed

    async def _refresh_payment(self, ctx: ClientContext) -> None:
        """Ask Stripe about a payment that is waited for; everything else is in the listing."""
        if ctx.desired.billing is None or reached(self.status, "Activated"):
            return
        driver, listing = ctx.billing.driver, await ctx.billing.listing()
        owner = ctx.mark.owner
        for session in listing.checkouts.by(owner):
            fresh = await driver.get_checkout(session.id)
            if fresh.status != "open":
                del listing.checkouts[session.id]
            if fresh.subscription_id:
                subscription = await driver.get_subscription(fresh.subscription_id)
                listing.subscriptions[subscription.id] = subscription
        waits = ctx.desired.billing.activation == "OnPayment"
        for sub in listing.subscriptions.by(owner):
            if waits and sub.live and not sub.paid:
                listing.subscriptions[sub.id] = await driver.get_subscription(sub.id)

    def _plan(self, ctx: ClientContext, observed: Observed) -> Plan:
        todo = plan(ctx.desired, observed)
        return hold_back(todo, self.spec.drift) if self._was_whole(ctx) else todo

    def _was_whole(self, ctx: ClientContext) -> bool:
        """Whether all that is wanted now was there before: what differs is then drift."""
        whole = self.status.converged_hash
        return whole is not None and whole == ctx.fingerprint

    async def _tell_drift(self, ctx: ClientContext, outcome: Outcome) -> None:
        repaired = drifted(tuple(outcome.done)) if self._was_whole(ctx) else ()
        for action in repaired:
            metrics.DRIFT.labels(action.power, "repaired").inc()
        if repaired:
            words = "; ".join(f"{a.kind} {a.target} ({a.reason})" for a in repaired)
            message = f"Changed at the vendor, and repaired: {words}"
            await emit(self.controller.kube, self.writer.obj, "DriftRepaired", message)

    # --- what is said about it -------------------------------------------------------------

    async def _not_seen(self, outcome: Outcome) -> float | None:
        """A vendor could not be asked: what was last known of the client still stands."""
        trouble = outcome.failures[0]
        rolls_back = self.onboarding.judge(complete=False, trouble=trouble)
        if self.status.conditions:
            self.writer.add_condition(
                Finding(ConditionType.RECONCILING, True, trouble.reason, trouble.message)
            )
            await self.writer.save()
        else:
            await _report_trouble(self.writer, trouble)
        if rolls_back:
            return 0.0
        raise Retry(outcome.retry_after, self.onboarding.next_look(None))

    async def _conclude(
        self, ctx: ClientContext, observed: Observed, outcome: Outcome
    ) -> float | None:
        remaining = self._plan(ctx, observed)
        done = not outcome.failures and not remaining.actions and not remaining.waits
        if outcome.unknown:
            self.controller.doubt(key_of(self.writer.obj))
        if self.deleting and done:
            self.controller.ready_to_let_go(key_of(self.writer.obj))
            await self._let_go()
            return None
        before = truths(self.status)
        fill_status(self.status, ctx, observed)
        self.status.last_handled_reconcile_at = self._asked_at()
        found = findings(ctx.desired, observed, remaining, outcome.failures)
        rolls_back = False
        if self.onboarding.undoing:
            if done:
                self.onboarding.finish_rollback()
            found = self.onboarding.findings(outcome.failures)
        elif not self.deleting:
            note_progress(ctx, observed, found)
            rolls_back = self.onboarding.judge(
                complete=complete(ctx, found), trouble=in_the_way(found)
            )
        self.writer.set_conditions(found)
        if (unsaid := self._waits_for_new_numbers(remaining, outcome)) > 0:
            return unsaid
        voice_before = (self.writer.obj.get("status") or {}).get("voice") or {}
        await self.writer.save()
        await tell(ctx, found, before)
        await tell_voice(ctx, voice_before.get("voiceID"))
        if rolls_back:
            return 0.0
        return self._next(found, remaining, outcome)

    def _waits_for_new_numbers(self, remaining: Plan, outcome: Outcome) -> float:
        """For how many seconds more nothing need be said about the wait, if that is all."""
        if (
            self.deleting
            or outcome.failures
            or remaining.actions
            or {wait.reason for wait in remaining.waits} != {"NumberPending"}
        ):
            return 0.0
        created = datetime.fromisoformat(self.writer.obj["metadata"]["creationTimestamp"])
        return _UNSAID - (datetime.now(UTC) - created).total_seconds()

    async def _let_go(self) -> None:
        await emit(
            self.controller.kube,
            self.writer.obj,
            "Deleted",
            "Everything the client had is given back, by its policies",
        )
        await self.writer.let_go()

    def _next(self, found: list[Finding], remaining: Plan, outcome: Outcome) -> float | None:
        # Actions that succeed and are planned again stand back like those that fail.
        if outcome.failures or remaining.actions:
            raise Retry(outcome.retry_after, self.onboarding.next_look(None))
        if any(finding.reason == "AwaitingPayment" for finding in found):
            return self.onboarding.next_look(_PAYMENT_POLL)
        if any(wait.reason in ROLLOUT_WAITS for wait in remaining.waits):
            return self.onboarding.next_look(ROLLOUT_POLL)
        wanting = any(f.type == ConditionType.VOICE_READY and not f.status for f in found)
        return self.onboarding.next_look(_VOICE_POLL if wanting else None)
