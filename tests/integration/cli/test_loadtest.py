"""`voicefleet loadtest` against another end that gives the callers' sound back."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from support.sip_peer import HOST, Server, peer
from voicefleet_cli import loadtest
from voicefleet_cli.console import Exit, Output
from voicefleet_cli.load import Figures

pytestmark = pytest.mark.integration

NUMBER = "+15005550001"


def platform(server: Server) -> Any:
    return SimpleNamespace(address=HOST, port=lambda _: server.port)


async def test_one_then_all_are_measured_and_hung_up() -> None:
    async with peer("200 OK") as server:
        one, most = await loadtest._measure(platform(server), NUMBER, 3, 1)
    assert (one.calls, most.calls) == (1, 3)
    assert server.methods.count("INVITE") == server.methods.count("BYE") == 3


async def test_where_one_is_refused_no_more_ring() -> None:
    async with peer("486 Busy Here") as server:
        (only,) = await loadtest._measure(platform(server), NUMBER, 30, 0.1)
    assert only.refused == {"486 Busy Here": 1}
    assert server.methods.count("INVITE") == 1


async def test_who_interrupts_it_leaves_no_call_behind() -> None:
    async with peer("200 OK") as server:
        testing = asyncio.create_task(loadtest._measure(platform(server), NUMBER, 2, 60))
        async with asyncio.timeout(60):
            while "ACK" not in server.methods:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        testing.cancel()
        await asyncio.gather(testing, return_exceptions=True)
    assert server.methods == ["INVITE", "ACK", "BYE"]


WELL = Figures(
    calls=1, answered_after=[0.4], rate=2.5, refused={}, dropped=0, lost=0, late=0, jitter=0.002,
    broken=None, answers=[0.5], unanswered=0,
)  # fmt: skip
WORSE = Figures(
    calls=3, answered_after=[0.4], rate=2.5, refused={}, dropped=0, lost=0.1, late=0, jitter=0.002,
    broken=None, answers=[0.5], unanswered=0,
)  # fmt: skip
REFUSED = Figures(
    calls=1, answered_after=[], rate=None, refused={"486 Busy Here": 1}, dropped=0, lost=1, late=0,
    jitter=0, broken=None, answers=[], unanswered=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "code", "said"),
    [
        ([WELL], Exit.OK, "well"),
        ([WELL, WORSE], Exit.MISSED, "10.0% of packets lost or late"),
        ([REFUSED], Exit.NOT_ANSWERED, "1 refused: 486 Busy Here"),
    ],
)
def test_the_verdict_is_said_and_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figures: list[Figures],
    code: Exit,
    said: str,
) -> None:
    async def measured(*_: Any) -> list[Figures]:
        return figures

    monkeypatch.setattr(loadtest, "_number", lambda *_: NUMBER)
    monkeypatch.setattr(loadtest, "_measure", measured)
    anywhere: Any = None
    assert loadtest.run(anywhere, "c", "default", 3, 5, Output.JSON) == code
    (*_, last) = json.loads(capsys.readouterr().out)
    assert said in (last["complaints"] or ["well"])


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ([], "there is no client c"),
        ([{"metadata": {"name": "c", "namespace": "default"}}], "no number"),
    ],
)
def test_whom_nobody_can_call_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clients: list[Any],
    said: str,
) -> None:
    monkeypatch.setattr(loadtest, "Cluster", lambda _: SimpleNamespace(clients=lambda: clients))
    anywhere: Any = None
    with pytest.raises(SystemExit):
        loadtest._number(anywhere, "c", "default")
    assert said in capsys.readouterr().err
