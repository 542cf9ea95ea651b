"""What must be true once the world has come to rest: each wanted thing once, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from livekit import api

from simulator.apiserver import Object
from simulator.world import FIRST_WORDS, OVERFLOW_AGENT, PLANS, World
from voicefleet_api.dispatch import DispatchMetadata
from voicefleet_operator.planning.ingress import forward_url, is_hosted
from voicefleet_operator.planning.observed import client_of


def problems(world: World, expected: dict[str, str], *, again: bool = False) -> list[str]:
    """What is wrong, in words; empty when all is well.

    `expected`: the reason for which a client is not Ready, by name; other clients must be.
    `again`: numbers may have been wanted, given up and wanted again.
    """
    clients = {
        obj["status"]["clientID"]: obj
        for obj in world.kube.all("voiceclients")
        if obj.get("status")
    }
    found = [
        *_objects(world, expected),
        *_billing(world, clients, expected),
        *_carrier(world, clients, expected),
        *_routing(world, clients, expected),
        *_way_out(world, clients),
        *_encryption(world),
        *_placement(world, clients, expected),
        *_voices(world, clients),
        *_ledger(world),
        *(() if again else _bought_twice(world)),
    ]
    found += [f"the controller failed: {o.failure!r}" for o in world.operators if o.failure]
    if len(world.operators) != 1:
        found.append(f"{len(world.operators)} controllers are alive")
    return found


def _differs(what: str, have: Counter[Any], want: Counter[Any]) -> Iterator[str]:
    for thing, count in (have - want).items():
        yield f"{what}: {count} too many of {thing}"
    for thing, count in (want - have).items():
        yield f"{what}: {count} missing of {thing}"


def _numbers(client: Object) -> list[str]:
    return [number["name"] for number in client["spec"]["telephony"]["numbers"]]


def _objects(world: World, expected: dict[str, str]) -> Iterator[str]:
    wanted = Counter[str]()
    for obj in world.kube.all("voiceclients"):
        name, status = obj["metadata"]["name"], obj.get("status") or {}
        if "deletionTimestamp" in obj["metadata"]:
            yield f"client {name} is still being deleted: {_condition(obj)}"
        wanted.update(f"{status.get('clientID')}/{number}" for number in _numbers(obj))
        ready = _condition(obj)
        reason = expected.get(name)
        if (ready.get("status"), ready.get("observedGeneration")) != (
            "False" if reason else "True", obj["metadata"]["generation"],
        ) or (reason and ready["reason"] != reason):  # fmt: skip
            yield f"client {name} should be {reason or 'Ready'}: {ready}"
    claims = Counter[str]()
    for obj in world.kube.all("phonenumbers"):
        claim = obj["spec"].get("claimRef") or {}
        claims[f"{claim.get('clientID')}/{claim.get('number')}"] += 1
    yield from _differs("PhoneNumber objects", claims, wanted)
    for kind in ("voiceclients", "phonenumbers"):
        for obj in world.kube.all(kind):
            if left := (obj.get("status") or {}).get("operations"):
                yield f"journal of {obj['metadata']['name']}: {left} is left"


def _condition(obj: Object) -> Object:
    conditions = (obj.get("status") or {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def _billing(world: World, clients: dict[str, Object], expected: dict[str, str]) -> Iterator[str]:
    customers = Counter(
        c["metadata"].get("voicefleet_client") for c in world.paid.listed("customer")
    )
    made = Counter(
        s["metadata"].get("voicefleet_client") for s in world.paid.listed("subscription")
    )
    for what, have in (("customers", customers), ("subscriptions ever", made)):
        for client_id, count in have.items():
            if count > 1:
                yield f"{what}: {count} of {client_id}"
    have = Counter[Any]()
    for sub in world.paid.listed("subscription"):
        if sub["status"] != "canceled":
            price = sub["items"]["data"][0]["price"]["unit_amount"]
            have[sub["metadata"].get("voicefleet_client"), price] += 1
    want = Counter[Any](
        (client_id, PLANS[client["spec"]["plan"]])
        for client_id, client in clients.items()
        if expected.get(client["metadata"]["name"]) != "SubscriptionCancelled"
    )
    yield from _differs("subscriptions", have, want)


def _carrier(world: World, clients: dict[str, Object], expected: dict[str, str]) -> Iterator[str]:
    trunks = {t["sid"]: t["friendly_name"].rpartition("/")[2] for t in world.paid.listed("trunk")}
    yield from _differs("carrier trunks", Counter(trunks.values()), Counter(clients.keys()))
    urls = Counter(url["trunk_sid"] for url in world.paid.listed("origination_url"))
    yield from _differs("origination URLs", urls, Counter(trunks.keys()))
    have, want = Counter[Any](), Counter[Any]()
    for number in world.paid.listed("number"):
        _, _, client_id, key = [*number["friendly_name"].split("/"), "", "", ""][:4]
        goes_to = trunks.get(number["trunk_sid"] or "") or number["voice_url"]
        if is_hosted(number["voice_url"]):
            goes_to = "instructions of ours"
        have[client_id, key, goes_to] += 1
    for client_id, client in clients.items():
        if expected.get(client["metadata"]["name"]) not in ("NumberMissing", "NoNumbersAvailable"):
            spec = client["spec"]
            forward = forward_url(spec["telephony"]["fallback"]["forwardTo"])
            voice = spec["telephony"].get("ingress") == "ProgrammableVoice"
            reached = "instructions of ours" if voice else client_id
            goes_to = forward if spec.get("suspend") else reached
            want.update((client_id, key, goes_to) for key in _numbers(client))
    yield from _differs("numbers", have, want)


def _bought_twice(world: World) -> Iterator[str]:
    bought = Counter[str](
        entry["mark"]["friendlyName"]
        for entry in world.paid.store.ledger(vendor="twilio")
        if entry["kind"] == "number.purchased"
    )
    for name, count in bought.items():
        if count > 1:
            yield f"numbers: {name} was bought {count} times"


def _routing(world: World, clients: dict[str, Object], expected: dict[str, str]) -> Iterator[str]:
    held = {
        obj["metadata"]["name"]: obj["status"].get("e164")
        for obj in world.kube.all("phonenumbers")
        if (obj.get("status") or {}).get("phase") == "Bound"
    }
    trunks, rules = Counter[Any](), Counter[Any]()
    for trunk in world.livekit.trunks.values():
        trunks[_owner(trunk.metadata), tuple(trunk.numbers)] += 1
    for rule in world.livekit.rules.values():
        on = [
            _owner(world.livekit.trunks[t].metadata) if t in world.livekit.trunks else t
            for t in rule.trunk_ids
        ]
        agents = tuple(agent.agent_name for agent in rule.room_config.agents)
        rules[_owner(rule.metadata), tuple(on), agents, _overflows(rule)] += 1
    wanted = {
        client_id: tuple(
            sorted(filter(None, (held.get(f"{client_id}-{key}") for key in _numbers(client))))
        )
        for client_id, client in clients.items()
    }
    wanted = {client_id: numbers for client_id, numbers in wanted.items() if numbers}
    yield from _differs("LiveKit trunks", trunks, Counter(wanted.items()))
    # A client that has no agent (any more) keeps the name that it began with.
    agents_of = {c: (f"voicefleet-{c}",) for c in wanted}
    agents_of |= {client_of(unit)[0]: (f"voicefleet-{unit}",) for unit in world.units.running}
    want = Counter[Any]()
    for client_id in wanted:
        suspended = clients[client_id]["spec"].get("suspend")
        others = () if suspended else (OVERFLOW_AGENT,)
        speaks_for = None if suspended else client_id
        want[client_id, (client_id,), (*agents_of[client_id], *others), speaks_for] += 1
    yield from _differs("LiveKit rules", rules, want)


def _way_out(world: World, clients: dict[str, Object]) -> Iterator[str]:
    """For whoever's callers we connect: on both sides, with a password that the carrier knows."""
    calls_out = [c for c, o in clients.items() if o["spec"]["telephony"].get("transfer") == "Warm"]
    users = {doc["username"] for doc in world.paid.listed("Credentials")}
    trunks = {t["sid"]: t for t in world.paid.listed("trunk")}
    have, guarded = Counter[Any](), Counter[str]()
    for trunk in world.livekit.outbound.values():
        user = trunk.auth_username in users and bool(trunk.auth_password)
        have[_owner(trunk.metadata), trunk.address, bool(trunk.numbers), user] += 1
    for entry in world.paid.listed("trunk_credential_list"):
        guarded[trunks[entry["trunk_sid"]]["friendly_name"].rpartition("/")[2]] += 1
    names = {t["friendly_name"].rpartition("/")[2]: t["domain_name"] for t in trunks.values()}
    wanted = Counter[Any]((c, names.get(c), True, True) for c in calls_out)
    yield from _differs("LiveKit trunks out", have, wanted)
    yield from _differs("trunks with a credential list", guarded, Counter(calls_out))
    for what in ("credential_list", "Credentials"):
        if len(found := world.paid.listed(what)) > 1 or len(found) < bool(calls_out):
            yield f"{what}: {len(found)} of them"
    for client_id in world.units.running:
        known = json.loads(world.units.configs[client_id]).get("outboundTrunk")
        mine = [i for i, t in world.livekit.outbound.items() if _owner(t.metadata) == client_id]
        if known != next(iter(mine), None):
            yield f"agents: {client_id} calls out over {known}, its trunks are {mine}"


