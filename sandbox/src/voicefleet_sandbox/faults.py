"""Faults put into requests on purpose: what a vendor, or the way to it, can do to a caller."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

KINDS = ("delay", "throttle", "error", "drop", "reset", "hang", "pause")


class BadRule(ValueError):
    """A rule that makes no sense; the text says why."""


@dataclass
class Rule:
    """One fault.

    kind: `delay` answers after `seconds`; `throttle` is 429 with `retryAfter`; `error` answers
    `status` (5xx), carried out before if `done`; `drop` carries out and closes the connection
    without a reply; `reset` resets the connection before anything is done; `hang` carries out and
    answers after `seconds`; `pause` carries out and holds the reply until the rule is deleted.
    """

    id: int
    kind: str
    vendor: str | None = None
    method: str | None = None
    path: re.Pattern[str] | None = None
    times: int | None = 1
    skip: int = 0
    seconds: float = 0.0
    status: int = 500
    done: bool = False
    retry_after: float = 1.0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def refuses(self) -> bool:
        """Whether the request is answered without being carried out."""
        return self.kind == "throttle" or (self.kind == "error" and not self.done)

    def to_json(self) -> dict[str, Any]:
        """As the admin API shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "vendor": self.vendor,
            "method": self.method,
            "pathRegex": self.path.pattern if self.path else None,
            "times": self.times,
            "skip": self.skip,
            "seconds": self.seconds,
            "status": self.status,
            "done": self.done,
            "retryAfter": self.retry_after,
        }


class Faults:
    """The rules in force, and the requests that a `pause` holds."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)
        self.waiting: list[dict[str, Any]] = []

    def add(self, body: dict[str, Any]) -> Rule:
        """Put a rule in force; raises `BadRule`."""
        if body.get("kind") not in KINDS:
            raise BadRule(f"kind: one of {', '.join(KINDS)}")
        unknown = set(body) - {
            "kind",
            "vendor",
            "method",
            "pathRegex",
            "times",
            "skip",
            "seconds",
            "status",
            "done",
            "retryAfter",
        }
        if unknown:
            raise BadRule(f"unknown: {', '.join(sorted(unknown))}")
        try:
            path = re.compile(body["pathRegex"]) if body.get("pathRegex") else None
        except re.error as error:
            raise BadRule(f"pathRegex: {error}") from error
        rule = Rule(
            next(self._ids),
            body["kind"],
            body.get("vendor"),
            body.get("method"),
            path,
            body.get("times", 1),
            body.get("skip", 0),
            body.get("seconds", 0.0),
            body.get("status", 500),
            body.get("done", False),
            body.get("retryAfter", 1.0),
        )
        self._rules.append(rule)
        return rule

    def match(self, vendor: str, method: str, path: str) -> Rule | None:
        """The first rule that meets this request; it is used up by one."""
        for rule in self._rules:
            if (
                rule.vendor not in (None, vendor)
                or rule.method not in (None, method)
                or (rule.path is not None and not rule.path.search(path))
            ):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times is None:
                return rule
            if rule.times > 0:
                rule.times -= 1
                return rule
        return None

    def clear(self, rule_id: int | None = None) -> None:
        """Take one rule back, or all; held replies are let go."""
        for rule in self._rules:
            if rule_id in (None, rule.id):
                rule.released.set()
        self._rules = [r for r in self._rules if rule_id is not None and r.id != rule_id]

    def to_json(self) -> dict[str, Any]:
        """Rules and held requests."""
        return {"rules": [r.to_json() for r in self._rules], "waiting": self.waiting}
