"""LiveKit: a SIP inbound trunk and a dispatch rule for each client.

https://docs.livekit.io/sip/trunk-inbound/ and https://docs.livekit.io/sip/dispatch-rule/. A trunk
without numbers is a wildcard and one without allowed addresses admits any caller: neither is made.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit import api

from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from voicefleet_operator.planning.observed import (
    DispatchRule,
    InboundTrunk,
    Mark,
    RoutingInventory,
)

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
# LiveKit's default lets a caller ring for three minutes where no agent joins.
_RINGING_SECONDS = 8


class LiveKitDriver:
    """One LiveKit server, as far as one fleet is concerned."""

    def __init__(self, url: str, api_key: str, api_secret: str, *, fleet_id: str) -> None:
        self._fleet_id = fleet_id
        self._api = api.LiveKitAPI(url, api_key, api_secret, timeout=_TIMEOUT)
        self._sip = self._api.sip

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def inventory(self) -> RoutingInventory:
        """All trunks and rules that carry this fleet's mark."""
        async with _errors():
            trunks = await self._sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
            rules = await self._sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
        found = RoutingInventory()
        for item in trunks.items:
            trunk = _trunk(item)
            if trunk.mark is not None and trunk.mark.fleet_id == self._fleet_id:
                found.trunks[trunk.id] = trunk
        for entry in rules.items:
            rule = _rule(entry)
            if rule.mark is not None and rule.mark.fleet_id == self._fleet_id:
                found.rules[rule.id] = rule
        return found

    # --- trunks -------------------------------------------------------------------------------

    async def create_trunk(
        self,
        *,
        mark: Mark,
        numbers: frozenset[str],
        allowed_addresses: frozenset[str],
        max_call_seconds: int,
    ) -> InboundTrunk:
        """Make the trunk; one of ours with the same numbers counts as made."""
        info = _trunk_info(mark, numbers, allowed_addresses, max_call_seconds)
        try:
            async with _errors():
                made = await self._sip.create_inbound_trunk(
                    api.CreateSIPInboundTrunkRequest(trunk=info)
                )
        except Rejected as error:
            for trunk in (await self.inventory()).trunks.values():
                if mark.owns(trunk.mark) and trunk.numbers == numbers:
                    return trunk
            raise _conflict(error) from error
        return _trunk(made)

    async def update_trunk(
        self,
        *,
        trunk_id: str,
        mark: Mark,
        numbers: frozenset[str],
        allowed_addresses: frozenset[str],
        max_call_seconds: int,
    ) -> InboundTrunk:
        """Replace what the trunk says."""
        info = _trunk_info(mark, numbers, allowed_addresses, max_call_seconds)
        try:
            async with _errors():
                return _trunk(await self._sip.update_inbound_trunk(trunk_id, info))
        except Rejected as error:
            raise _conflict(error) from error

    async def delete_trunk(self, trunk_id: str) -> None:
        """Remove the trunk; fine where it is gone."""
        async with _errors(missing_ok=True):
            await self._sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk_id))

    # --- rules --------------------------------------------------------------------------------

    async def create_rule(self, *, mark: Mark, trunk_id: str, agent_name: str) -> DispatchRule:
        """Lead the trunk's calls to the agent; one of ours on the trunk counts as made."""
        info = _rule_info(mark, trunk_id, agent_name)
        try:
            async with _errors():
                made = await self._sip.create_dispatch_rule(
                    api.CreateSIPDispatchRuleRequest(dispatch_rule=info)
                )
        except Rejected as error:
            for rule in (await self.inventory()).rules.values():
                if mark.owns(rule.mark) and rule.trunk_ids == frozenset({trunk_id}):
                    return rule
            raise _conflict(error) from error
        return _rule(made)

    async def replace_rule(
        self, rule_id: str, *, mark: Mark, trunk_id: str, agent_name: str
    ) -> DispatchRule:
        """Replace what the rule says, in one step."""
        info = _rule_info(mark, trunk_id, agent_name)
        async with _errors():
            return _rule(await self._sip.update_dispatch_rule(rule_id, info))

    async def delete_rule(self, rule_id: str) -> None:
        """Remove the rule; fine where it is gone."""
        async with _errors(missing_ok=True):
            await self._sip.delete_dispatch_rule(
                api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id)
            )


