"""A client that is broken into, before a real LiveKit and the real agent gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

import aiohttp
import jwt
import pytest
from livekit import api
from livekit.protocol import agent

from support.intruder import KEY, attempts, join, named, register, room_of, signed, tried
from support.switchboard import CLIENT_ID, Gated, own_key
from voicefleet_api.dispatch import agent_names
from voicefleet_infra import services

pytestmark = pytest.mark.integration

NEIGHBOUR = "vc-0000000002"
OWN_NAME = agent_names(CLIENT_ID)[0]
AT_ONCE = 64
"""What a client may have open."""
RIGHTS = ("401", "403", "1008")
"""What a refusal begins with that has to do with who asks."""


class NoPhones(Gated):
    """LiveKit and the agent gateway alone."""

    make: ClassVar = {name: Gated.make[name] for name in ("redis", "livekit", "agent-gateway")}

    @property
    def straight(self) -> str:
        """LiveKit's own address."""
        return f"ws://{self.platform.address}:{self.platform.port('livekit')}"


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NoPhones]:
    with NoPhones(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(autouse=True)
def own(livekit: NoPhones, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that a client's pod has."""
    for name, value in livekit.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def trunk(livekit: NoPhones) -> AsyncIterator[str]:
    """The neighbour is in a call, and has a way out."""
    info = api.SIPOutboundTrunkInfo(
        name="out", address="sip.example", numbers=["+14155550100"], auth_password="quiet",
        metadata=f'{{"voicefleet": {{"clientID": "{NEIGHBOUR}"}}}}',
    )  # fmt: skip
    async with livekit.livekit() as lk:
        await lk.room.create_room(api.CreateRoomRequest(name=room_of(NEIGHBOUR)))
        made = await lk.sip.create_outbound_trunk(api.CreateSIPOutboundTrunkRequest(trunk=info))
        yield made.sip_trunk_id
        await lk.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=made.sip_trunk_id))


async def test_nothing_of_the_neighbours_is_reached(livekit: NoPhones, trunk: str) -> None:
    through = await tried(livekit.url, CLIENT_ID, NEIGHBOUR, trunk)
    straight = await tried(livekit.straight, CLIENT_ID, NEIGHBOUR, trunk)
    for attempt, refusal in through.items():
        print(f"{attempt}: {refusal}; straight at LiveKit: {straight[attempt]}")
    for refusal in through.values():
        assert refusal is not None
        # By us, with the reason, and not because nothing was found.
        assert refusal.startswith(("403 permission_denied", "403 {", "1008 ")), refusal
    for refusal in straight.values():
        assert (refusal or "").startswith("401 "), refusal
    async with livekit.livekit() as lk:
        [room] = (await lk.room.list_rooms(api.ListRoomsRequest())).rooms
        assert room.name == room_of(NEIGHBOUR)
        # LiveKit's own entry for agents without a name apart.
        sent = await lk.agent_dispatch.list_dispatch(room.name)
        assert not [each for each in sent if each.agent_name]


async def test_with_livekits_key_all_of_it_could_be_done(
    livekit: NoPhones, trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempts are real ones: what refuses them above is who asks."""
    for name, value in zip(KEY, services.livekit_keys(livekit.platform), strict=True):
        monkeypatch.setenv(name, value)
    url, answers = livekit.straight, {}
    async with livekit.livekit() as lk:
        for name, attempt in attempts(lk, url, CLIENT_ID, NEIGHBOUR, trunk).items():
            if "call" in name.split():  # there is no SIP bridge to do it
                continue
            try:
                answer = await attempt()
                answers[name] = answer if isinstance(answer, str) else "done"
            except api.TwirpError as error:
                answers[name] = f"{error.status} {error.message}"
        for made in await lk.agent_dispatch.list_dispatch(room_of(CLIENT_ID)):
            await lk.agent_dispatch.delete_dispatch(made.id, room_of(CLIENT_ID))
        await lk.room.delete_room(api.DeleteRoomRequest(room=room_of(CLIENT_ID)))
        for rule in (await lk.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())).items:
            await lk.sip.delete_dispatch_rule(
                api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule.sip_dispatch_rule_id)
            )
    refused = {name: words for name, words in answers.items() if words.startswith(RIGHTS)}
    assert not refused
    assert list(answers.values()).count("done") > 10, answers


class Worker:
    """Registered through the gateway; takes every job that it is offered."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self.line = line

    async def assignment(self) -> agent.JobAssignment:
        """Of the next job."""
        async for frame in self.line:
            said = agent.ServerMessage.FromString(frame.data)
            if said.HasField("availability"):
                answer = agent.AvailabilityResponse(
                    job_id=said.availability.job.id, available=True, participant_identity="agent"
                )
                await self.say(agent.WorkerMessage(availability=answer))
            if said.HasField("assignment"):
                return said.assignment
        raise AssertionError("the connection has ended")

    async def say(self, message: agent.WorkerMessage) -> None:
        await self.line.send_bytes(message.SerializeToString())


@asynccontextmanager
async def worker(url: str, name: str = OWN_NAME) -> AsyncIterator[Worker]:
    """Of the client whose key is in the environment."""
    headers = signed(api.VideoGrants(agent=True))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/agent", headers=headers) as line,
    ):
        made = Worker(line)
        await made.say(named(name))
        assert agent.ServerMessage.FromString(await line.receive_bytes()).HasField("register")
        available = agent.UpdateWorkerStatus(status=agent.WS_AVAILABLE)
        await made.say(agent.WorkerMessage(update_worker=available))
        yield made


