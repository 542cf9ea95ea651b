"""`voicefleet calls` against a portal that has calls."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from support.portal import Portal, event, portal, record
from voicefleet_api.calls import CallQuality, CallRecord, StageLatencies
from voicefleet_api.quality import diagnose
from voicefleet_infra.platform import Platform

pytestmark = pytest.mark.integration
COMMAND = Path(sys.executable).with_name("voicefleet")


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Portal]:
    async with portal(tmp_path) as made:
        base = made.port - (Platform(tmp_path).port("portal") - Platform(tmp_path).base_port)
        (tmp_path / "platform.json").write_text(json.dumps({"basePort": base}))
        yield made


async def calls(
    running: Portal, *words: str, home: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`voicefleet calls` with these words."""
    return await run(running, "calls", *words, home=home, **environment)


async def run(
    running: Portal, *words: str, home: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`voicefleet` with these words. A portal without a cluster has no names of clients."""
    own = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "VOICEFLEET_PORTAL")}
    return await asyncio.to_thread(
        subprocess.run,
        [str(COMMAND), *words, f"--home={home or running.folder}", "--namespace="],
        capture_output=True,
        text=True,
        timeout=60,
        env=own | environment,
    )


async def put(running: Portal) -> CallRecord:
    call = record(latency=StageLatencies(total=431.0))
    assert (await running.put(call)).status_code == 200
    return call


async def test_calls_are_listed(running: Portal) -> None:
    call = await put(running)
    listed = await calls(running)
    assert listed.returncode == 0, listed.stderr
    for shown in ("vc-one", "+14155550123", "62 s", "Answered", "431 ms", call.call_id):
        assert shown in listed.stdout
    plain = await calls(running, "vc-one", "-o", "json")
    assert json.loads(plain.stdout) == [call.to_json()]
    assert json.loads((await calls(running, "-q", "plumber", "-o", "json")).stdout) == []


async def test_a_call_is_shown_with_what_was_said(running: Portal) -> None:
    call = await put(running)
    shown = await calls(running, "vc-one", call.call_id)
    assert "2.5  Caller: I have a toothache." in shown.stdout
    assert "Answers after 431 ms" in shown.stdout
    plain = await calls(running, "vc-one", call.call_id, "--output=json")
    assert json.loads(plain.stdout) == call.to_json()


async def test_how_the_line_was_and_what_went_wrong_is_shown(running: Portal) -> None:
    line = CallQuality(
        lost_percent=0, sent_lost_percent=0.5, concealed_percent=7.5, jitter_ms=12,
        round_trip_ms=31, mos=3.4,
    )  # fmt: skip
    call = record(quality=line, ended="nobody transcribes", success=False)
    assert (await running.put(call)).status_code == 200
    assert "~3.4" in (await calls(running)).stdout
    shown = (await calls(running, "vc-one", call.call_id)).stdout
    assert "about 3.4 of 4.5 (MOS, estimated" in shown
    assert "7.5 % missing, jitter 12 ms, 31 ms to LiveKit" in shown
    assert [f"Trouble: {words}" for words in diagnose(call)] == shown.splitlines()[-2:]


async def test_a_call_under_way_is_followed(running: Portal) -> None:
    call = await put(running)
    process = await asyncio.create_subprocess_exec(
        *(str(COMMAND), "calls", "vc-one", "--follow", f"--home={running.folder}"),
        *("--namespace=", "--output=json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    other = record().call_id
    await running.tell(call.client_id, event(other, 0, text="[bold]Hello?[/bold]"))
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
    finally:
        process.terminate()
        await process.communicate()
    assert json.loads(line)["turn"]["text"] == "[bold]Hello?[/bold]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # This portal has no cluster to ask.
        (("nobody",), "cannot look for client nobody"),
        (("vc-one", "00000000-0000-0000-0000-000000000000"), "there is no call"),
        (("--follow",), "say whose calls"),
    ],
)
async def test_what_is_not_there_is_said(
    running: Portal, words: tuple[str, ...], said: str
) -> None:
    await put(running)
    refused = await calls(running, *words)
    assert refused.returncode == 1
    assert said in refused.stderr


async def test_a_portal_elsewhere_is_named(running: Portal, tmp_path: Path) -> None:
    """By option or environment, whatever cluster kubectl talks to."""
    call = await put(running)
    home = tmp_path / "another"
    address = f"http://127.0.0.1:{running.port}"
    for words, environment in (
        ((f"--portal={address}",), {}),
        ((), {"VOICEFLEET_PORTAL": f"{address}/"}),
        ((f"--portal={address}",), {"KUBECONFIG": "/elsewhere"}),
    ):
        listed = await calls(running, "-o", "json", *words, home=home, **environment)
        assert listed.returncode == 0, listed.stderr
        assert json.loads(listed.stdout) == [call.to_json()]


async def test_another_cluster_s_calls_are_not_looked_for_here(running: Portal) -> None:
    await put(running)
    refused = await calls(running, KUBECONFIG="/work.yaml:/elsewhere")
    assert refused.returncode == 1
    words = " ".join(refused.stderr.split())
    assert "KUBECONFIG names another cluster" in words
    assert "--portal http://127.0.0.1:PORT, or VOICEFLEET_PORTAL" in words
    assert f"For those of this machine: --portal http://127.0.0.1:{running.port}" in words
    own = str(running.folder / "kubeconfig")
    assert (await calls(running, KUBECONFIG=f"/work.yaml:{own}")).returncode == 0


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("http://127.0.0.1:9", 3, "no portal answers at http://127.0.0.1:9."),
        ("127.0.0.1:9", 3, "no portal answers at 127.0.0.1:9."),
        ("http://127.0.0.1:many", 1, "--portal http://127.0.0.1:many: "),
    ],
)
async def test_no_portal_is_said_with_what_to_do(
    running: Portal, address: str, code: int, said: str
) -> None:
    refused = await calls(running, f"--portal={address}")
    assert (refused.returncode, refused.stdout) == (code, "")
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


async def test_what_does_not_answer_like_a_portal_is_told_apart(running: Portal) -> None:
    """It refuses foreign names in plain text; so may a log-in page that stands before it."""
    address = f"http://0.0.0.0:{running.port}"
    refused = await calls(running, f"--portal={address}")
    assert refused.returncode == 1
    assert f"{address} answers (400), but not as a portal does" in " ".join(refused.stderr.split())


async def test_two_ways_of_saying_it_are_compared(running: Portal) -> None:
    await put(running)
    none = await run(running, "ab", "vc-one")
    assert none.returncode == 1
    assert "no call of vc-one was part of an experiment" in " ".join(none.stderr.split())
    for number, variant in enumerate("AABB"):
        call = record(caller=f"+141555501{number:02}", experiment="shorter", variant=variant)
        assert (await running.put(call)).status_code == 200
    early = await run(running, "ab", "vc-one")
    assert early.returncode == 0, early.stderr
    assert "Not enough callers yet: A has 2 and B has 2 of 100 each" in " ".join(
        early.stdout.split()
    )
    shown = await run(running, "ab", "vc-one", "shorter", "--callers=2", "-o", "json")
    said = json.loads(shown.stdout)
    assert (said["A"]["callers"], said["B"]["callers"]) == (2, 2)
    assert said["verdict"].startswith("No difference can be shown (p = 1.00")
