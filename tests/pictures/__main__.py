"""``python -m tests.pictures``: takes the README's pictures anew, from the sandbox's page in a real browser."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import expect

from tests.stories.test_journeys import declared, mitigated, published
from tests.stories.visitor import Visitor, visiting

FOLDER = Path(__file__).parent


async def _taken(visitor: Visitor, name: str) -> None:
    await visitor.page.screenshot(path=FOLDER / f"{name}.png", scale="css")


async def main() -> None:
    async with visiting("pictures") as visitor:
        await visitor.page.set_viewport_size({"width": 1280, "height": 820})
        await visitor.choose("rate limited")
        await visitor.say("/mistral triage")
        await expect(visitor.channel.get_by_role("button", name="Declare an incident")).to_be_visible()
        await expect(visitor.channel.locator("img")).to_be_visible()
        await _taken(visitor, "triage")
    async with visiting("pictures") as visitor:
        await declared(visitor, "rate limited", "rate_limited")
        await mitigated(visitor, "Rate limit queue")
        await visitor.page.set_viewport_size({"width": 1280, "height": 820})
        await visitor.channel.locator("article").last.scroll_into_view_if_needed()
        await _taken(visitor, "mitigation")
        await published(visitor)
        async with visitor.page.context.expect_page() as opened:
            await visitor.watch.get_by_role("link", name="Open it").click()
        page = await opened.value
        await page.set_viewport_size({"width": 900, "height": 560})
        await expect(page.get_by_text(re.compile("Monitoring")).first).to_be_visible()
        await page.screenshot(path=FOLDER / "status.png", scale="css")
        await page.close()


asyncio.run(main())
