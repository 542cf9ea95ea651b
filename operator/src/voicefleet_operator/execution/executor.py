"""Carries a plan out: independent actions side by side, dependent ones after each other.

A failed action stops only what follows from it. What is in flight is never cancelled half-way; a
conflict with the API server ends the reconciliation once everything in flight has an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from voicefleet_api.meta import ConditionType
from voicefleet_operator import metrics
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    VendorError,
)
from voicefleet_operator.execution import billing, placement, telephony, voices
from voicefleet_operator.execution.context import ClientContext, NotConfigured
from voicefleet_operator.kube import Conflict, KubeError, KubeUnavailable
from voicefleet_operator.planning.health import Trouble
from voicefleet_operator.planning.plan import Action, ActionKind, Plan

logger = logging.getLogger(__name__)

Handler = Callable[[ClientContext, Action], Awaitable[None]]
HANDLERS: dict[ActionKind, Handler] = {
    **billing.HANDLERS,
    **telephony.HANDLERS,
    **placement.HANDLERS,
    **voices.HANDLERS,
}

IN_BILLING: dict[str, str] = {
    ActionKind.CREATE_CUSTOMER: "customers",
    ActionKind.CREATE_SUBSCRIPTION: "subscriptions",
    ActionKind.CREATE_CHECKOUT: "checkouts",
}
"""Journaled actions, and where in `BillingInventory` the outcome is."""
_JOURNALED = frozenset({*IN_BILLING, ActionKind.CLONE_VOICE})
"""They write their intent, and with it the client's identity, before they send anything."""

# A definite no that an edit of the client's spec does not cure.
_NOT_THE_SPEC = frozenset({"CardDeclined", "NoPaymentMethod", "DomainTaken", "VoiceLimitReached"})


@dataclass
class Outcome:
    """What became of a plan."""

    done: list[Action] = field(default_factory=list)
    failures: list[Trouble] = field(default_factory=list)
    retry_after: float = 0.0
    """Seconds that a vendor asked us to wait."""
    unknown: bool = False
    """Nobody knows whether all that was sent is carried out."""


async def execute(plan: Plan, ctx: ClientContext) -> Outcome:
    """Carry the plan out; raises `Conflict` where the object has changed meanwhile."""
    outcome = Outcome()
    tasks: dict[str, asyncio.Task[bool]] = {}
    conflicts: list[Conflict] = []

    async def run(action: Action) -> bool:
        for step in action.after:
            # A step that is not in the plan was not needed.
            if step in tasks and not await tasks[step]:
                return False
        if conflicts:
            return False
        try:
            ctx.kube.ensure_leader()
            if action.kind not in _JOURNALED and not ctx.is_recorded:
                await ctx.writer.save()
            await HANDLERS[action.kind](ctx, action)
        except Conflict as error:
            conflicts.append(error)
        except VendorError as error:
            _note_failure(ctx, action, error, outcome)
        except (KubeError, NotConfigured, LookupError) as error:
            outcome.unknown |= isinstance(error, KubeUnavailable)
            logger.warning("%s failed: %s", action.id, error)
            outcome.failures.append(Trouble(action.power, "NotPossible", str(error)))
        except Exception as error:
            # A mistake of ours must not hide: it is said in the status, and tried again.
            logger.exception("%s failed", action.id, extra={"action": action.kind})
            words = f"{action.kind}: {type(error).__name__}; see the operator's log"
            outcome.failures.append(Trouble(action.power, "InternalError", words))
        else:
            logger.info("%s: %s", action.id, action.reason, extra={"action": action.kind})
            metrics.ACTIONS.labels(action.kind, "done").inc()
            outcome.done.append(action)
            return True
        metrics.ACTIONS.labels(action.kind, "failed").inc()
        return False

    for action in plan.actions:
        tasks[action.id] = asyncio.create_task(run(action))
    await asyncio.gather(*tasks.values())
    if conflicts:
        raise conflicts[0]
    return outcome


def trouble_of(power: ConditionType, error: VendorError) -> Trouble:
    """The vendor's words, what to change, and what there is instead."""
    message = error.message
    if error.hint:
        message += f". {error.hint}"
    if error.suggestions:
        message += f" (available: {', '.join(error.suggestions)})"
    stalled = (
        isinstance(error, Rejected)
        and not isinstance(error, Unauthorized)
        and error.reason not in _NOT_THE_SPEC
    )
    return Trouble(power, error.reason, message, stalled)


def _note_failure(ctx: ClientContext, action: Action, error: VendorError, outcome: Outcome) -> None:
    logger.warning("%s failed: %s", action.id, error, extra={"action": action.kind})
    outcome.unknown |= isinstance(error, Ambiguous)
    # What is gone had been listed: done already, by a request whose answer was lost, or by others.
    if isinstance(error, Ambiguous | Gone):
        ctx.forget(action.power)
    if isinstance(error, Throttled):
        outcome.retry_after = max(outcome.retry_after, error.retry_after)
    outcome.failures.append(trouble_of(action.power, error))
