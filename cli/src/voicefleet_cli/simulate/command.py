"""`voicefleet simulate`: callers of all kinds try a receptionist, and are judged by facts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from voicefleet_agent import native
from voicefleet_agent.providers.local import LocalSpeaker
from voicefleet_cli.chat import config_of
from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, table
from voicefleet_cli.plan import live, read
from voicefleet_cli.simulate import language_models, run
from voicefleet_cli.simulate.caller import Script
from voicefleet_cli.simulate.exchange import exchange
from voicefleet_cli.simulate.gateways import machine
from voicefleet_cli.simulate.played import Played
from voicefleet_cli.simulate.report import Called, Report, Share, percentile, write
from voicefleet_cli.simulate.scenario import (
    PRACTICE,
    SHIPPED,
    BadScenario,
    Scenario,
    chosen,
    load,
)  # fmt: skip
from voicefleet_infra.platform import Platform

SCRIPT = "script"
_WHO = "simulate"
"""As whom the machine's gateways are asked."""


@dataclass(frozen=True)
class Wanted:
    """What the command was asked for."""

    client: str
    namespace: str
    file: Path | None
    scenario: str
    scenarios: Path | None
    text: bool
    models: Sequence[str]
    played_by: str
    jobs: int
    at_least: float
    folder: Path


def simulate(platform: Platform, kubeconfig: Path | None, wanted: Wanted, output: Output) -> Exit:
    """Call, print and write the report; `Exit.MISSED` where too few facts are right or an
    emergency was not escalated."""
    try:
        scenarios = chosen(_scenarios(wanted.scenarios), wanted.scenario)
    except BadScenario as error:
        fail(str(error))
    if wanted.played_by != SCRIPT:
        scenarios = [scenario for scenario in scenarios if not scenario.wordless]
    clients = _clients(kubeconfig, wanted)
    if not any(client.scenarios(scenarios) for client in clients):
        fail(f"--scenario {wanted.scenario}: no such caller fits {clients[0].name}")
    report = Report(
        mode="Text" if wanted.text else "Calls", started=datetime.now(UTC), seconds=0,
        cores=os.cpu_count() or 1, load=(os.getloadavg()[0], 0), calls=[],
    )  # fmt: skip
    began = time.monotonic()
    try:
        asyncio.run(_run(platform, kubeconfig, wanted, clients, scenarios, report))
    except KeyboardInterrupt:
        if not report.calls:
            fail("stopped before the first call was over")
        err.print("stopped; what was called so far is reported")
    finally:
        native.let_go()
    report.seconds = round(time.monotonic() - began, 1)
    report.load = report.load[0], os.getloadavg()[0]
    report.by_model = report.by(lambda call: call.models)
    page = write(report, wanted.folder)
    if output is Output.JSON:
        print_json(report.to_json())
    else:
        _show(report, page)
    return Exit.OK if report.met(wanted.at_least) else Exit.MISSED


def _scenarios(own: Path | None) -> list[Scenario]:
    """The shipped ones and the user's; one of the user's replaces the shipped one of its name."""
    found = {scenario.name: scenario for scenario in load(SHIPPED)}
    found |= {scenario.name: scenario for scenario in load(own)} if own else {}
    return list(found.values())


def _clients(kubeconfig: Path | None, wanted: Wanted) -> list[run.Client]:
    if wanted.client or wanted.file:
        config = config_of(kubeconfig, wanted.client, wanted.file, wanted.namespace)
        return [run.Client(wanted.client or config.business_name, config)]
    if not wanted.text:
        fail("say whom to call, for example: voicefleet simulate bright-smile; or use --text")
    names = [d["metadata"]["name"] for d in read(PRACTICE) if d["kind"] == "VoiceClient"]
    return [run.Client(name, config_of(None, name, PRACTICE, "")) for name in names]


