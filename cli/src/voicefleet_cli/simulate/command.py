"""`voicefleet simulate`: callers of all kinds try a receptionist, and are judged by facts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from voicefleet_agent import native
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.local import LocalSpeaker, gateway
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_api import tokens
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_cli.chat import config_of, model_at
from voicefleet_cli.console import Exit, Output, err, fail, out, print_json, table
from voicefleet_cli.plan import live, read
from voicefleet_cli.simulate import run
from voicefleet_cli.simulate.caller import Caller, Played, Script
from voicefleet_cli.simulate.exchange import exchange
from voicefleet_cli.simulate.report import Called, Report, percentile, write
from voicefleet_cli.simulate.scenario import (
    PRACTICE,
    SHIPPED,
    BadScenario,
    Scenario,
    chosen,
    load,
)  # fmt: skip
from voicefleet_dialogue.acts import LanguageModel
from voicefleet_infra.platform import Platform
from voicefleet_infra.probes import unix_open
from voicefleet_infra.services import LANGUAGE, models_folder, models_key

SCRIPT, NONE, LOCAL = "script", "none", "local"
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


class Gateways:
    """The machine's own models; ends the command where they do not run."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @cached_property
    def _token(self) -> str:
        return tokens.mint(models_key(self._platform).read_text().strip(), _WHO)

    def _endpoint(self, name: str) -> Endpoint:
        folder = models_folder(self._platform)
        if not unix_open(folder / f"{name}.sock"):
            fail(f"the {name} gateway does not run; start it with: voicefleet up", Exit.NOT_RUNNING)
        return gateway(folder, name, self._token)

    @cached_property
    def voices(self) -> Endpoint:
        """Of callers."""
        return self._endpoint("tts")

    @cached_property
    def language(self) -> Endpoint:
        """The language model's."""
        return self._endpoint(LANGUAGE)

    async def aclose(self) -> None:
        """Close what was opened."""
        for name in ("voices", "language"):
            if name in self.__dict__:
                await self.__dict__[name].aclose()


def simulate(platform: Platform, kubeconfig: Path | None, wanted: Wanted, output: Output) -> Exit:
    """Call, print and write the report; `Exit.MISSED` where too few facts are right or an
    emergency was not escalated."""
    try:
        scenarios = chosen(_scenarios(wanted.scenarios), wanted.scenario)
    except BadScenario as error:
        fail(str(error))
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
        err.print("stopped; what was called so far is reported")
    finally:
        native.let_go()
    report.seconds = round(time.monotonic() - began, 1)
    report.load = report.load[0], os.getloadavg()[0]
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
    gateways = Gateways(platform)
    player: LanguageModel | None = None

    def cast(scenario: Scenario, config: AgentConfig) -> Caller:
        return Played(scenario, config, player) if player else Script(scenario, config)

    async with AsyncExitStack() as opened:
        opened.push_async_callback(gateways.aclose)
        if wanted.played_by != SCRIPT:
            player = await _model(opened, gateways, wanted.played_by)
        for client in clients:
            called: AsyncIterator[Called]
            if wanted.text:
                models = {name: await _model(opened, gateways, name) for name in wanted.models}
                called = run.texts(client, scenarios, models, cast, wanted.played_by)
            else:
                wanted.folder.mkdir(parents=True, exist_ok=True)
                number = _number(kubeconfig, wanted)
                line = await opened.enter_async_context(
                    exchange(platform, number, wanted.client, wanted.namespace)
                )
                called = run.calls(
                    client, scenarios, line,
                    lambda voice: LocalSpeaker(gateways.voices, voice, ahead=True),
                    cast, wanted.played_by, wanted.folder, wanted.jobs,
                )  # fmt: skip
            async for call in called:
                report.calls.append(call)
                if not wanted.text:
                    sign = "passed" if call.passed else "failed"
                    err.print(f"{sign} {call.scenario}", style="dim")


async def _model(opened: AsyncExitStack, gateways: Gateways, words: str) -> LanguageModel | None:
    if words == NONE:
        return None
    if words == LOCAL:
        return OpenAIModel(gateways.language, "default", "Local")
    return await opened.enter_async_context(model_at(words))


def _number(kubeconfig: Path | None, wanted: Wanted) -> str:
    found = live(kubeconfig, "VoiceClient", wanted.namespace, wanted.client) or {}
    number = found.get("status", {}).get("primaryNumber")
    if not number:
        fail(f"{wanted.client} has no number yet; see: kubectl describe vc {wanted.client}")
    return str(number)


def _show(report: Report, page: Path) -> None:
    for line in report.failed:
        out.print(f"✗ {line}", markup=False, soft_wrap=True)
    rows = table("Manner", "Calls", "All right", "Facts right")
    for share in [*report.by(lambda call: str(call.manner)), report.total]:
        rows.add_row(
            share.name, str(share.calls), str(share.passed), f"{share.right}/{share.facts}"
        )
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
