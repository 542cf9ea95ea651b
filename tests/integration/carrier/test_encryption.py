"""Encrypted calls, from a manifest to the wire: the real operator, carrier, edge, bridges, LiveKit.

The tests run in this order: the first one sees the same call in the clear, and then encrypted.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc

from integration.carrier.exchange import CALLER, OWNER, Line
from support.phones import answering
from support.stack import client, until
from support.tones import loudness, tone
from support.wire import Packet, Wire
from voicefleet_api.callers import room_prefix
from voicefleet_cli.phone import Call, dial
from voicefleet_cli.telephone.sound import decode
from voicefleet_infra import services
from voicefleet_infra.platform import RTP_PORTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HERTZ, RATE = 900, 8000


def route(stack: Line, number: str) -> dict[str, Any]:
    return dict(stack.sandbox.get("/_sandbox/route", params={"number": number}).json())


@asynccontextmanager
async def livekit(stack: Line) -> AsyncIterator[api.LiveKitAPI]:
    url = f"http://127.0.0.1:{stack.platform.port('livekit')}"
    async with api.LiveKitAPI(url, *services.livekit_keys(stack.platform)) as lk:
        yield lk


async def take(stack: Line, client_id: str, seconds: float) -> None:
    """Answer the client's next call in its room, say nothing, and hang up."""
    async with livekit(stack) as lk:
        while True:
            rooms = (await lk.room.list_rooms(api.ListRoomsRequest())).rooms
            found = [each.name for each in rooms if each.name.startswith(room_prefix(client_id))]
            if found:
                break
            await asyncio.sleep(0.1)
        token = api.AccessToken(*services.livekit_keys(stack.platform)).with_identity("us")
        token = token.with_grants(api.VideoGrants(room_join=True, room=found[0]))
        room, source = rtc.Room(), rtc.AudioSource(RATE, 1)
        await room.connect(f"ws://127.0.0.1:{stack.platform.port('livekit')}", token.to_jwt())
        await room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("voice", source)
        )
        silence = rtc.AudioFrame.create(RATE, 1, RATE // 10)
        for _ in range(round(10 * seconds)):
            await source.capture_frame(silence)
        # Goes to the phone by the carrier, within the dialog.
        await lk.room.delete_room(api.DeleteRoomRequest(room=found[0]))
        await source.aclose()
        await room.disconnect()


async def call(
    stack: Line, number: str, client_id: str, says: Path, *, encrypted: bool
) -> tuple[Call, list[Packet]]:
    """By a telephone, through the carrier, ended by us; and what was on the wire meanwhile."""
    platform = stack.platform
    ours = asyncio.create_task(take(stack, client_id, 4))
    try:
        with Wire() as wire:
            placed = await asyncio.to_thread(
                dial, f"sip:{number}@{platform.address}:{platform.port('carrier')}",
                caller=CALLER, address=platform.address, seconds=15, play=says,
                encrypted=encrypted,
            )  # fmt: skip
        if placed.answered:
            await asyncio.wait_for(ours, 60)
    finally:
        ours.cancel()
        await asyncio.gather(ours, return_exceptions=True)
    return placed, wire.packets


def names(packets: list[Packet], number: str, stack: Line) -> int:
    """How often the number is readable between the carrier and us."""
    port = stack.platform.port
    sides = {port(name) for name in ("sip-edge", "sip", "sip-backup", "sips", "sips-backup")}
    return sum(
        number.encode() in packet.payload
        for packet in packets
        if packet.ports & sides or (packet.tcp and port("carrier") in packet.ports)
    )


def heard(packets: list[Packet], stack: Line) -> float:
    """How much of half a second at the bridges' ports for sound is the caller's tone, at best."""
    first = stack.platform.port("rtp")
    sides = frozenset(range(first, first + 2 * RTP_PORTS))
    streams = defaultdict[bytes, bytes](bytes)
    for packet in packets:
        # Version 2, µ-law, and the source (RFC 3550, 5.1): SRTP leaves the header readable.
        flags, kind, source = packet.payload[:1], packet.payload[1:2], packet.payload[8:12]
        if packet.ports & sides and flags == b"\x80" and kind in (b"\x00", b"\x80"):
            streams[source] += packet.payload[12:172]
    pieces = [
        decode(stream[at : at + RATE // 2])
        for stream in streams.values()
        for at in range(0, len(stream) - RATE // 2, RATE // 2)
    ]
    assert len(pieces) > 4, "there is no sound"
    return max(loudness(array("d", piece), HERTZ, RATE) for piece in pieces)


@pytest.fixture(scope="module")
def says(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tone(tmp_path_factory.mktemp("said") / "tone.wav", HERTZ, seconds=20, rate=RATE)


@pytest.fixture(scope="module")
def sealed(stack: Line) -> tuple[str, str]:
    """A client's number and identity."""
    stack.apply(client("sealed", telephony={"transfer": "Warm"}))
    status = stack.wait("sealed", "Answering")["status"]
    return status["primaryNumber"], status["clientID"]


def encrypt(stack: Line, number: str) -> None:
    """As an agency does it: by the Fleet alone."""
    platform = stack.platform
    uri = f"sip:{platform.address}:{platform.port('sip-edge')};transport=tls"
    line = {"spec": {"telephony": {"secure": True, "originationURIs": [uri]}}}
    stack.kubectl("patch", "fleet", "default", "--type=merge", "-p", json.dumps(line))
    until(lambda: route(stack, number)["secure"], "the carrier's trunk is not encrypted")
    until(lambda: asyncio.run(required(stack)), "LiveKit's trunks are not encrypted")


async def required(stack: Line) -> bool:
    """Whether LiveKit takes, and makes, encrypted calls alone."""
    async with livekit(stack) as lk:
        ins = await lk.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
        outs = await lk.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
    wanted = api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE
    return all(trunk.media_encryption == wanted for trunk in (*ins.items, *outs.items))


async def test_nobody_on_the_wire_reads_or_hears_a_call(
    stack: Line, sealed: tuple[str, str], says: Path
) -> None:
    number, client_id = sealed
    plain, packets = await call(stack, number, client_id, says, encrypted=False)
    assert plain.answered, plain
    assert names(packets, number, stack)
    assert heard(packets, stack) > 0.9

    await asyncio.to_thread(encrypt, stack, number)
    refused, _ = await call(stack, number, client_id, says, encrypted=False)
    assert refused.ended == "488 Not Acceptable Here"
    sealed_call, packets = await call(stack, number, client_id, says, encrypted=True)
    assert sealed_call.answered, sealed_call
    # We hung up, and the phone was told.
    assert sealed_call.ended != "hung up"
    assert names(packets, number, stack) == 0
    assert heard(packets, stack) < 0.1


async def test_a_call_out_is_let_out_with_the_right_password_alone(
    stack: Line, sealed: tuple[str, str], says: Path, tmp_path: Path
) -> None:
    """As the second one of a warm transfer is: encrypted, from LiveKit by the carrier."""
    platform = stack.platform
    carrier = f"{platform.address}:{platform.port('carrier')}"
    async with livekit(stack) as lk:
        [trunk] = (await lk.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())).items

        async def ring() -> None:
            await lk.sip.create_sip_participant(
                api.CreateSIPParticipantRequest(
                    sip_trunk_id=trunk.sip_trunk_id, sip_call_to=OWNER, room_name="transfer",
                    participant_identity="person", wait_until_answered=True,
                )
            )  # fmt: skip
            await lk.room.delete_room(api.DeleteRoomRequest(room="transfer"))

        folder = tmp_path / "owner"
        phone = answering(platform.address, OWNER, carrier, folder, says=says, encrypted=True)
        with phone, Wire() as wire:
            await ring()
            assert names(wire.packets, OWNER, stack) == 0
            trunk.auth_password = "Vf1WrongPassword"
            await lk.sip.update_outbound_trunk(trunk.sip_trunk_id, trunk)
            with pytest.raises(api.SipCallError) as refused:
                await ring()
    assert refused.value.sip_status_code == 403