def _encryption(world: World) -> Iterator[str]:
    """Carrier and LiveKit do as the fleet says, in both directions."""
    fleet = world.kube.get("fleets", "default", "")
    secure = bool(fleet and fleet["spec"]["telephony"].get("secure"))
    required = api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE
    sides = {t["sid"]: t["secure"] for t in world.paid.listed("trunk")}
    for trunk in (*world.livekit.trunks.values(), *world.livekit.outbound.values()):
        sides[trunk.sip_trunk_id] = trunk.media_encryption == required
    for sid, encrypts in sides.items():
        if encrypts != secure:
            yield f"encryption: {sid} says {encrypts}, the fleet {secure}"


def _overflows(rule: api.SIPDispatchRuleInfo) -> str | None:
    """For whom the overflow agent is told to speak."""
    told = (DispatchMetadata.model_validate_json(a.metadata) for a in rule.room_config.agents)
    return next((each.overflow.client_id for each in told if each.overflow), None)


def _owner(metadata: str) -> str:
    client_id: str = json.loads(metadata)["voicefleet"]["clientID"]
    return client_id


def _placement(world: World, clients: dict[str, Object], expected: dict[str, str]) -> Iterator[str]:
    running = Counter(
        (client_of(unit)[0], json.loads(world.units.configs[unit])["greeting"])
        for unit in world.units.running
    )
    wanted = {}
    for client_id, client in clients.items():
        if not client["spec"].get("suspend"):
            words = world.kube.get(
                "receptionists", client["spec"]["receptionistRef"]["name"], "default"
            )
            wanted[client_id] = words["spec"]["greeting"] if words else ""
            if expected.get(client["metadata"]["name"]) == "RolledBack":
                wanted[client_id] = FIRST_WORDS
    yield from _differs("agents", running, Counter(wanted.items()))
    names = Counter(label for label, kind in world.zone.records if kind == "A")
    owners = Counter(label for label, kind in world.zone.records if kind == "TXT")
    want = Counter(client["spec"]["dns"]["subdomain"] for client in clients.values())
    yield from _differs("DNS names", names, want)
    yield from _differs("DNS owners", owners, Counter(f"_voicefleet.{name}" for name in want))


