"""The plans we ship (seed, "Pricing Tiers"); a Fleet lists its own, usually starting from these."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from voicefleet_api.fleet import Plan


@cache
def _plans() -> tuple[Plan, ...]:
    text = (files("voicefleet_api") / "data" / "plans.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Plan, ...]).validate_python(yaml.safe_load(text))


def default_plans() -> list[Plan]:
    """Solo, Pro and Enterprise, cheapest first; the caller may change what it gets."""
    return [plan.model_copy() for plan in _plans()]
