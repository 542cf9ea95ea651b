"""Reconciles a PhoneNumber: buys or takes over the number, keeps it, gives it back.

Buying at Twilio has no idempotency key, and buying "any number of an area code" buys another at
each repeat. So: choose one number (one chooser an account), record it, buy exactly that one with
our mark on it, and look for it before buying again.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from voicefleet_api.fleet import TelephonyAccount
from voicefleet_api.meta import ConditionType, Operation
from voicefleet_api.names import ANNOTATION_PAUSED
from voicefleet_api.phonenumber import (
    NumberRequest,
    PhoneNumberSpec,
    PhoneNumberStatus,
    PreviousClaim,
)
from voicefleet_operator.drivers.errors import Ambiguous, Gone, Rejected, VendorError
from voicefleet_operator.drivers.twilio import TwilioDriver
from voicefleet_operator.execution.events import emit
from voicefleet_operator.execution.executor import trouble_of
from voicefleet_operator.execution.status import SETTLE, Journal, StatusWriter
from voicefleet_operator.kube import PHONENUMBERS, Object
from voicefleet_operator.planning.health import Finding
from voicefleet_operator.planning.ingress import is_hosted
from voicefleet_operator.planning.observed import CarrierNumber
from voicefleet_operator.reconcilers.common import (
    Controller,
    Retry,
    deleting,
    has_finalizer,
    paused,
    with_finalizer,
)
from voicefleet_operator.store import key_of
from voicefleet_operator.workqueue import Key
from voicefleet_operator.world import Telephony, World

logger = logging.getLogger(__name__)

_PURCHASE = "PurchaseNumber"
_ATTEMPTS = 3
_SUGGESTIONS = 8
_PAUSE = 15.0
"""Seconds between two looks at whether its client or fleet is still paused."""


class _Pass:
    """One reconciliation of one PhoneNumber."""

    def __init__(
        self,
        controller: Controller,
        obj: Object,
        spec: PhoneNumberSpec,
        world: World,
        telephony: Telephony,
    ) -> None:
        self.controller = controller
        self.spec = spec
        self.world = world
        self.telephony = telephony
        self.driver: TwilioDriver = telephony.driver
        self.status = PhoneNumberStatus.model_validate(obj.get("status") or {})
        self.writer = StatusWriter(
            controller.kube, controller.store, PHONENUMBERS, obj, self.status
        )
        self.journal = Journal(self.writer)

    @property
    def name(self) -> str:
        name: str = self.writer.obj["metadata"]["name"]
        return name

    @property
    def friendly_name(self) -> str:
        claim = self.spec.claim_ref
        owner = f"{claim.client_id}/{claim.number}" if claim else f"-/{self.name}"
        return f"voicefleet/{self.world.fleet_id}/{owner}"

    async def keep(self, number: CarrierNumber) -> None:
        (await self.telephony.listing()).numbers[number.sid] = number

    # --- getting it -----------------------------------------------------------------------

    async def acquire(self) -> CarrierNumber:
        marked = await self._marked()
        if marked is not None:
            return marked
        if self.spec.source == "Existing":
            return await self._adopt()
        if self.spec.claim_ref is not None and not _still_wanted(self.controller, self.spec):
            # Nothing is bought for a client that is going; its end takes this object along.
            raise Retry(0.0)
        for _ in range(_ATTEMPTS):
            operation = await self.journal.reopen(_PURCHASE)
            if operation is None:
                operation = await self._choose()
            elif (found := await self._mine(operation.target)) is not None:
                self.journal.retire(operation)
                return found
            try:
                return await self._buy(operation)
            except Rejected as error:
                if self.spec.e164 is not None or error.reason != "NumberUnavailable":
                    raise
                logger.info("%s was taken meanwhile; choosing another", operation.target)
                self.world.offers[self.spec.account].forget(self.spec.request or NumberRequest())
        raise Ambiguous("NumberUnavailable", "numbers are being bought faster than we choose")

    async def _marked(self) -> CarrierNumber | None:
        """The number that already bears this object's mark: the cluster was lost, it was not."""
        if self.journal.open(_PURCHASE) is not None:
            return None
        marked = (await self.telephony.listing()).numbers.by(self.friendly_name)
        return next(iter(marked), None)

    async def _mine(self, e164: str) -> CarrierNumber | None:
        number = await self.driver.find_number(e164)
        mine = number is not None and number.friendly_name == self.friendly_name
        return number if mine else None

    async def _adopt(self) -> CarrierNumber:
        number = await self.driver.find_number(self.spec.e164 or "")
        if number is None:
            raise Rejected(
                "NumberNotInAccount",
                f"{self.spec.e164} is not in carrier account {self.spec.account}",
                hint="Name a number that the account holds, or set source to Purchase",
            )
        if number.friendly_name.startswith("voicefleet/") and (
            number.friendly_name != self.friendly_name
        ):
            raise Rejected(
                "NumberInUse",
                f"{self.spec.e164} already belongs to another client ({number.friendly_name})",
                hint="Choose another number",
            )
        return number

    async def _choose(self) -> Operation:
        """Choose and record; raises `Rejected` where there is nothing, or too much, to buy."""
        offers = self.world.offers[self.spec.account]
        held = (await self.telephony.listing()).numbers
        with offers.buyer(self.name):
            # Nobody else gets between this count and the place that is taken in it.
            chosen = self._chosen()
            self._check_cap(len(held) + sum(not held.by(e164) for e164 in chosen) + offers.buyers)
            request = self.spec.request or NumberRequest()
            e164 = self.spec.e164 or await offers.choose(self.name, request, self._chosen)
            if e164 is None:
                await self._nothing_for_sale(request)
            return await self.journal.begin(_PURCHASE, e164, {"phoneNumber": e164})

    def _chosen(self) -> set[str]:
        """What other PhoneNumbers of the account are about to buy, by their journals."""
        return {
            operation["target"]
            for obj in self.controller.store.numbers_being_bought()
            if obj["metadata"]["name"] != self.name and obj["spec"]["account"] == self.spec.account
            for operation in obj["status"]["operations"]
        }

    def _check_cap(self, numbers: int) -> None:
        account = self._account()
        cost = numbers * account.monthly_number_cost_minor
        if cost > account.monthly_spending_cap_minor:
            raise Rejected(
                "SpendingCapReached",
                f"one more number would make {cost / 100:.2f} a month in account"
                f" {account.name}, whose cap is {account.monthly_spending_cap_minor / 100:.2f}",
                hint="Raise the account's monthlySpendingCapMinor in the Fleet, or release numbers",
            )

    async def _nothing_for_sale(self, request: NumberRequest) -> NoReturn:
        where = f"{request.country} {request.area_code or ''}".strip()
        suggestions = await self.driver.suggest_area_codes(request.country)
        raise Rejected(
            "NoNumbersAvailable",
            f"the carrier has no number in {where}",
            hint="Remove this entry of spec.telephony.numbers and add one with another areaCode",
            suggestions=tuple(suggestions[:_SUGGESTIONS]),
        )

    async def _buy(self, operation: Operation) -> CarrierNumber:
        try:
            number = await self.driver.buy_number(
                operation.target, friendly_name=self.friendly_name
            )
        except Rejected:
            # The first of two sendings may have won: then it is ours all the same.
            found = await self._mine(operation.target)
            self.journal.retire(operation)
            if found is None:
                raise
            number = found
        except Ambiguous:
            self.telephony.forget()
            raise
        self.journal.retire(operation)
        cost = self._monthly_cost()
        await emit(
            self.controller.kube,
            self.writer.obj,
            "NumberBought",
            f"Bought {number.e164} for {cost / 100:.2f} a month",
        )
        return number

    def _account(self) -> TelephonyAccount:
        accounts = self.world.spec.telephony.accounts if self.world.spec.telephony else []
        return next(a for a in accounts if a.name == self.spec.account)

    def _monthly_cost(self) -> int:
        telephony = self.world.spec.telephony
        accounts = telephony.accounts if telephony else []
        return next(
            (a.monthly_number_cost_minor for a in accounts if a.name == self.spec.account), 0
        )

    # --- having it ------------------------------------------------------------------------

    async def hold(self) -> float | None:
        """Bring phase and marks in line with the claim; seconds until quarantine ends."""
        number = (await self.telephony.listing()).numbers.get(self.status.sid or "")
        if number is None:
            self.status.phase = "Failed"
            raise Rejected(
                "NumberMissing",
                f"{self.status.e164} is no longer in the carrier account",
                hint="It is not bought again by itself: remove the entry and add another",
            )
        self.status.monthly_cost_minor = self._monthly_cost()
        if self.spec.claim_ref is not None:
            if number.friendly_name != self.friendly_name:
                await self.keep(
                    await self.driver.update_number(number.sid, friendly_name=self.friendly_name)
                )
            self.status.phase = "Bound"
            claim = self.spec.claim_ref
            # Remembered while it is held, for the day when it is not any more.
            self.status.previous_claim = PreviousClaim(
                namespace=claim.namespace, name=claim.name, quarantined_until=_FAR
            )
            return None
        return await self._free(number)

    async def _free(self, number: CarrierNumber) -> float | None:
        unrouted = await self._unrouted(number)
        if number.friendly_name != self.friendly_name or unrouted:
            await self.keep(
                await self.driver.update_number(
                    number.sid, friendly_name=self.friendly_name, **unrouted
                )
            )
        before = self.status.previous_claim
        if before is None:
            self.status.phase = "Available"
            return None
        if before.quarantined_until == _FAR:
            days = self.world.spec.telephony.quarantine_days if self.world.spec.telephony else 0
            until = datetime.now(UTC) + timedelta(days=days)
            before.quarantined_until = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        left = (
            datetime.fromisoformat(before.quarantined_until) - datetime.now(UTC)
        ).total_seconds()
        if left > 0:
            self.status.phase = "Quarantined"
            return left
        self.status.phase, self.status.previous_claim = "Available", None
        return None

    async def _unrouted(self, number: CarrierNumber | None) -> dict[str, str]:
        """What is to be changed so that it rings nowhere of ours.

        A number that was there before us goes on ringing where somebody else led it.
        """
        if number is None:
            return {}
        trunk = {"trunk_sid": number.trunk_sid}
        voice = {
            "voice_url": number.voice_url,
            "voice_fallback_url": number.voice_fallback_url,
        }
        routes = trunk | voice
        if self.spec.source == "Existing":
            ours = number.trunk_sid in (await self.telephony.listing()).trunks
            routes = trunk if ours else voice if is_hosted(number.voice_url) else {}
        return {key: "" for key, value in routes.items() if value}

    # --- giving it back -------------------------------------------------------------------

    async def give_back(self) -> None:
        """Release the number, whether or not its purchase was ever confirmed."""
        operation = self.journal.open(_PURCHASE)
        if self.status.sid is None and operation is not None:
            found = await self._mine(operation.target)
            age = datetime.now(UTC) - datetime.fromisoformat(operation.started_at)
            if found is not None:
                await self.keep(found)
            elif age.total_seconds() < SETTLE:
                raise Retry(SETTLE - age.total_seconds())
        listed = (await self.telephony.listing()).numbers
        # By its mark, too: a purchase that was sent twice may have been carried out again.
        mine = {n.sid: n.e164 for n in listed.values() if n.friendly_name == self.friendly_name}
        if self.status.sid is not None:
            mine[self.status.sid] = self.status.e164 or ""
        for sid, e164 in mine.items():
            if self.spec.reclaim_policy == "Retain" or self.spec.source == "Existing":
                # It was there before us, or is to be kept: it stays, without our mark.
                unrouted = await self._unrouted(listed.get(sid))
                # Somebody may have released it at the carrier.
                with suppress(Gone):
                    await self.keep(
                        await self.driver.update_number(sid, friendly_name=e164, **unrouted)
                    )
            else:
                await self.driver.release_number(sid)
                listed.pop(sid, None)


