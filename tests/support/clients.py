"""Clients as the planner sees them, for tests of planner and executor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.phonenumber import NumberRequest
from voicefleet_api.voiceclient import ConsentRecord, NumberClaim
from voicefleet_operator.planning.desired import (
    Desired,
    WantedBilling,
    WantedName,
    WantedTelephony,
    WantedUnit,
    WantedVoice,
    canonical_json,
)
from voicefleet_operator.planning.observed import Mark, Observed
from voicefleet_operator.planning.planner import plan
from voicefleet_operator.planning.simulate import assume

MARK = Mark("vf-aaaaaaaa", "vc-aaaaaaaaaa", "default", "bright-smile")

_CONFIG = AgentConfig(
    client_id=MARK.client_id,
    agent_name="voicefleet-vc-aaaaaaaaaa",
    livekit_url="ws://livekit",
    business_name="Bright Smile",
    greeting="Hello",
)


def claim(name: str = "main", **kwargs: Any) -> NumberClaim:
    """A number claim; by default any number of area code 415."""
    kwargs.setdefault("request", NumberRequest(country="US", area_code="415"))
    return NumberClaim(name=name, **kwargs)


def desired(**changes: Any) -> Desired:
    """A client that has everything, changed by `changes`."""
    whole = Desired(
        mark=MARK,
        billing=WantedBilling(
            account="main",
            plan="Pro",
            price_id="price_pro",
            price_minor=49900,
            currency="usd",
            collection="Invoice",
            activation="Immediately",
            trial_days=0,
            customer_name="Bright Smile",
            email="owner@bright.example",
            existing_customer_id=None,
            existing_subscription_id=None,
            renew=False,
        ),
        telephony=WantedTelephony(
            account="main",
            numbers=(claim(),),
            number_cost_minor=115,
            origination=("sip:192.0.2.1:5060",),
            carrier_networks=frozenset({"192.0.2.0/24"}),
            forward_to="+14155550199",
            max_call_seconds=1800,
            voice_webhook=None,
            calls_out=False,
            secure=False,
            termination=None,
            barred=(),
            replace_lost=False,
        ),
        name=WantedName("bright-smile", "192.0.2.9", 300),
        unit=WantedUnit("podman", canonical_json(_CONFIG), "config-1", "spec-1", 512),
    )
    return replace(whole, **changes)


OVERFLOW = _CONFIG.model_copy(update={"agent_name": "voicefleet-overflow", "overflow": True})
"""What the overflow agent may be told of the client."""


def billing(**changes: Any) -> WantedBilling:
    """The default client's billing, changed."""
    whole = desired().billing
    assert whole is not None
    return replace(whole, **changes)


def telephony(**changes: Any) -> WantedTelephony:
    """The default client's telephony, changed."""
    whole = desired().telephony
    assert whole is not None
    return replace(whole, **changes)


def voice(sample: str | None, problem: tuple[str, str] | None = None) -> WantedVoice:
    """A voice of the recording with that hash."""
    consent = ConsentRecord(
        given_by="Ada", given_at="2026-01-31T12:00:00Z", statement_sha256="0" * 64
    )
    return WantedVoice("main", "http://sandbox/elevenlabs", sample, problem, consent)


def settled(wanted: Desired, start: Observed | None = None, rounds: int = 8) -> Observed:
    """The world once every plan for `wanted` has been carried out."""
    observed = start or Observed()
    for _ in range(rounds):
        todo = plan(wanted, observed)
        if not todo.actions:
            return observed
        observed = assume(wanted, observed, todo)
    raise AssertionError(f"planning does not come to rest: {todo}")