def _metadata(mark: Mark) -> str:
    return json.dumps(
        {
            "voicefleet": {
                "fleetID": mark.fleet_id,
                "clientID": mark.client_id,
                "namespace": mark.namespace,
                "name": mark.name,
            }
        }
    )


def _mark(metadata: str) -> Mark | None:
    try:
        data = json.loads(metadata)["voicefleet"]
        return Mark(data["fleetID"], data["clientID"], data["namespace"], data["name"])
    except (ValueError, KeyError, TypeError):
        return None


def _trunk_info(
    mark: Mark,
    numbers: frozenset[str],
    allowed_addresses: frozenset[str],
    max_call_seconds: int,
) -> api.SIPInboundTrunkInfo:
    if not numbers or not allowed_addresses:
        raise ValueError("a trunk without numbers or allowed addresses would admit any call")
    return api.SIPInboundTrunkInfo(
        name=f"voicefleet {mark.namespace}/{mark.name}",
        metadata=_metadata(mark),
        numbers=sorted(numbers),
        allowed_addresses=sorted(allowed_addresses),
        ringing_timeout=Duration(seconds=_RINGING_SECONDS),
        max_call_duration=Duration(seconds=max_call_seconds),
    )


def _rule_info(mark: Mark, trunk_id: str, agent_name: str) -> api.SIPDispatchRuleInfo:
    return api.SIPDispatchRuleInfo(
        name=f"voicefleet {mark.namespace}/{mark.name}",
        metadata=_metadata(mark),
        # Always: a rule without trunks takes the calls of every trunk.
        trunk_ids=[trunk_id],
        rule=api.SIPDispatchRule(
            dispatch_rule_individual=api.SIPDispatchRuleIndividual(
                room_prefix=f"call-{mark.client_id}-"
            )
        ),
        room_config=api.RoomConfiguration(
            agents=[api.RoomAgentDispatch(agent_name=agent_name, metadata=_metadata(mark))]
        ),
    )


def _trunk(info: Any) -> InboundTrunk:
    return InboundTrunk(
        id=info.sip_trunk_id,
        numbers=frozenset(info.numbers),
        allowed_addresses=frozenset(info.allowed_addresses),
        max_call_seconds=info.max_call_duration.seconds,
        mark=_mark(info.metadata),
    )


def _rule(info: Any) -> DispatchRule:
    agents = list(info.room_config.agents)
    return DispatchRule(
        id=info.sip_dispatch_rule_id,
        trunk_ids=frozenset(info.trunk_ids),
        agent_name=agents[0].agent_name if agents else None,
        mark=_mark(info.metadata),
    )


def _conflict(error: Rejected) -> Rejected:
    if "onflict" not in error.message:
        return error
    return Rejected(
        "NumberRoutedElsewhere",
        error.message,
        hint="Another LiveKit trunk or rule has the number: remove it there",
    )


@asynccontextmanager
async def _errors(*, missing_ok: bool = False) -> AsyncIterator[None]:
    """Twirp's codes (https://twitchtv.github.io/twirp/docs/errors.html) as ours."""
    try:
        yield
    except api.TwirpError as error:
        words, code = error.message, error.code
        if code == "not_found" and missing_ok:
            return
        if code in ("unauthenticated", "permission_denied"):
            raise Unauthorized("Unauthorized", words, hint="Check LiveKit's Secret") from error
        if code == "resource_exhausted":
            raise Throttled(words, 1.0) from error
        if error.status >= 500:
            raise Ambiguous("LiveKitFailed", words) from error
        raise Rejected("InvalidRequest", words, hint="LiveKit refused the request") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable("LiveKitUnreachable", str(error)) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Ambiguous("LiveKitUnreachable", f"{type(error).__name__}: no reply") from error
