"""Whom a call reaches in the simulated world, read from what the carrier and LiveKit hold.

Nothing of the controller's is asked, and no mark is looked at: only what decides a real call. The
carrier looks at the number's trunk and its origination URLs, LiveKit at the called number, the
address that the INVITE comes from and the rules' trunks (livekit/protocol, sip/sip.go:
MatchTrunkDetailed and MatchDispatchRuleIter), and a job goes to the worker with the rule's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network

from livekit import api

from simulator.apiserver import Object
from simulator.world import World
from voicefleet_sandbox.twilio.voice import hosted, read

CARRIER, STRANGER = "192.0.2.7", "198.51.100.7"
_PLAIN = api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_DISABLE
_ENCRYPTED = api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE


def call(world: World, number: str) -> set[str]:
    """Who is rung by a person who dials that number: names of businesses, or a phone's number."""
    held = next((n for n in world.paid.listed("number") if n["phone_number"] == number), None)
    if held is None:
        return set()
    if held["trunk_sid"] is None:
        twiml = hosted(held["voice_url"])
        dial = read(twiml) if twiml else None
        if dial is None:
            return set()
        return invite(world, number) if dial.to == _at_edge(number) else {dial.to}
    trunk = next(t for t in world.paid.listed("trunk") if t["sid"] == held["trunk_sid"])
    urls = [
        url["sip_url"]
        for url in world.paid.listed("origination_url")
        if url["trunk_sid"] == trunk["sid"] and url["enabled"]
    ]
    if not any(url.endswith(";transport=tls") or not trunk["secure"] for url in urls):
        return set()
    return invite(world, number, srtp=trunk["secure"])


def _at_edge(number: str) -> str:
    """A number where the carrier's instructions dial it."""
    return f"sip:{number}@192.0.2.1:5060"


def invite(world: World, number: str, source: str = CARRIER, *, srtp: bool = False) -> set[str]:
    """Whose agents an INVITE reaches at LiveKit: names of businesses."""
    trunks = [t for t in world.livekit.trunks.values() if _admits(t, source)]
    exact = [trunk for trunk in trunks if number in trunk.numbers]
    if len(exact) > 1:
        # LiveKit refuses the call.
        return set()
    found = exact or [trunk for trunk in trunks if not trunk.numbers]
    if found and found[0].media_encryption == (_PLAIN if srtp else _ENCRYPTED):
        return set()
    trunk = found[0].sip_trunk_id if found else None
    rules = list(world.livekit.rules.values())
    led = [rule for rule in rules if trunk in rule.trunk_ids]
    open_to_all = [rule for rule in rules if not rule.trunk_ids]
    best = min(led or open_to_all, key=_room, default=None)
    if best is None:
        return set()
    agents = {agent.agent_name for agent in best.room_config.agents}
    workers = [json.loads(world.units.configs[unit]) for unit in world.units.running]
    return {worker["businessName"] for worker in workers if worker["agentName"] in agents}


def _admits(trunk: api.SIPInboundTrunkInfo, source: str) -> bool:
    allowed = trunk.allowed_addresses
    return not allowed or any(ip_address(source) in ip_network(net) for net in allowed)


def _room(rule: api.SIPDispatchRuleInfo) -> str:
    """LiveKit's order of rules of one kind, as ours are."""
    return rule.rule.dispatch_rule_individual.room_prefix


def strays(world: World, late: Mapping[str, str] | None = None) -> Iterator[str]:
    """Calls that reach somebody who does not hold the number; there are none at any moment.

    `late` has by number who held it last, for whom a replaced leader's last request may still be
    on its way to LiveKit, which knows no fence: where nobody has the number now, that is no stray.
    """
    holders = dict(late or {})
    holders |= {obj["status"]["e164"]: name for obj in _numbers(world) if (name := _holder(obj))}
    dialled = {n["phone_number"] for n in world.paid.listed("number")} | set(holders)
    dialled |= {number for trunk in world.livekit.trunks.values() for number in trunk.numbers}
    for number in sorted(dialled):
        # One that the carrier had sent off before it was told otherwise arrives all the same.
        for reached in call(world, number) | invite(world, number):
            if reached not in _phones(world, holders.get(number)):
                yield f"a call to {number}, which is {holders.get(number)}'s, reaches {reached}"
        if reached_by_stranger := invite(world, number, STRANGER):
            yield f"a stranger's call to {number} reaches {reached_by_stranger}"


def unheard(world: World) -> Iterator[str]:
    """Numbers that do not reach who holds them; there are none once the world has come to rest."""
    for obj in _numbers(world):
        number, holder = obj["status"]["e164"], _holder(obj)
        client = world.client(holder) if holder else None
        if obj["status"]["phase"] != "Bound" or client is None:
            wanted = set()
        elif client["spec"].get("suspend"):
            wanted = {client["spec"]["telephony"]["fallback"]["forwardTo"]}
        else:
            wanted = {client["spec"]["business"]["name"]}
        if (reached := call(world, number)) != wanted:
            yield f"a call to {number} ({holder}'s) reaches {reached or 'nobody'}, not {wanted}"


def _numbers(world: World) -> list[Object]:
    objects = world.kube.all("phonenumbers")
    return [obj for obj in objects if (obj.get("status") or {}).get("e164")]


def _holder(obj: Object) -> str | None:
    """Who has the number; one that is being given up is its client's until its phase changes."""
    claim = obj["spec"].get("claimRef")
    if not claim and obj["status"]["phase"] == "Bound":
        claim = obj["status"]["previousClaim"]
    return claim["name"] if claim else None


def _phones(world: World, holder: str | None) -> set[str]:
    """All that may ring for a client: its agent, and its fallback phone."""
    client = world.client(holder) if holder else None
    if client is None:
        return set()
    spec = client["spec"]
    return {spec["business"]["name"], spec["telephony"]["fallback"]["forwardTo"]}
