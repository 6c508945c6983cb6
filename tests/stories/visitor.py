"""Somebody at the sandbox's page: a real browser, the sandbox as its own process, nothing known but what is shown."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, ViewportSize, async_playwright, expect

from tests.needed import fail_or_skip

# Long for a page on loopback: three browsers and as many bots may share two cores.
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)
ROBIN, ADA = "Robin, on call", "Ada, may approve"
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")
_WIDE, _NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=800)
# what Slack's markup looks like where nobody has made HTML of it
_RAW = re.compile(
    r"<[@#!]|\{date|&(?:lt|gt|amp);|(?<![\w:]):[a-z][a-z_]+:(?!\w)|(?<![\w*])\*[^*\s][^*\n]*\*(?![\w*])|```"
)
_TABS = ("side", "main", "world")


class Visitor:
    """``steps`` counts what was looked at; with SCREENSHOTS=FOLDER each is kept there, in four forms."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self._name, self.steps = page, name, 0
        self.modal = page.locator("#modal")
        self.channel = page.locator("#channel")
        self.watch = page.locator("#watch")
        self.clicked: set[str] = set()

    async def choose(self, story: str) -> None:
        # until it has begun, for which the bot may start anew
        async with self.page.expect_response(re.compile(r"/story$"), timeout=WAIT_MS):
            await self.page.get_by_label("What happens").select_option(story)

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.page.locator("#say button").click()

    async def be(self, who: str) -> None:
        user = await self.page.locator("#user option").filter(has_text=who).get_attribute("value")
        assert user is not None
        await self.page.get_by_label("You are").select_option(user)
        await expect(self.page.locator("body")).to_have_attribute("data-user", user)  # another page

    async def go(self, place: str) -> None:
        await self.page.locator("#side").get_by_role("link", name=re.compile(f"^{re.escape(place)}")).click()
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(place)

    async def press(self, name: str, *, sure: bool = False, within: Locator | None = None) -> None:
        """The newest button of the channel called so; ``sure``: it asks first."""
        button = (within or self.channel).get_by_role("button", name=name, exact=True).last
        await expect(button).to_be_visible()
        self.clicked.add(await button.get_attribute("data-action") or name)
        await button.click()
        if sure:
            await self.page.locator("#confirm-yes").click()

    async def send(self, submit: str, **fields: str) -> None:
        """Fills in the form that opens, by its labels' first words, and submits it."""
        await expect(self.modal.locator("form")).to_be_visible()
        for label, value in fields.items():
            field = self.modal.get_by_label(re.compile(f"^{label.replace('_', ' ')}")).first
            if await field.evaluate("element => element.tagName") == "SELECT":
                await field.select_option(label=value)
            else:
                await field.fill(value)
        await self.modal.get_by_role("button", name=submit, exact=True).click()

    async def closed(self) -> None:
        """The form has been taken; what it says against it is told."""
        problem = self.modal.locator("#modal-problem")
        gone = self.page.locator("#modal:not([open]), #modal-problem:not(:empty)").first
        await gone.wait_for(state="attached", timeout=WAIT_MS)
        assert await problem.count() == 0 or await problem.inner_text() == "", await problem.inner_text()
        await expect(self.modal).not_to_be_visible()

    async def move(self, name: str) -> None:
        """The clock, and waits until it has arrived."""
        async with self.page.expect_response(re.compile(r"/move$"), timeout=WAIT_MS):
            await self.page.locator("#clock").get_by_role("button", name=name, exact=True).click()

    async def sees(self, text: str | re.Pattern[str], within: Locator | None = None) -> None:
        await expect((within or self.channel).get_by_text(text).last).to_be_visible()

    async def look(self, what: str, *, closely: bool = False) -> None:
        """What is there fits, wide and narrow, light and dark, and shows no markup; ``closely``: axe looks as well."""
        self.steps += 1
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme)
            if closely:
                found = (await Axe().run(self.page)).response["violations"]
                grave = [one for one in found if one["impact"] in ("serious", "critical")]
                assert not grave, [(one["id"], [node["html"] for node in one["nodes"]]) for one in grave]
            await self._fits(f"{self.steps:02d}-{what}-{scheme}-wide")
        await self.page.set_viewport_size(_NARROW)
        tabs = ("main",) if await self.page.locator("dialog[open]").count() else _TABS
        for tab in tabs:
            if tab != "main" or len(tabs) > 1:
                await self.page.locator(f"#tabs [data-tab={tab}]").click()
            await self._fits(f"{self.steps:02d}-{what}-dark-narrow-{tab}")
        if len(tabs) > 1:
            await self.page.locator("#tabs [data-tab=main]").click()
        await self.page.emulate_media(color_scheme="light")
        await self._fits(f"{self.steps:02d}-{what}-light-narrow")
        await self.page.set_viewport_size(_WIDE)

    async def _fits(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            held = Path(folder) / self._name
            held.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=held / f"{name}.png")
        too_wide = await self.page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll("#channel, #side, #world, dialog[open]")]
                .filter(part => part.clientWidth && part.scrollWidth > part.clientWidth + 1).map(part => part.id)"""
        )
        assert too_wide == [], f"{name}: wider than there is room"
        shown = await self.page.evaluate("document.body.innerText")
        assert not _RAW.search(shown), f"{name}: raw markup: {_RAW.search(shown)}"

    async def button_actions(self) -> dict[str, Locator]:
        """The newest button of each action in the channel."""
        buttons = await self.channel.locator("button[data-action]").all()
        return {str(await one.get_attribute("data-action")): one for one in buttons if await one.is_visible()}

    async def press_what_is_left(self) -> None:
        """Every button that was not used yet does something: a form opens, a question is asked, an answer comes."""
        for action in sorted(await self.button_actions()):
            held = (await self.button_actions()).get(action)
            if action in self.clicked or held is None:
                continue
            before = await self.channel.inner_html()
            await held.click()
            for _ in range(100):
                if await self.page.locator("dialog[open]").count() or await self.channel.inner_html() != before:
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(f"the button {action} does nothing")
            await self._put_away()

    async def _put_away(self) -> None:
        """Closes what has opened, and what opens a moment later where something else was in the channel first."""
        opened, quiet = self.page.locator("dialog[open]"), 0
        while quiet < 10:
            quiet += 1
            if await opened.count():
                await opened.locator("#confirm-no, #modal-close").click()
                await expect(opened).to_have_count(0)  # the page is told by the bot's Slack when to close it
                quiet = 0
            await asyncio.sleep(0.1)


@asynccontextmanager
async def visiting(name: str, *arguments: str) -> AsyncIterator[Visitor]:
    """Opens the page of a sandbox that was just started, as people start it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        fail_or_skip("Chromium is needed: apt-get install chromium")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "sandbox", *arguments), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=list(_QUIET))
            page = await browser.new_page(viewport=_WIDE)
            page.context.set_default_timeout(WAIT_MS)
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            await page.goto(url)
            yield Visitor(page, name)
            assert faults == []
            await browser.close()
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
