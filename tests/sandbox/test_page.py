"""The sandbox's page in a real browser: a newcomer types a triage, sees the card, and chooses another world."""

import os
import re
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page as BrowserPage
from playwright.async_api import async_playwright, expect

from bot.sandbox.page import Page
from bot.sandbox.run import playing
from bot.sandbox.shown import COMMANDS as OFFERED
from bot.sandbox.story import load_stories
from bot.slack.parse import COMMANDS
from tests.needed import fail_or_skip

STORIES = load_stories()


@pytest.fixture
async def browser_page() -> AsyncIterator[BrowserPage]:
    chromium = shutil.which("chromium")
    if chromium is None:
        fail_or_skip("Chromium is needed: apt-get install chromium")
    play = playing(STORIES["key revoked"], STORIES)
    sandbox = play.sandbox
    await sandbox.start()
    await play.tell("key revoked")
    await sandbox.start_bot()
    await sandbox.slack.wait_connected()
    url = await sandbox.serve(Page(play).application())
    async with async_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=quiet)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(url)
        yield page
        await browser.close()
    await sandbox.close()


async def test_a_newcomer_triages_and_chooses_another_world(browser_page: BrowserPage) -> None:
    page = browser_page
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("heading", name=re.compile("Mistral refuses the API key"))).to_be_visible(
        timeout=60_000
    )
    await expect(page.get_by_alt_text(re.compile(r"\.png$"))).to_be_visible(timeout=60_000)
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/page.png", full_page=True)
    await page.get_by_label("What happens").select_option("all is well")
    await expect(page.get_by_text("Nothing; a quiet day.")).to_be_visible(timeout=60_000)
    await page.get_by_label("Message").fill("help, mistral is down: <b>mistral down</b>")
    await page.get_by_role("button", name="Send").click()
    await page.get_by_role("button", name="Run a triage").click(timeout=60_000)
    await expect(page.get_by_role("heading", name="All is well")).to_be_visible(timeout=60_000)
    assert await page.locator("#channel b").count() == 0, "what people write is text"
    await page.set_viewport_size({"width": 390, "height": 800})
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390


def test_what_is_offered_to_type_are_commands_that_the_bot_knows() -> None:
    assert {one.split()[0] for one in OFFERED} <= set(COMMANDS)
