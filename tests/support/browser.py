"""Debian's chromium, driven by Playwright; what a page asks of anybody else is written down."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Response, async_playwright

DESKTOP = (1280, 900)
TABLET = (768, 1024)
PHONE = (360, 740)
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running one; skips the test where the machine has none. Nothing is ever downloaded."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: make provision")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab(
    browser: Browser,
    address: str,
    size: tuple[int, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    policy: bool = True,
) -> AsyncIterator[Page]:
    """A page of its own; fails at the end if anything was wrong on it, or left `address`.

    Without `policy` the page's Content-Security-Policy does not count.
    """
    width, height = size
    context = await browser.new_context(
        base_url=address,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        bypass_csp=not policy,
    )
    wrong: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            wrong.append(f"{response.status}: {response.url}")

    page = await context.new_page()
    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("response", answered)
    page.on(
        "request",
        lambda request: request.url.startswith(f"{address}/") or wrong.append(request.url),
    )
    try:
        yield page
    finally:
        await context.close()
    assert wrong == []


async def violations(page: Page) -> Sequence[str]:
    """What axe-core finds against WCAG (A and AA) and good practice, one a line."""
    results = await Axe().run(page)
    return [
        f"{rule['id']}: {node['html']}" for rule in results.response["violations"]
        for node in rule["nodes"]
    ]  # fmt: skip


async def spilled(page: Page) -> Sequence[str]:
    """What reaches beyond the right margin of the page's content."""
    found: Sequence[str] = await page.evaluate(
        """() => {
          const main = document.querySelector("main");
          const edge = main.getBoundingClientRect().right
            - parseFloat(getComputedStyle(main).paddingRight);
          return [...main.querySelectorAll("*")]
            .filter((part) => part.getBoundingClientRect().right > edge + 1)
            .map((part) => part.outerHTML.slice(0, 80));
        }"""
    )
    return found
