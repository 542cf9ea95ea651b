"""Billing periods: the calendar's months from an anchor, as Stripe counts them.

https://docs.stripe.com/billing/subscriptions/billing-cycle: a month without the anchor's day ends
on its last one, and the next month is on the anchor's day again.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from voicefleet_sandbox.store import Document

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def period_end(anchor: int, start: int, recurring: Document) -> int:
    """The first boundary after `start` of the periods counted from `anchor` (seconds, UTC)."""
    number = 1
    while (end := _boundary(anchor, number, recurring)) <= start:
        number += 1
    return end


def _boundary(anchor: int, number: int, recurring: Document) -> int:
    begin = datetime.fromtimestamp(anchor, UTC)
    interval, count = recurring["interval"], int(recurring["interval_count"]) * number
    if interval in _DAYS:
        return int((begin + timedelta(days=_DAYS[interval] * count)).timestamp())
    months = begin.month - 1 + _MONTHS[interval] * count
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def monthly(price: Document, quantity: int) -> int:
    """What the price costs a month, in minor units, on average over a year."""
    recurring = price["recurring"]
    per_year = {"day": 365, "week": 52, "month": 12, "year": 1}[recurring["interval"]]
    cents: int = price["unit_amount"] * quantity
    return round(cents * per_year / 12 / int(recurring["interval_count"]))
