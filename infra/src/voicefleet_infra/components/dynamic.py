"""What our dynamic providers share."""

from __future__ import annotations

from typing import Any

Properties = dict[str, Any]
"""Of a resource, by name; JSON."""


def own(props: Properties) -> Properties:
    """Without what Pulumi adds, and with whole numbers as such: on its wire all are floats."""
    return {key: _whole(value) for key, value in props.items() if not key.startswith("__")}


def _whole(value: Any) -> Any:
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case dict():
            return {key: _whole(inner) for key, inner in value.items()}
        case list():
            return [_whole(inner) for inner in value]
    return value
