"""LiveKit: SIP trunks and a dispatch rule for each client.

https://docs.livekit.io/sip/trunk-inbound/ and https://docs.livekit.io/sip/dispatch-rule/. A trunk
without numbers is a wildcard and one without allowed addresses admits any caller: neither is made.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from livekit import api

from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.callers import GROUPS, Callers, room_prefix
from voicefleet_api.dispatch import DispatchMetadata
from voicefleet_operator.drivers.errors import (
    Ambiguous,
    Gone,
    Rejected,
    Throttled,
    Unauthorized,
    VendorError,
)
from voicefleet_operator.drivers.guard import Guard
from voicefleet_operator.drivers.transport import TIMEOUT, network_error, repeated
from voicefleet_operator.planning.observed import (
    Candidate,
    DispatchRule,
    InboundTrunk,
    Mark,
    OutboundTrunk,
    RoutingInventory,
)

# LiveKit's default lets a caller ring for three minutes where no agent joins.
_RINGING_SECONDS = 8
_CONFLICT = "NumberRoutedElsewhere"
# Twirp's invalid_argument says no more than this (livekit/protocol, sip/sip.go).
_CONFLICT_WORDS = ("Conflicting inbound SIP Trunks", "combination already exists in dispatch rule")


class LiveKitDriver:
    """One LiveKit server, as far as one fleet is concerned."""

    def __init__(
        self,
        url: str,
        api_key: str,
        api_secret: str,
        *,
        fleet_id: str,
        guard: Guard | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._fleet_id = fleet_id
        self._guard = guard or Guard()
        self._timeout = timeout
        # No failover to another region: it would repeat a write without asking anybody.
        self._api = api.LiveKitAPI(url, api_key, api_secret, failover=False)
        self._sip = self._api.sip

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    @repeated
    async def inventory(self) -> RoutingInventory:
        """All trunks and rules that carry this fleet's mark."""
        async with self._request(writes=False):
            trunks = await self._sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
            rules = await self._sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
            out = await self._sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        found = RoutingInventory()
        for item in trunks.items:
            trunk = _trunk(item)
            if trunk.mark is not None and trunk.mark.fleet_id == self._fleet_id:
                found.trunks[trunk.id] = trunk
        for entry in rules.items:
            rule = _rule(entry)
            if rule.mark is not None and rule.mark.fleet_id == self._fleet_id:
                found.rules[rule.id] = rule
        for each in out.items:
            way = _outbound(each)
            if way.mark is not None and way.mark.fleet_id == self._fleet_id:
                found.outbound[way.id] = way
        return found

    @asynccontextmanager
    async def _request(self, *, writes: bool) -> AsyncIterator[None]:
        """Guarded, with a time limit, and with all exceptions as ours."""
        async with self._guard.request(writes=writes), self._errors():
            yield

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """A time limit, and exceptions of the SDK and of the network as ours."""
        try:
            # Not the session's: the SDK sends `timeout=None` along, which lifts that one.
            async with asyncio.timeout(self._timeout):
                yield
        except api.TwirpError as error:
            raise _translate(error) from error
        except DecodeError as error:
            raise Ambiguous("LiveKitFailed", "LiveKit's answer is unreadable") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise network_error("LiveKit", error) from error

    # --- trunks -------------------------------------------------------------------------------

    async def create_trunk(
        self,
        *,
        mark: Mark,
        numbers: frozenset[str],
        allowed_addresses: frozenset[str],
        max_call_seconds: int,
        secure: bool = False,
    ) -> InboundTrunk:
        """Make the trunk; one of ours with the same numbers counts as made."""
        info = _trunk_info(mark, numbers, allowed_addresses, max_call_seconds, secure)
        try:
            async with self._request(writes=True):
                made = await self._sip.create_inbound_trunk(
                    api.CreateSIPInboundTrunkRequest(trunk=info)
                )
        except Rejected as error:
            if error.reason == _CONFLICT:
                for trunk in (await self.inventory()).trunks.values():
                    if mark.owns(trunk.mark) and trunk.numbers == numbers:
                        return trunk
            raise
        return _trunk(made)

    async def update_trunk(
        self,
        *,
        trunk_id: str,
        mark: Mark,
        numbers: frozenset[str],
        allowed_addresses: frozenset[str],
        max_call_seconds: int,
        secure: bool = False,
    ) -> InboundTrunk:
        """Replace what the trunk says; raises `Rejected` (NumberRoutedElsewhere), `Gone`."""
        info = _trunk_info(mark, numbers, allowed_addresses, max_call_seconds, secure)
        await self._refuse_taken(trunk_id, numbers)
        async with self._request(writes=True):
            return _trunk(await self._sip.update_inbound_trunk(trunk_id, info))

    @repeated
    async def _refuse_taken(self, trunk_id: str, numbers: frozenset[str]) -> None:
        """LiveKit checks numbers that are new to a trunk only when the trunk is created."""
        async with self._request(writes=False):
            found = await self._sip.list_inbound_trunk(
                api.ListSIPInboundTrunkRequest(numbers=sorted(numbers))
            )
        for trunk in found.items:
            # The listing also has the wildcard trunks.
            taken = numbers & {_e164(number) for number in trunk.numbers}
            if taken and trunk.sip_trunk_id != trunk_id:
                raise _routed_elsewhere(
                    f"LiveKit's trunk {trunk.sip_trunk_id} has {', '.join(sorted(taken))} already"
                )

    async def delete_trunk(self, trunk_id: str) -> None:
        """Remove a trunk of either direction; fine where it is gone."""
        try:
            async with self._request(writes=True):
                await self._sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk_id))
        except Gone:
            return

    async def create_outbound(
        self,
        *,
        mark: Mark,
        address: str,
        numbers: frozenset[str],
        username: str,
        password: str,
        secure: bool = False,
    ) -> OutboundTrunk:
        """Make a way out. LiveKit makes a second one as gladly: it is to be listed before."""
        info = _outbound_info(mark, address, numbers, username, password, secure)
        async with self._request(writes=True):
            made = await self._sip.create_outbound_trunk(
                api.CreateSIPOutboundTrunkRequest(trunk=info)
            )
        return _outbound(made)

    async def update_outbound(
        self,
        trunk_id: str,
        *,
        mark: Mark,
        address: str,
        numbers: frozenset[str],
        username: str,
        password: str,
        secure: bool = False,
    ) -> OutboundTrunk:
        """Replace what it says; raises `Gone`."""
        info = _outbound_info(mark, address, numbers, username, password, secure)
        async with self._request(writes=True):
            return _outbound(await self._sip.update_outbound_trunk(trunk_id, info))

    # --- rules --------------------------------------------------------------------------------

    async def create_rule(
        self,
        *,
        mark: Mark,
        trunk_id: str,
        agent_name: str,
        candidate: Candidate | None = None,
        overflow: AgentConfig | None = None,
    ) -> DispatchRule:
        """Lead the trunk's calls to the agent; one of ours on the trunk counts as made."""
        info = _rule_info(mark, trunk_id, agent_name, candidate, overflow)
        try:
            async with self._request(writes=True):
                made = await self._sip.create_dispatch_rule(
                    api.CreateSIPDispatchRuleRequest(dispatch_rule=info)
                )
        except Rejected as error:
            if error.reason == _CONFLICT:
                for rule in (await self.inventory()).rules.values():
                    if mark.owns(rule.mark) and rule.trunk_ids == frozenset({trunk_id}):
                        return rule
            raise
        return _rule(made)

    async def replace_rule(
        self,
        rule_id: str,
        *,
        mark: Mark,
        trunk_id: str,
        agent_name: str,
        candidate: Candidate | None = None,
        overflow: AgentConfig | None = None,
    ) -> DispatchRule:
        """Replace what the rule says, in one step; raises `Rejected`, `Gone`."""
        info = _rule_info(mark, trunk_id, agent_name, candidate, overflow)
        await self._refuse_led(rule_id, trunk_id)
        async with self._request(writes=True):
            return _rule(await self._sip.update_dispatch_rule(rule_id, info))

    @repeated
    async def _refuse_led(self, rule_id: str, trunk_id: str) -> None:
        """As for trunks: LiveKit checks a trunk that is new to a rule only on creation."""
        async with self._request(writes=False):
            found = await self._sip.list_dispatch_rule(
                api.ListSIPDispatchRuleRequest(trunk_ids=[trunk_id])
            )
        for rule in found.items:
            if trunk_id in rule.trunk_ids and rule.sip_dispatch_rule_id != rule_id:
                raise _routed_elsewhere(
                    f"LiveKit's rule {rule.sip_dispatch_rule_id} leads trunk {trunk_id} already"
                )

    async def delete_rule(self, rule_id: str) -> None:
        """Remove the rule; fine where it is gone."""
        try:
            async with self._request(writes=True):
                await self._sip.delete_dispatch_rule(
                    api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id)
                )
        except Gone:
            return