def _voices_of(world: World, unit: str) -> list[Object]:
    voices: list[Object] = json.loads(world.units.configs[unit])["pipeline"]["tts"]
    return voices


def _voices(world: World, clients: dict[str, Object]) -> Iterator[str]:
    """One of the newest recording for whoever is to have one, made once, and heard."""
    have, heard, want = Counter[Any](), Counter[Any](), Counter[Any]()
    for voice in world.paid.listed("voice"):
        have[voice["name"].split("/")[2], voice["samples"][0]["hash"]] += 1
    for unit in world.units.running:
        client_id, first = client_of(unit)[0], _voices_of(world, unit)[0]
        if first["provider"] == "ElevenLabs":
            found = [v for v in world.paid.listed("voice") if v["voice_id"] == first["voice"]]
            heard[client_id, found[0]["samples"][0]["hash"] if found else ""] += 1
    for client_id, client in clients.items():
        name = client["spec"]["receptionistRef"]["name"]
        words = world.kube.get("receptionists", name, "default") or {"spec": {}}
        secret = world.kube.get("secrets", "ada", "default")
        if "voice" in words["spec"] and secret:
            content = base64.b64decode(secret["data"]["sample.flac"])
            want[client_id, hashlib.sha256(content).hexdigest()] += 1
    yield from _differs("voices", have, want)
    yield from _differs("voices that are heard", heard, want)
    made = Counter[str](
        entry["mark"]["name"]
        for entry in world.paid.store.ledger(vendor="elevenlabs")
        if entry["kind"] == "voice.cloned"
    )
    for voice_name, count in made.items():
        if count > 1:
            yield f"voices: {voice_name} was made {count} times"


def _ledger(world: World) -> Iterator[str]:
    """What is paid for is what the vendors list."""
    listed = {n["sid"] for n in world.paid.listed("number")}
    listed |= {s["id"] for s in world.paid.listed("subscription") if s["status"] != "canceled"}
    listed |= {v["voice_id"] for v in world.paid.listed("voice")}
    booked = {entry["id"] for entry in world.paid.store.ledger(only_open=True)}
    yield from _differs("open in the ledger", Counter(booked), Counter(listed))