_FAR = "9999-12-31T00:00:00Z"
"""Quarantine has not begun: the number is held."""


async def reconcile_phonenumber(controller: Controller, key: Key) -> float | None:
    """One pass; the delay in seconds until the next one is due, if any. Raises `Conflict`."""
    obj = controller.store.get(key)
    if obj is None or (deleting(obj) and not has_finalizer(obj)):
        return None
    if controller.is_paused(obj):
        if paused(obj):
            await _say_paused(controller, obj)
        return _PAUSE
    spec = PhoneNumberSpec.model_validate(obj["spec"])
    fleet = controller.fleet(spec.fleet_ref.name)
    if fleet is None or fleet[1].fleet_id is None:
        return 5.0
    world = await controller.world(spec.fleet_ref.name, fleet[0], fleet[1].fleet_id)
    telephony = world.telephony.get(spec.account)
    if telephony is None:
        logger.warning("fleet %s has no telephony account %s", spec.fleet_ref.name, spec.account)
        return 30.0
    run = _Pass(controller, obj, spec, world, telephony)
    if deleting(obj):
        return await _delete(controller, run)
    if not has_finalizer(obj):
        await run.writer.patch_metadata({"finalizers": with_finalizer(obj)})
    return await _ensure(controller, run)


async def _say_paused(controller: Controller, obj: Object) -> None:
    status = PhoneNumberStatus.model_validate(obj.get("status") or {})
    writer = StatusWriter(controller.kube, controller.store, PHONENUMBERS, obj, status)
    words = f"Nothing is done while {ANNOTATION_PAUSED} stands on the number"
    writer.add_condition(Finding(ConditionType.PAUSED, True, "Paused", words))
    await writer.save()


