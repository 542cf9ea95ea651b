"""Refuses parameters as Stripe does, by a table made from Stripe's own OpenAPI file.

`params.json` is written by `sandbox/tools/stripe_params.py`, which says what its shapes mean.
What Stripe knows and the sandbox does not is refused too, in other words: a parameter that is
silently left out would make a rehearsal worth nothing.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from voicefleet_sandbox.stripe.wire import Params, StripeError

_TABLE: dict[str, Any] = json.loads(
    resources.files(__package__).joinpath("params.json").read_text()
)


def check_parameters(operation: str, params: Params) -> None:
    """Raises Stripe's error for the first parameter that is unknown, missing or ill-formed."""
    _check(_TABLE[operation], params, "")


def _refuse(message: str, param: str, code: str | None) -> StripeError:
    return StripeError(message, code=code, param=param, executed=False)


def _check(shape: Any, value: Any, name: str) -> None:
    if shape == "string":
        if not isinstance(value, str):
            raise _refuse(f"Invalid string: {value}", name, "parameter_invalid_string")
    elif shape == "integer":
        if not (isinstance(value, str) and value.removeprefix("-").isdecimal()):
            raise _refuse(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    elif shape == "boolean":
        if value not in ("true", "false", "True", "False"):
            raise _refuse(f"Invalid boolean: {value}", name, "parameter_invalid_boolean")
    elif "enum" in shape:
        if value not in shape["enum"]:
            words = ", ".join(each for each in shape["enum"] if each)[:400]
            raise _refuse(f"Invalid {name}: must be one of {words}", name, None)
    elif "any" in shape:
        _check_any(shape["any"], value, name)
    elif "list" in shape:
        if not isinstance(value, list):
            raise _refuse("Invalid array", name, "parameter_invalid_array")
        for index, item in enumerate(value):
            _check(shape["list"], item, f"{name}[{index}]")
    elif "map" in shape:
        _check_map(value, name)
    else:
        _check_object(shape, value, name)


def _check_any(shapes: list[Any], value: Any, name: str) -> None:
    errors = []
    for shape in shapes:
        try:
            return _check(shape, value, name)
        except StripeError as error:
            errors.append(error)
    # The error of the shape that goes deepest: the others are of another kind altogether.
    raise max(errors, key=lambda error: len(error.body["error"].get("param", "")))


def _check_object(shape: Any, value: Any, name: str) -> None:
    if not isinstance(value, dict):
        raise _refuse("Invalid object", name, "parameter_invalid_object")
    for key, item in value.items():
        full = f"{name}[{key}]" if name else key
        if key not in shape["object"]:
            raise _refuse(f"Received unknown parameter: {full}", full, "parameter_unknown")
        if shape["object"][key] is None:
            raise _refuse(f"The sandbox does not know {full} (Stripe does)", full, None)
        _check(shape["object"][key], item, full)
    for key in shape.get("required", ()):
        if key not in value:
            full = f"{name}[{key}]" if name else key
            raise _refuse(f"Missing required param: {full}.", full, "parameter_missing")


def _check_map(value: Any, name: str) -> None:
    """Metadata (https://docs.stripe.com/api/metadata): 50 keys of 40 characters, values of 500."""
    if not isinstance(value, dict):
        raise _refuse("Invalid object", name, "parameter_invalid_object")
    if len(value) > 50:
        raise _refuse(f"You can have up to 50 keys in {name}.", name, None)
    for key, text in value.items():
        if not isinstance(text, str):
            raise _refuse(f"Metadata values must be strings: {key}", f"{name}[{key}]", None)
        if len(key) > 40 or len(text) > 500:
            raise _refuse(
                "Metadata keys can have up to 40 characters, and values up to 500.",
                f"{name}[{key}]",
                None,
            )
