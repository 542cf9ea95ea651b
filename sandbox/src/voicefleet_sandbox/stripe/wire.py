"""Stripe's wire form: nested form parameters in, documents and errors out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from importlib import resources
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
    """There is no such object."""
    return StripeError(f"No such {kind}: '{id_}'", status=404, code="resource_missing", param=param)


def need(params: Params, name: str) -> Any:
    """A required parameter."""
    if name not in params:
        raise StripeError(
            f"Missing required param: {name}.",
            code="parameter_missing",
            param=name,
            executed=False,
        )
    return params[name]


def parse_form(pairs: Iterable[tuple[str, str]]) -> Params:
    """`items[0][price]=x` -> `{"items": [{"price": "x"}]}`."""
    root: Params = {}
    for name, value in pairs:
        head, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        here, key = root, head
        for part in rest:
            here = here.setdefault(key, {})
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


_PARAMETERS: dict[str, list[str]] = json.loads(
    resources.files(__package__).joinpath("params.json").read_text()
)


def check_parameters(operation: str, params: Params) -> None:
    """Refuse what Stripe's own OpenAPI file does not know; `operation` as in params.json."""
    for name in params:
        if name not in _PARAMETERS[operation]:
            raise StripeError(
                f"Received unknown parameter: {name}",
                code="parameter_unknown",
                param=name,
                executed=False,
            )


def page(url: str, items: list[dict[str, Any]], params: Params) -> dict[str, Any]:
    """A list object (https://docs.stripe.com/api/pagination); `items` newest first."""
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise StripeError("Invalid integer: limit must be between 1 and 100", param="limit")
    ids = [item["id"] for item in items]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise missing("object", params[name], name)
    if "starting_after" in params:
        items = items[ids.index(params["starting_after"]) + 1 :]
        has_more = len(items) > limit
        items = items[:limit]
    elif "ending_before" in params:
        items = items[: ids.index(params["ending_before"])]
        has_more = len(items) > limit
        items = items[-limit:]
    else:
        has_more = len(items) > limit
        items = items[:limit]
    return {"object": "list", "url": url, "has_more": has_more, "data": items}


def created_filter(items: list[dict[str, Any]], params: Params) -> list[dict[str, Any]]:
    """The `created` filter: a moment, or gt/gte/lt/lte."""
    wanted = params.get("created")
    if wanted is None:
        return items
    if isinstance(wanted, str):
        return [item for item in items if item["created"] == int(wanted)]
    tests = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }
    for name, bound in wanted.items():
        items = [item for item in items if tests[name](item["created"], int(bound))]
    return items