async def _ensure(controller: Controller, run: _Pass) -> float | None:
    again: float | None = None
    failure: VendorError | None = None
    try:
        if run.status.sid is None:
            number = await run.acquire()
            run.status.sid, run.status.e164 = number.sid, number.e164
            await run.keep(number)
        again = await run.hold()
        findings = [Finding(ConditionType.READY, True, run.status.phase)]
    except VendorError as error:
        failure = error
        trouble = trouble_of(ConditionType.TELEPHONY_READY, error)
        findings = [Finding(ConditionType.READY, False, trouble.reason, trouble.message)]
        if trouble.stalled:
            findings.append(Finding(ConditionType.STALLED, True, trouble.reason, trouble.message))
            run.status.phase = "Failed"
    run.writer.set_conditions(findings)
    if await run.writer.save():
        _wake_client(controller, run.spec)
    if failure is not None:
        raise failure
    return again


async def _delete(controller: Controller, run: _Pass) -> float | None:
    if run.status.phase != "Failed" and _still_wanted(controller, run.spec):
        # Like a PersistentVolume that is in use: it goes when its client lets go of it.
        return 30.0
    # First: a number that is held cannot be bought again by what is still on its way.
    controller.ready_to_let_go(key_of(run.writer.obj))
    controller.kube.ensure_leader()
    await run.give_back()
    await run.writer.let_go()
    _wake_client(controller, run.spec)
    return None


def _still_wanted(controller: Controller, spec: PhoneNumberSpec) -> bool:
    claim = spec.claim_ref
    if claim is None:
        return False
    client = controller.store.get(Key("VoiceClient", claim.namespace, claim.name))
    if client is None or deleting(client):
        return False
    if (client.get("status") or {}).get("clientID") != claim.client_id:
        return False
    onboarding = client["status"].get("onboarding") or {}
    if onboarding.get("phase") in ("RollingBack", "RolledBack"):
        return False
    telephony = client["spec"].get("telephony", {})
    return telephony.get("mode", "Managed") != "None" and any(
        number["name"] == claim.number for number in telephony.get("numbers", [])
    )


def _wake_client(controller: Controller, spec: PhoneNumberSpec) -> None:
    if spec.claim_ref is not None:
        controller.queue.add(Key("VoiceClient", spec.claim_ref.namespace, spec.claim_ref.name))
