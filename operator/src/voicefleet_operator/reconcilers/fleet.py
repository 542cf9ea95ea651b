"""Reconciles a Fleet: its identity, and a Stripe price for each plan in each billing account."""

from __future__ import annotations

import logging
import secrets
import string

from voicefleet_api.fleet import FleetSpec, FleetStatus
from voicefleet_api.meta import ConditionType
from voicefleet_api.names import ANNOTATION_FLEET_ID
from voicefleet_operator.drivers.errors import Unauthorized, VendorError
from voicefleet_operator.execution.status import StatusWriter
from voicefleet_operator.kube import FLEETS, KubeError
from voicefleet_operator.planning.health import Finding
from voicefleet_operator.reconcilers.common import (
    Controller,
    deleting,
    fleet_name,
    has_finalizer,
    with_finalizer,
)
from voicefleet_operator.workqueue import Key

logger = logging.getLogger(__name__)

_ALPHABET = string.ascii_lowercase + string.digits


def new_id(prefix: str, length: int) -> str:
    """A random identity; the vendors' marks and natural keys derive from it."""
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


async def reconcile_fleet(controller: Controller, key: Key) -> float | None:
    """One pass; the delay in seconds until the next one is due, if any. Raises `Conflict`."""
    obj = controller.store.get(key)
    if obj is None:
        return None
    spec = FleetSpec.model_validate(obj["spec"])
    status = FleetStatus.model_validate(obj.get("status") or {})
    writer = StatusWriter(controller.kube, controller.store, FLEETS, obj, status)
    if deleting(obj):
        return await _delete(controller, writer)
    if not has_finalizer(obj):
        # A fleet goes last: without its accounts nothing of its clients could be given back.
        await writer.patch_metadata({"finalizers": with_finalizer(obj)})
    if status.fleet_id is None:
        annotations = obj["metadata"].get("annotations") or {}
        status.fleet_id = annotations.get(ANNOTATION_FLEET_ID) or new_id("vf", 8)
        # Before anything carries it as a mark.
        await writer.save()
    try:
        await _prices(controller, key, spec, status)
        finding = Finding(ConditionType.READY, True, "Provisioned", "Plans have their prices")
    except VendorError as error:
        logger.warning("fleet %s: %s", key.name, error)
        if isinstance(error, Unauthorized):
            # The Secret may have been mended since it was read.
            controller.forget_world(key.name)
        finding = Finding(
            ConditionType.READY, False, error.reason, f"{error.message}. {error.hint}".strip(". ")
        )
    except (KubeError, ValueError) as error:
        finding = Finding(ConditionType.READY, False, "SecretNotUsable", str(error))
    status.monthly_number_cost_minor = _number_cost(controller, key.name)
    writer.set_conditions([finding])
    changed = await writer.save()
    if changed:
        for client in controller.store.of_kind("VoiceClient"):
            if fleet_name(client) == key.name:
                meta = client["metadata"]
                controller.queue.add(Key("VoiceClient", meta["namespace"], meta["name"]))
    return None if finding.status else 10.0


async def _delete(controller: Controller, writer: StatusWriter[FleetStatus]) -> float | None:
    """Let the fleet go once no client and no number refers to it."""
    name = writer.obj["metadata"]["name"]
    clients = [c for c in controller.store.of_kind("VoiceClient") if fleet_name(c) == name]
    numbers = [n for n in controller.store.of_kind("PhoneNumber") if fleet_name(n) == name]
    if not clients and not numbers:
        await writer.let_go()
        controller.forget_world(name)
        return None
    words = f"{len(clients)} client(s) and {len(numbers)} number(s) still belong to it"
    writer.set_conditions([Finding(ConditionType.READY, False, "InUse", words)])
    await writer.save()
    return 5.0


async def _prices(controller: Controller, key: Key, spec: FleetSpec, status: FleetStatus) -> None:
    if status.fleet_id is None:
        raise ValueError("the fleet has no identity yet")
    world = await controller.world(key.name, spec, status.fleet_id)
    prices = {}
    for account, billing in world.billing.items():
        for plan in spec.plans:
            prices[f"{account}/{plan.name}"] = await billing.driver.ensure_price(plan)
    status.prices = prices


def _number_cost(controller: Controller, fleet: str) -> int:
    return sum(
        (obj.get("status") or {}).get("monthlyCostMinor", 0)
        for obj in controller.store.of_kind("PhoneNumber")
        if fleet_name(obj) == fleet
    )
