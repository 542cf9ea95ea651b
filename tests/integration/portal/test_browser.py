"""The pages in a real browser, before a real API server, with an agency's clients and calls."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from support import agency
from support.agency import CAFE, DENTIST, PLUMBER
from support.browser import DESKTOP, PHONE, TABLET, chromium, spilled, tab, violations
from support.controlplane import ControlPlane
from support.portal import Portal, event, portal, record
from voicefleet_api.calls import BookedAppointment, CallRecord, Message, TranscriptTurn

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
CALL, FAILED = agency.booked(), agency.failed()
UNDER_WAY = str(uuid.uuid4())
PAGES = {
    "clients": "/",
    "client": f"/clients/{DENTIST}",
    "client not answering": f"/clients/{PLUMBER}",
    "client without calls": f"/clients/{CAFE}",
    "client deleted": "/clients/vc-gone",
    "nothing found": f"/clients/{DENTIST}?q=zebra",
    "call": f"/clients/{DENTIST}/calls/{CALL.call_id}",
    "call failed": f"/clients/{PLUMBER}/calls/{FAILED.call_id}",
    "call under way": f"/clients/{DENTIST}/calls/{UNDER_WAY}",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(
    browser: Browser, plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Portal]:
    """A portal with everything of `agency`, and a call under way."""
    kubeconfig = agency.declare(plane)
    async with portal(tmp_path_factory.mktemp("portal"), kubeconfig=kubeconfig) as running:
        for call in (CALL, FAILED, record("vc-gone"), *agency.day()):
            assert (await running.put(call)).status_code == 200
        for side in ("caller", "agent"):
            assert (await running.put_audio(CALL, side, agency.tone())).status_code == 200
        await running.tell(DENTIST, event(UNDER_WAY, 0, state="Greeting"))
        await running.tell(DENTIST, event(UNDER_WAY, 1, agency.LONG_WORD))
        yield running


@pytest.fixture
def address(shown: Portal) -> str:
    return f"http://127.0.0.1:{shown.port}"


async def test_from_the_clients_to_one_call(browser: Browser, address: str) -> None:
    async with tab(browser, address) as page:
        await page.goto("/")
        cards = page.locator("#clients + .cards .card")
        await expect(cards).to_have_count(4)
        await expect(cards.filter(has_text="Bright Smile Dental")).to_contain_text(
            re.compile(r"\+14152201000\s+Answering")
        )
        await expect(cards.filter(has_text="Plumbing")).to_contain_text(agency.WHY_NOT)
        await expect(cards.filter(has_text="vc-gone")).to_contain_text("Deleted")
        await cards.filter(has_text="Bright Smile Dental").click()
        await expect(page).to_have_title("Bright Smile Dental · voicefleet")
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(6)
        await expect(rows.first).to_contain_text("10:04 PST")
        await expect(page.get_by_text("kept for 365 days, their sound for 90 days")).to_be_visible()
        await page.get_by_label("Search calls").fill("ibuprofen")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(1)
        await rows.get_by_role("link").click()
        await expect(page).to_have_url(re.compile(CALL.call_id))


async def test_a_call_is_shown_whole_and_both_sides_are_heard(
    browser: Browser, address: str
) -> None:
    async with tab(browser, address) as page:
        await page.goto(PAGES["call"])
        said = page.locator(".turn .said")
        assert await said.all_text_contents() == [turn.text for turn in CALL.transcript]
        region = page.get_by_role("region")
        await expect(region.filter(has_text="Bookings")).to_contain_text(
            re.compile(
                r"Booked\s+check-up with cleaning for Maximiliane.*\s+Tue.3.Mar.2026,\s15:15.16:00"
            )
        )
        await expect(region.filter(has_text="Messages")).to_contain_text(
            re.compile(r"Urgent\s+Allergic to latex")
        )
        measured = region.filter(has_text="Time to answer")
        for stage in (r"End of turn\s*212 ms", "Language model\\s*\N{EN DASH}", r"In all\s*404 ms"):
            await expect(measured).to_contain_text(re.compile(stage))
        await expect(page.locator(".facts .tag")).to_have_text("Booked")
        await page.get_by_role("heading", level=1).click()  # unasked, no browser plays sound
        for side in ("Caller", "Agent"):
            player = page.get_by_label(side, exact=True)
            heard: float = await player.evaluate(
                """async (player) => {
                  await player.play();
                  while (player.currentTime < 0.2) await new Promise((go) => setTimeout(go, 20));
                  player.currentTime = 1.5;
                  await new Promise((go) => { player.onended = go; });
                  return player.duration;
                }"""
            )
            assert heard == pytest.approx(2, abs=0.01), side


async def test_a_call_that_failed_says_so(browser: Browser, address: str) -> None:
    async with tab(browser, address) as page:
        await page.goto(PAGES["call failed"])
        await expect(page.get_by_role("heading", level=1)).to_have_text("Number withheld")
        await expect(page.locator(".tag")).to_have_text("Failed")
        for words in ("broke off on our side", "Nothing was said.", "Sound is kept for 90 days"):
            await expect(page.get_by_text(words)).to_be_visible()
        await expect(page.get_by_text("Time to answer")).to_have_count(0)


async def test_a_call_under_way_appears_grows_and_becomes_its_record(
    browser: Browser, address: str, shown: Portal
) -> None:
    """Nothing is ever loaded anew by hand."""
    call = record(CAFE, caller="+431234567", outcome="Message")
    async with tab(browser, address) as page:
        await page.goto(PAGES["client without calls"])
        await expect(page.get_by_text("Nobody has called yet.")).to_be_visible()
        await shown.tell(CAFE, event(call.call_id, 0, state="Greeting"))
        await page.locator("section", has_text="Under way").get_by_role("link").click()
        said = page.locator(".turn .said")
        await expect(page.get_by_text("Greeting · 0:00")).to_be_visible()
        for sequence, words in enumerate(("Grüß Gott?", "A table for two"), 1):
            await shown.tell(CAFE, event(call.call_id, sequence, words))
            await expect(said).to_have_count(sequence)
            await expect(said.last).to_have_text(words)
        await shown.tell(CAFE, event(call.call_id, 3, state="Ended"))
        await expect(page.get_by_role("heading", name="The call is over")).to_be_visible()
        assert (await shown.put(call)).status_code == 200
        await expect(page.get_by_role("heading", name="+431234567")).to_be_visible()
        await expect(page.locator(".facts .tag")).to_have_text("Message")


def _hostile(words: str) -> CallRecord:
    """A call in which everything that can be words is those words."""
    call = record(
        DENTIST,
        caller=words,
        called=words,
        ended=words,
        transferred_to=words,
        slots={words: words},
        appointments=[
            BookedAppointment(
                uid=words, action="Booked", title=words, name=words,
                starts=CALL.started, ends=CALL.started,
            )
        ],
        messages=[Message(text=words, name=words, phone=words)],
    )  # fmt: skip
    call.transcript = [TranscriptTurn(speaker="Caller", text=words, at=1, state=words)]
    return call


@pytest.mark.parametrize(
    "words",
    [
        "<script>document.body.setAttribute('taken', 1)</script>",
        "\"'><img src=x onerror='document.body.setAttribute(`taken`, 1)'>",
        "<svg onload='document.body.setAttribute(`taken`, 1)'></svg><b>bold</b>",
        "</li><div taken hx-get='/' hx-trigger='load' hx-target='body'></div>",
        "{{ 7 * 7 }} ${document.body.setAttribute('taken', 1)} \u202e &lt;",
    ],
    ids=["script", "image", "svg", "htmx", "template"],
)
async def test_a_stranger_s_words_stay_words(
    browser: Browser, address: str, shown: Portal, words: str
) -> None:
    """The policy against scripts is taken away, so that only escaping is left to hold."""
    call, live = _hostile(words), str(uuid.uuid4())
    assert (await shown.put(call)).status_code == 200
    path = f"/clients/{DENTIST}"
    async with tab(browser, address, policy=False) as page:
        for place in ("/", path, f"{path}?q={quote(words)}", f"{path}/calls/{call.call_id}"):
            await page.goto(place)
            await _harmless(page)
        await page.goto(f"{path}/calls/{call.call_id}")
        assert await page.locator(".said").inner_text() == words
        for part in ("h1", ".facts", ".slots dt", ".slots dd", ".turn"):
            assert words[:12].lower() in (await page.locator(part).inner_text()).lower(), part
        for panel in ("Bookings", "Messages"):
            region = page.get_by_role("region", name=panel)
            assert words[:12] in await region.inner_text()
        happened = event(live, 0, words)
        happened.caller = words
        await shown.tell(DENTIST, happened)
        await page.goto(f"{path}/calls/{live}")
        await expect(page.locator(".said")).to_contain_text(words[:12])
        await _harmless(page)
        await page.goto("/")
        await expect(page.locator(f"#live-{live}")).to_contain_text(words[:12])
        await _harmless(page)
        await shown.tell(DENTIST, event(live, 1, state="Ended"))


async def _harmless(page: Page) -> None:
    await page.evaluate("new Promise((go) => setTimeout(go, 100))")  # for what would run
    made = "[taken], main :is(script, img, svg, b, [onload], [onerror], [hx-trigger=load])"
    assert await page.locator(made).count() == 0


async def test_without_a_mouse(browser: Browser, address: str) -> None:
    """Every stop is seen, and the list that is loaded anew does not take the focus away."""
    async with tab(browser, address) as page:
        await page.goto("/")
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to content")).to_be_in_viewport()
        stops: list[str] = []
        while (path := await _focused(page)) not in stops:
            stops.append(path)
            await page.keyboard.press("Tab")
        assert f"/clients/{CAFE}" in stops
        assert f"/clients/{DENTIST}/calls/{UNDER_WAY}" in stops
        await page.goto("/")
        while await _focused(page) != PAGES["call"]:
            await page.keyboard.press("Tab")
        async with page.expect_response(f"{address}/"):
            pass
        await asyncio.sleep(0.2)
        assert await _focused(page) == PAGES["call"]
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(CALL.call_id))
        while await page.evaluate("document.activeElement.tagName") != "AUDIO":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.wait_for_function("!document.activeElement.paused")


async def _focused(page: Page) -> str:
    """Where the focused link leads; "" before the first. Its outline must be there to be seen."""
    path, outline = await page.evaluate(
        """() => {
          const now = document.activeElement;
          const style = getComputedStyle(now);
          const line = style.outlineStyle + parseInt(style.outlineWidth);
          return [now.getAttribute("href") ?? "", line];
        }"""
    )
    assert path == "" or outline == "solid3", path
    return str(path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE], ids=["desktop", "tablet", "phone"])
async def test_everybody_can_use_every_page(
    browser: Browser, address: str, size: tuple[int, int], scheme: str
) -> None:
    """Names, landmarks, contrast (axe-core), and nothing wider than the window."""
    async with tab(browser, address, size, scheme) as page:
        grounds = set()
        for name, path in PAGES.items():
            await page.goto(path)
            await expect(page.locator("h1")).to_have_count(1)
            assert await violations(page) == [], name
            assert await spilled(page) == [], name
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert grounds == {"rgb(15, 17, 21)" if scheme == "dark" else "rgb(246, 247, 249)"}
