"""What the passing of time does: renewals, ends of trials and periods, drafts that fall due."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet_sandbox.stripe import checkout, invoices, subscriptions
from voicefleet_sandbox.stripe.context import VENDOR, Context
from voicefleet_sandbox.stripe.lines import take_pending

_INCOMPLETE_SECONDS = 23 * 3600
_STATUS = "json_extract(doc, '$.status')"
_DUE = {
    "subscription": (
        f"CASE {_STATUS} WHEN 'incomplete'"
        f" THEN json_extract(doc, '$.created') + {_INCOMPLETE_SECONDS}"
        " ELSE json_extract(doc, '$.items.data[0].current_period_end') END",
        f"{_STATUS} NOT IN ('canceled', 'incomplete_expired')",
    ),
    "invoice": ("json_extract(doc, '$.automatically_finalizes_at')", f"{_STATUS} = 'draft'"),
    "checkout.session": ("json_extract(doc, '$.expires_at')", f"{_STATUS} = 'open'"),
}
"""Type -> when such an object falls due (SQL over its document), and which of them can."""


def pass_time(ctx: Context) -> None:
    """Do what has fallen due up to now, each thing in its own time."""
    now = ctx.now
    while due := sorted(_due(ctx, now)):
        for at, kind, id_ in due:
            ctx.moment = at
            _happen(ctx, kind, id_)
    ctx.moment = None


def _due(ctx: Context, now: int) -> Iterator[tuple[int, str, str]]:
    for kind, (moment, condition) in _DUE.items():
        for id_, at in ctx.store.due(VENDOR, ctx.account, kind, moment, condition, now):
            yield at, kind, id_


def _happen(ctx: Context, kind: str, id_: str) -> None:
    doc = ctx.get(kind, id_)
    if kind == "checkout.session":
        checkout.expire(ctx, doc)
    elif kind == "invoice":
        subscription = ctx.get("subscription", invoices.subscription_of(doc))
        before = subscription["status"]
        subscriptions.collect(ctx, subscription, doc)
        if subscription["status"] != before:
            ctx.put("subscription", subscription)
            ctx.emit("customer.subscription.updated", subscription)
    elif doc["status"] == "incomplete":
        doc |= {"status": "incomplete_expired", "ended_at": ctx.now}
        ctx.book("subscription.canceled", id_, **subscriptions.money(doc), is_open=False)
        ctx.emit("customer.subscription.updated", ctx.put("subscription", doc))
    elif doc["cancel_at_period_end"]:
        # Prorations that waited for the next invoice are still charged.
        pending = take_pending(ctx, doc)
        if pending:
            subscriptions.bill(ctx, doc, pending, reason="subscription_cycle", at_once=True)
        subscriptions.end(ctx, doc)
    else:
        subscriptions.renew(ctx, doc, at=doc["items"]["data"][0]["current_period_end"])
        ctx.emit("customer.subscription.updated", ctx.put("subscription", doc))