def _metadata(mark: Mark, told: DispatchMetadata | None = None) -> str:
    return json.dumps(
        {
            "voicefleet": {
                "fleetID": mark.fleet_id,
                "clientID": mark.client_id,
                "namespace": mark.namespace,
                "name": mark.name,
            },
            **(told.to_json() if told else {}),
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
    secure: bool,
) -> api.SIPInboundTrunkInfo:
    if not numbers or not allowed_addresses:
        raise Rejected(
            "OpenTrunk",
            "a trunk without numbers or without allowed addresses would take anybody's calls",
            hint="Name the carrier's networks in the Fleet's spec.telephony.carrierNetworks",
        )
    return api.SIPInboundTrunkInfo(
        name=f"voicefleet {mark.namespace}/{mark.name}",
        metadata=_metadata(mark),
        numbers=sorted(numbers),
        allowed_addresses=sorted(allowed_addresses),
        ringing_timeout=Duration(seconds=_RINGING_SECONDS),
        max_call_duration=Duration(seconds=max_call_seconds),
        # A trunk that takes both bridges the moment at which its carrier changes.
        media_encryption="SIP_MEDIA_ENCRYPT_REQUIRE" if secure else "SIP_MEDIA_ENCRYPT_ALLOW",
    )


def _rule_info(
    mark: Mark,
    trunk_id: str,
    agent_name: str,
    candidate: Candidate | None,
    overflow: AgentConfig | None,
) -> api.SIPDispatchRuleInfo:
    return api.SIPDispatchRuleInfo(
        name=f"voicefleet {mark.namespace}/{mark.name}",
        metadata=_metadata(mark),
        # Always: a rule without trunks takes the calls of every trunk.
        trunk_ids=[trunk_id],
        rule=api.SIPDispatchRule(
            dispatch_rule_individual=api.SIPDispatchRuleIndividual(
                room_prefix=room_prefix(mark.client_id)
            )
        ),
        room_config=api.RoomConfiguration(
            agents=[
                api.RoomAgentDispatch(agent_name=name, metadata=_metadata(mark, told))
                for name, told in _told(agent_name, candidate, overflow).items()
            ]
        ),
    )


def _told(
    agent_name: str, candidate: Candidate | None, overflow: AgentConfig | None
) -> dict[str, DispatchMetadata]:
    """By agent; LiveKit offers every call to all of them, and one takes it."""
    told = {agent_name: DispatchMetadata()}
    if candidate is not None:
        first, salt = candidate.percent, candidate.revision
        rest, share = (
            DispatchMetadata(callers=Callers(first=begin, end=end, salt=salt))
            for begin, end in ((first, GROUPS), (0, first))
        )
        told = {agent_name: rest, candidate.agent_name: share}
    if overflow is not None:
        told[overflow.agent_name] = DispatchMetadata(overflow=overflow)
    return told


def _trunk(info: Any) -> InboundTrunk:
    return InboundTrunk(
        id=info.sip_trunk_id,
        numbers=frozenset(info.numbers),
        allowed_addresses=frozenset(info.allowed_addresses),
        max_call_seconds=info.max_call_duration.seconds,
        mark=_mark(info.metadata),
        secure=info.media_encryption == api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE,
    )


def _outbound_info(
    mark: Mark,
    address: str,
    numbers: frozenset[str],
    username: str,
    password: str,
    secure: bool,
) -> api.SIPOutboundTrunkInfo:
    return api.SIPOutboundTrunkInfo(
        name=f"voicefleet {mark.namespace}/{mark.name}",
        metadata=_metadata(mark),
        address=address,
        numbers=sorted(numbers),
        auth_username=username,
        auth_password=password,
        transport="SIP_TRANSPORT_TLS" if secure else "SIP_TRANSPORT_AUTO",
        media_encryption="SIP_MEDIA_ENCRYPT_REQUIRE" if secure else "SIP_MEDIA_ENCRYPT_DISABLE",
    )


def _outbound(info: Any) -> OutboundTrunk:
    return OutboundTrunk(
        id=info.sip_trunk_id,
        address=info.address,
        numbers=frozenset(info.numbers),
        username=info.auth_username,
        mark=_mark(info.metadata),
        secure=(info.transport, info.media_encryption)
        == (
            api.SIPTransport.SIP_TRANSPORT_TLS,
            api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE,
        ),
    )


def _rule(info: Any) -> DispatchRule:
    agent_name, candidate, overflow = _agents(list(info.room_config.agents))
    return DispatchRule(
        id=info.sip_dispatch_rule_id,
        trunk_ids=frozenset(info.trunk_ids),
        agent_name=agent_name,
        mark=_mark(info.metadata),
        candidate=candidate,
        overflow=overflow,
    )


def _agents(agents: list[Any]) -> tuple[str | None, Candidate | None, AgentConfig | None]:
    """Whom a rule leads to; nobody, where its agents are not told what we tell them."""
    try:
        told = {
            agent.agent_name: DispatchMetadata.model_validate_json(agent.metadata or "{}")
            for agent in agents
        }
    except ValueError:
        return None, None, None
    agent_name, *others = told or (None,)
    candidate = overflow = None
    for name in others:
        overflow = told[name].overflow or overflow
        if (share := told[name].callers) is not None:
            candidate = Candidate(name, share.end, share.salt)
    if agent_name is None or told != _told(agent_name, candidate, overflow):
        return None, None, None
    return agent_name, candidate, overflow


def _translate(error: api.TwirpError) -> VendorError:
    """Twirp's codes (https://twitchtv.github.io/twirp/docs/errors.html) as ours.

    By HTTP status where it suffices: what stands in front of the API answers without a code.
    """
    words = error.message or f"LiveKit answered with HTTP status {error.status}"
    if error.status in (401, 403):
        return Unauthorized("Unauthorized", words, hint="Check LiveKit's Secret")
    if error.status == 429:
        return Throttled(words, 1.0)
    if error.code == "not_found":
        return Gone("ResourceMissing", words)
    # 408 is Twirp's deadline_exceeded and canceled.
    if error.status >= 500 or error.status == 408:
        return Ambiguous("LiveKitFailed", words)
    if any(conflict in words for conflict in _CONFLICT_WORDS):
        return _routed_elsewhere(words)
    return Rejected("InvalidRequest", words, hint="LiveKit refused the request")


def _routed_elsewhere(words: str) -> Rejected:
    return Rejected(
        _CONFLICT, words, hint="Another LiveKit trunk or rule has the number: remove it there"
    )


def _e164(number: str) -> str:
    """As LiveKit compares numbers."""
    return "+" + re.sub(r"\D", "", number)
