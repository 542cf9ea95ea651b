"""Simulated callers, and the agent they talk to, with a language model in a file."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support import stand_ins
from support.gateways import small_model
from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.reach import by_socket
from voicefleet_cli.main import app
from voicefleet_cli.simulate import language_models
from voicefleet_cli.simulate.report import Report
from voicefleet_dialogue.acts import ModelUnavailable

pytestmark = pytest.mark.integration


async def simulate(folder: Path, *words: str) -> Result:
    command = ["simulate", "--text", f"--home={folder}/home", f"--report={folder}/report"]
    command += ["--scenario=poodle-open-question", "--at-least=0", "--output=json", *words]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


async def test_a_model_in_a_file_is_served_for_the_run(tmp_path: Path) -> None:
    result = await simulate(tmp_path, "--model=none", f"--model={small_model()}")
    assert result.exit_code == 0, result.output
    model, none = Report.model_validate_json(result.stdout).by_model
    assert (model.name, model.calls) == (small_model().name, 1)
    # Once, or again where the machine was too busy to answer.
    assert model.asked >= 1
    assert (none.name, none.calls, none.asked) == ("none", 1, 0)


async def test_a_model_in_a_file_plays_callers(tmp_path: Path) -> None:
    result = await simulate(tmp_path, f"--played-by={small_model()}")
    [call] = Report.model_validate_json(result.stdout).calls
    assert call.played_by == small_model().name
    assert call.record
    assert any(turn.speaker == "Caller" and turn.text for turn in call.record.transcript)


async def test_a_file_that_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_text("no")
    result = await simulate(tmp_path, f"--model={tmp_path}/no.gguf")
    assert result.exit_code == 1
    assert "the gateway llm does not start" in result.output


async def test_a_gateway_s_model_reads_its_briefing_once_before_it_is_asked(tmp_path: Path) -> None:
    async with (
        stand_ins.Gateways(tmp_path, think=lambda _: "Yes.") as gateways,
        aclosing(Endpoint(by_socket(tmp_path, "llm"), stand_ins.TOKEN)) as endpoint,
    ):
        model = language_models.Briefed(endpoint)
        for system in ("one", "one", "two"):
            said = [piece async for piece in model.complete(system, "?", max_tokens=9)]
            assert "".join(said).strip() == "Yes."
        assert gateways.ahead == ["llm", "llm"]
        gateways.broken = {"llm"}
        with pytest.raises(ModelUnavailable):
            [piece async for piece in model.complete("three", "?", max_tokens=9)]