async def test_a_job_comes_with_a_token_for_its_room_and_for_nothing_else(
    livekit: NoPhones,
) -> None:
    room = room_of(CLIENT_ID)
    async with worker(livekit.url) as own, api.LiveKitAPI(livekit.url) as lk:
        # Its own agent in a room of its own: the client may ask for that itself.
        request = api.CreateAgentDispatchRequest(agent_name=OWN_NAME, room=room)
        await lk.agent_dispatch.create_dispatch(request)
        job = await asyncio.wait_for(own.assignment(), 60)
    assert job.url == livekit.straight
    claims = jwt.decode(job.token, options={"verify_signature": False})
    assert (claims["video"]["room"], claims["kind"]) == (room, "agent")
    assert await _answer(f"{job.url}/rtc/validate", job.token) == 200
    # LiveKit takes a job's own token for a worker's; ours is none.
    assert await _answer(f"{job.url}/agent", job.token) == 401
    _, secret = services.livekit_keys(livekit.platform)
    claims["video"]["agent"] = True
    assert await _answer(f"{job.url}/agent", jwt.encode(claims, secret)) != 401
    async with livekit.livekit() as admin:
        await admin.room.delete_room(api.DeleteRoomRequest(room=room))


async def _answer(url: str, token: str) -> int:
    """HTTP status of a WebSocket's handshake, or of a GET where none is spoken there."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:
        if "validate" in url:
            async with session.get(url.replace("ws", "http", 1), headers=headers) as answer:
                return answer.status
        try:
            async with session.ws_connect(url, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


async def test_who_shows_no_key_of_a_clients_gets_nowhere(
    livekit: NoPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = own_key(livekit.platform, CLIENT_ID)[KEY[1]]
    master = services.livekit_keys(livekit.platform)
    for key, secret in (master, (NEIGHBOUR, token), (CLIENT_ID, "s" * 48)):
        monkeypatch.setenv(KEY[0], key)
        monkeypatch.setenv(KEY[1], secret)
        assert (await register(livekit.url, named(OWN_NAME)) or "").startswith("401")
        assert "401" in (await join(livekit.url, room_of(CLIENT_ID)) or "")
    # Nor by the token itself, with which the pod goes to the models' gateways.
    assert await _answer(f"{livekit.url}/agent", token) == 401
    assert await _answer(f"{livekit.url}/agent", "x.y.z") == 401


async def test_one_client_that_opens_too_much_leaves_the_others_their_room(
    livekit: NoPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as open_:
        for _ in range(AT_ONCE):
            await open_.enter_async_context(worker(livekit.url))
        assert (await register(livekit.url, named(OWN_NAME)) or "").startswith("429")
        for name, value in own_key(livekit.platform, NEIGHBOUR).items():
            monkeypatch.setenv(name, value)
        # Together more than an HTTP client opens at once unless it is told to.
        for _ in range(AT_ONCE - 1):
            await open_.enter_async_context(worker(livekit.url, agent_names(NEIGHBOUR)[0]))
        assert await register(livekit.url, named(agent_names(NEIGHBOUR)[1])) is None


async def test_without_livekit_a_worker_is_told_so_and_comes_back(livekit: NoPhones) -> None:
    async with worker(livekit.url) as own:
        livekit.kill("livekit")
        try:
            frame = await own.line.receive(20)
            assert frame.type == aiohttp.WSMsgType.CLOSE
            assert (await register(livekit.url, named(OWN_NAME)) or "").startswith("503")
            async with api.LiveKitAPI(livekit.url, failover=False) as lk:
                with pytest.raises(api.TwirpError) as away:
                    await lk.room.delete_room(api.DeleteRoomRequest(room=room_of(CLIENT_ID)))
            assert away.value.code == "unavailable"
            assert away.value.message.startswith("LiveKit cannot be reached")
        finally:
            livekit.start("livekit")
    assert await register(livekit.url, named(OWN_NAME)) is None


async def test_the_log_says_who_was_refused_what_and_has_no_key(livekit: NoPhones) -> None:
    await register(livekit.url, named(f"voicefleet-{NEIGHBOUR}"))
    line = f"'voicefleet-{NEIGHBOUR}' is no agent of {CLIENT_ID}"
    await _until(lambda: line in livekit.log("agent-gateway"))
    log = livekit.log("agent-gateway")
    _, secret = services.livekit_keys(livekit.platform)
    assert secret not in log
    assert own_key(livekit.platform, CLIENT_ID)[KEY[1]] not in log
    assert "Bearer" not in log


async def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
