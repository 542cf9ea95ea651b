"""The report of simulated calls, as a browser shows it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.browser import DESKTOP, PHONE, chromium, tab, violations
from voicefleet_cli.main import app

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
async def test_the_page_is_whole_and_readable(
    tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    command = ["simulate", "--text", "--scenario=elderly", f"--home={tmp_path}", "--at-least=0"]
    command.append(f"--report={tmp_path}/report")
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 0, result.output
    address = f"file://{tmp_path}/report"
    async with chromium() as browser, tab(browser, address, size, scheme) as page:  # type: ignore[arg-type]
        await page.goto(f"{address}/report.html")
        assert await page.locator("summary").count() > 10
        await page.locator("summary").first.click()
        assert await violations(page) == []
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size[0]
        if folder := os.environ.get("VOICEFLEET_ARTEFACTS"):
            name = f"simulation-{size[0]}-{scheme}.png"
            await page.screenshot(path=Path(folder) / name, full_page=True)
