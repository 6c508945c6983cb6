"""The public pages in a real Chromium: on a phone and a desktop, light and dark, with a screen reader's eyes."""

import itertools
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from bot.domain.publication import ComponentState, Impact, PublicStatus
from bot.settings import StatusPageSettings
from bot.store.sql import SqlStore
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from tests.databases import copy_of, store_at
from tests.fakes import NOW
from tests.needed import fail_or_skip
from tests.public import published

PAGE = StatusPageSettings(
    name="Acme Status",
    url="https://status.acme.example",
    links=(("Acme", "https://acme.example"), ("Get help", "https://acme.example/help")),
)
COMPONENTS = ("Chat", "Search", "Summaries", "A component with a name that is longer than a phone is wide, by far")
NOTHING_BREAKS = "unbreakable" * 14
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 360, "height": 740},
    "desktop": {"width": 1280, "height": 900},
    # as WCAG's reflow has it: 1280 at four times the size
    "enlarged": {"width": 320, "height": 256},
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def fill(store: SqlStore) -> None:
    """A history of some months, and two open incidents: a plain one, and one whose texts do their worst."""
    for number in range(8):
        at = NOW - timedelta(days=17 * number + 3)
        past = await published(store, title=f"Search was slow, the {number}th time", at=at)
        over = at + timedelta(minutes=40 + 7 * number)
        await published(store, text="It is over.", status=PublicStatus.RESOLVED, incident=past, at=over)
    chat = await published(store, title="Chat answers slowly", at=NOW - timedelta(hours=2))
    await published(
        store,
        title="Chat answers slowly",
        status=PublicStatus.IDENTIFIED,
        text="We know why answers are slow, and are changing it.\n\nWhat you have written is not lost.",
        workaround="Shorter questions are answered sooner.",
        components={
            "Chat": ComponentState.MAJOR,
            "Search": ComponentState.PARTIAL,
            COMPONENTS[3]: ComponentState.DEGRADED,
        },
        incident=chat,
        at=NOW - timedelta(hours=1),
    )
    await published(
        store,
        title=f"<b>{NOTHING_BREAKS}</b>"[:150],
        text=f"{NOTHING_BREAKS}\n<img src=x onerror=alert(1)>",
        components={"Summaries": ComponentState.MAINTENANCE},
        impact=Impact.NONE,
        at=NOW,
    )


@pytest.fixture
async def url(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    store = store_at(copy_of("SQLite", tmp_path, request))
    await fill(store)
    server = TestServer(application(Readiness(), None, None, StatusRoutes(store, PAGE, COMPONENTS, None)))
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()
    await store.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        fail_or_skip("Chromium is needed: apt-get install chromium")
    async with async_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
        held = await playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield held
        await held.close()


async def grave(page: Page) -> list[str]:
    """What axe finds that is serious or critical."""
    found = (await Axe().run(page)).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


async def opened(browser: Browser, path: str) -> Page:
    page = await browser.new_page(viewport=SIZES["phone"])
    await page.goto(path)
    return page


@pytest.mark.parametrize("name", ["front", "incident", "missing"])
async def test_a_page_fits_every_width_and_axe_finds_nothing_serious_in_light_and_dark(
    name: str, url: str, browser: Browser
) -> None:
    page = await opened(browser, f"{url}/status/incidents/0" if name == "missing" else f"{url}/status")
    if name == "incident":
        await page.get_by_role("link", name="Chat answers slowly").click()
    for (size, view), scheme in itertools.product(SIZES.items(), SCHEMES):
        await page.set_viewport_size(view)
        await page.emulate_media(color_scheme=scheme)
        if folder := os.environ.get("SCREENSHOTS"):
            await page.screenshot(path=f"{folder}/{name}-{size}-{scheme}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= view["width"], (size, scheme)
        assert await grave(page) == [], (size, scheme)


async def test_what_axe_is_to_find_it_finds(url: str, browser: Browser) -> None:
    page = await opened(browser, f"{url}/status")
    await page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/x.png\"><a href=\"#\"></a>')"
    )
    assert {one.partition(":")[0] for one in await grave(page)} >= {"image-alt", "link-name"}


async def test_the_page_works_with_no_javascript_a_keyboard_and_headings_in_order(url: str, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False, viewport=SIZES["phone"])
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.text} {message.location['url']}"))
    await page.goto(f"{url}/status")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    levels = [
        int((await one.evaluate("element => element.tagName"))[1]) for one in await page.locator("h1, h2, h3").all()
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    # by words, not by colour alone
    for word in ("Down", "Partly down", "Degraded", "Under maintenance"):
        assert await page.get_by_text(word, exact=True).count() >= 1, word
    assert await page.locator("time[datetime]").count() > 10
    assert await page.locator("img").count() == 0, "what people write is text"
    # such as that something is against the Content-Security-Policy; browsers ask for an icon by themselves
    assert [one for one in said if not one.endswith("/favicon.ico")] == []
    await context.close()