async def _run(
    platform: Platform,
    kubeconfig: Path | None,
    wanted: Wanted,
    clients: Sequence[run.Client],
    scenarios: Sequence[Scenario],
    report: Report,
) -> None:
    async with AsyncExitStack() as opened:
        cast: run.Cast = Script
        if wanted.played_by != SCRIPT:
            player = await opened.enter_async_context(
                language_models.opened(wanted.played_by, platform, "simulated-caller")
            )
            assert player is not None
            cast = partial(Played, model=player)
        if wanted.text:
            called = _texts(platform, wanted, clients, scenarios, cast)
        else:
            called = _calls(platform, kubeconfig, wanted, clients[0], scenarios, cast)
        async for call in called:
            report.calls.append(call)


async def _texts(
    platform: Platform,
    wanted: Wanted,
    clients: Sequence[run.Client],
    scenarios: Sequence[Scenario],
    cast: run.Cast,
) -> AsyncIterator[Called]:
    """All of them with one model, then with the next: two would share the machine's memory."""
    for words in wanted.models:
        async with language_models.opened(words, platform, _WHO) as model:
            for client in clients:
                async for call in run.texts(
                    client, scenarios, language_models.name(words), model, cast,
                    language_models.name(wanted.played_by),
                ):  # fmt: skip
                    yield call


async def _calls(
    platform: Platform,
    kubeconfig: Path | None,
    wanted: Wanted,
    client: run.Client,
    scenarios: Sequence[Scenario],
    cast: run.Cast,
) -> AsyncIterator[Called]:
    wanted.folder.mkdir(parents=True, exist_ok=True)
    number = _number(kubeconfig, wanted)
    async with (
        aclosing(machine(platform, "tts", _WHO)) as voices,
        exchange(platform, number, wanted.client, wanted.namespace) as line,
    ):
        async for call in run.calls(
            client, scenarios, line, lambda voice: LocalSpeaker(voices, voice, ahead=True),
            cast, language_models.name(wanted.played_by), wanted.folder, wanted.jobs,
        ):  # fmt: skip
            sign = "passed" if call.passed else "failed"
            err.print(f"{sign} {call.scenario}", style="dim")
            yield call


def _number(kubeconfig: Path | None, wanted: Wanted) -> str:
    found = live(kubeconfig, "VoiceClient", wanted.namespace, wanted.client) or {}
    number = found.get("status", {}).get("primaryNumber")
    if not number:
        fail(f"{wanted.client} has no number yet; see: kubectl describe vc {wanted.client}")
    return str(number)


def _cells(share: Share) -> tuple[str, str, str, str]:
    return share.name, str(share.calls), str(share.passed), f"{share.right}/{share.facts}"


def _show(report: Report, page: Path) -> None:
    for line in report.failed:
        out.print(f"✗ {line}", markup=False, soft_wrap=True)
    rows = table("Manner", "Calls", "All right", "Facts right")
    for share in [*report.by(lambda call: str(call.manner)), report.total]:
        rows.add_row(*_cells(share))
    out.print(rows)
    if len(report.by_model) > 1:
        rows = table("Model", "Calls", "All right", "Facts right", "Emergencies", "Asked")
        for share in report.by_model:
            emergencies = f"{share.escalated}/{share.emergencies}"
            rows.add_row(*_cells(share), emergencies, str(share.asked))
        out.print()
        out.print(rows)
    wanted, escalated = report.emergencies
    total = report.total
    out.print(
        f"\n{100 * total.right / total.facts:.1f} % of {total.facts} facts right; {escalated} of"
        f" {wanted} emergencies escalated; {report.seconds:.1f} s, load {report.load[0]:.1f} before"
        f" and {report.load[1]:.1f} after on {report.cores} cores"
    )
    if report.waits:
        out.print(
            f"answers after {percentile(report.waits, 50)} ms at the median,"
            f" {percentile(report.waits, 95)} at percentile 95;"
            f" the agent cut in {sum(call.cut_offs for call in report.calls)} times"
        )
    out.print(f"report: {page}", soft_wrap=True)
