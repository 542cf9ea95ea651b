"""Stripe's wire form: nested form parameters in, documents and errors out."""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

Params = dict[str, Any]


class StripeError(Exception):
    """An error as Stripe words it (https://docs.stripe.com/api/errors)."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        executed: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        """Whether the endpoint had begun: only then is the answer kept under its key."""
        self.body: dict[str, Any] = {"error": {"message": message, "type": type_}}
        for name, value in (("code", code), ("param", param), ("decline_code", decline_code)):
            if value is not None:
                self.body["error"][name] = value
        if code:
            self.body["error"]["doc_url"] = (
                f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
            )


def missing(kind: str, id_: str, param: str = "id") -> StripeError:
    """There is no such object: 404 for one in the path, 400 for one that a parameter names."""
    return StripeError(
        f"No such {kind}: '{id_}'",
        status=404 if param == "id" else 400,
        code="resource_missing",
        param=param,
    )


_TESTS: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def missing_param(name: str) -> StripeError:
    """A parameter is required."""
    return StripeError(
        f"Missing required param: {name}.", code="parameter_missing", param=name, executed=False
    )


def need(params: Params, name: str) -> Any:
    """A required parameter."""
    if name not in params:
        raise missing_param(name)
    return params[name]


def parse_form(pairs: Iterable[tuple[str, str]]) -> Params:
    """`items[0][price]=x` -> `{"items": [{"price": "x"}]}`."""
    root: Params = {}
    for name, value in pairs:
        parts = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        here, key = root, parts[0] if parts else ""
        for part in parts[1:]:
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise StripeError(f"Invalid object: {key}", param=name, executed=False)
            key = part or str(len(here))
        here[key] = value
    return {key: _lists(value) for key, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def truth(value: Any) -> bool:
    """A form's boolean."""
    return value in (True, "true", "True", "1")


def merged_metadata(old: dict[str, str], new: Any) -> dict[str, str]:
    """Stripe merges metadata; an empty value removes a key, an empty string all of it."""
    if new == "":
        return {}
    result = {**old, **(new or {})}
    return {key: value for key, value in result.items() if value != ""}


def fingerprint(method: str, path: str, params: Params) -> str:
    """What must be the same when an idempotency key is used again."""
    text = json.dumps([method, path, params], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def integer(params: Params, name: str, default: int) -> int:
    """A parameter that is a whole number."""
    return int(params.get(name) or default)


def created_filter(wanted: Any) -> Callable[[dict[str, Any]], bool]:
    """Whether an object meets the `created` filter: a moment, or gt/gte/lt/lte."""
    if wanted is None:
        return lambda _: True
    if isinstance(wanted, str):
        return lambda item: bool(item["created"] == int(wanted))
    bounds = [(_TESTS[name], int(bound)) for name, bound in wanted.items()]
    return lambda item: all(test(item["created"], bound) for test, bound in bounds)
