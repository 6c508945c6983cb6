"""The sandbox's page with modals, App Home and message menus in a real browser, against a bot of the SDK's own."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Locator, async_playwright, expect
from playwright.async_api import Page as BrowserPage
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.launcher import Sandbox
from bot.sandbox.page import Page
from bot.sandbox.play import Play
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN
from bot.sandbox.slack.model import BOT_USER
from bot.sandbox.story import load_stories
from tests.needed import fail_or_skip
from tests.sandbox.test_slack_views import Bot, entry, modal, option, text

WAIT_MS = 30_000  # no wait here is one for nothing: the machine may stand still
expect.set_options(timeout=WAIT_MS)
SEVERITIES = [option("p1"), option("p2")]
FORM = modal(
    entry("title", "plain_text_input", initial_value="Slow answers"),
    entry("impact", "plain_text_input", multiline=True),
    entry("severity", "static_select", options=SEVERITIES, initial_option=option("p2")),
    entry("kind", "radio_buttons", options=SEVERITIES),
    entry("parts", "checkboxes", options=SEVERITIES, optional=True),
    entry("commander", "users_select", initial_user="U0COMMANDER"),
    entry("at", "datetimepicker", initial_date_time=1772359200),
)
BUTTON = {"type": "button", "action_id": "act", "text": text("Update"), "value": "i-1"}


@dataclass
class Open:
    page: BrowserPage
    sandbox: Sandbox
    bot: Bot
    url: str


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    chromium = shutil.which("chromium")
    if chromium is None:
        fail_or_skip("Chromium is needed: apt-get install chromium")
    sandbox = Sandbox(load_scenarios()["all is well"])
    await sandbox.start()
    client = AsyncWebClient(token=BOT_TOKEN, base_url=sandbox.urls["slack"] + "/api/", retry_handlers=[])

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T0SANDBOX", bot_token=BOT_TOKEN)

    bot = Bot(AsyncApp(client=client, authorize=authorize), client, view=FORM)
    bot.listen()
    handler = AsyncSocketModeHandler(bot.app, APP_TOKEN, web_client=client)
    await handler.connect_async()
    await sandbox.slack.wait_connected()
    url = await sandbox.serve(Page(Play(sandbox, load_stories())).application())
    async with async_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=quiet)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(url)
        yield Open(page, sandbox, bot, url)
        await browser.close()
    await handler.close_async()
    await sandbox.close()


async def shot(page: BrowserPage, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png")


async def narrow(page: BrowserPage) -> int:
    """How wide the page is where 390 pixels are there."""
    await page.set_viewport_size({"width": 390, "height": 800})
    return int(await page.evaluate("document.documentElement.scrollWidth"))


async def filled(page: BrowserPage, title: str) -> Locator:
    """The form, opened by a command and filled in."""
    await page.get_by_label("Message").fill("/mistral open")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Declare")
    await dialog.get_by_label("title").fill(title)
    await dialog.get_by_label("severity").select_option("p1")
    await dialog.get_by_role("checkbox", name="P1").check()
    return dialog


async def test_a_modal_is_filled_in_corrected_and_submitted_by_keyboard(opened: Open) -> None:
    page, bot = opened.page, opened.bot
    await page.get_by_label("Message").fill("/mistral open")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Declare")
    await expect(dialog.get_by_label("title")).to_be_focused()
    await dialog.get_by_label("title").fill("Nothing works: <b>\u202e5</b>")
    await dialog.get_by_label("impact").fill("one\ntwo")
    await dialog.get_by_label("severity").select_option("p1")
    await dialog.get_by_role("radio", name="P2").check()
    await dialog.get_by_role("checkbox", name="P1").check()
    bot.answers = [{"response_action": "errors", "errors": {"impact": "Say who is hit."}}]
    await dialog.get_by_role("button", name="Declare").click()
    await expect(dialog.get_by_text("Say who is hit.")).to_be_visible()
    await expect(dialog.get_by_label("impact")).to_be_focused()
    await shot(page, "modal")
    await page.emulate_media(color_scheme="dark")
    assert await narrow(page) <= 390
    await shot(page, "modal-dark-390")
    await dialog.get_by_role("button", name="Declare").click()
    await expect(dialog).to_be_hidden()
    held = {block: actions["a"] for block, actions in bot.submitted[-1]["view"]["state"]["values"].items()}
    assert held["title"]["value"] == "Nothing works: <b>\u202e5</b>"
    assert held["impact"]["value"] == "one\ntwo"
    chosen = {block: held[block]["selected_option"]["value"] for block in ("severity", "kind")}
    assert chosen == {"severity": "p1", "kind": "p2"}
    assert [one["value"] for one in held["parts"]["selected_options"]] == ["p1"]
    assert held["commander"]["selected_user"] == "U0COMMANDER"
    assert held["at"]["selected_date_time"] == 1772359200


async def test_what_is_typed_stays_while_the_bot_updates_the_form(opened: Open) -> None:
    page, slack = opened.page, opened.sandbox.slack.workspace
    dialog = await filled(page, "Typed by hand")
    view = slack.views["U0REQUESTER"]
    said = {"type": "section", "block_id": "news", "text": {"type": "mrkdwn", "text": "Something is new"}}
    body = {**FORM, "blocks": [said, *FORM["blocks"]]}
    await opened.bot.client.views_update(view_id=view.id, view=body)
    await expect(dialog.get_by_text("Something is new")).to_be_visible()
    await expect(dialog.get_by_label("title")).to_have_value("Typed by hand")
    await expect(dialog.get_by_label("severity")).to_have_value("p1")
    await expect(dialog.get_by_role("checkbox", name="P1")).to_be_checked()


async def test_escape_and_cancel_close_a_modal_and_what_is_required_is_not_sent(opened: Open) -> None:
    page, slack = opened.page, opened.sandbox.slack.workspace
    for leave in ("Escape", "Cancel"):
        await page.get_by_label("Message").fill("/mistral open")
        await page.get_by_role("button", name="Send").click()
        dialog = page.get_by_role("dialog", name="Declare")
        await dialog.get_by_role("button", name="Declare").click()
        await expect(dialog).to_be_visible()
        if leave == "Escape":
            await page.keyboard.press("Escape")
        else:
            await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        assert slack.views == {}
    assert opened.bot.submitted == []


async def test_a_double_click_closes_a_modal_once_and_says_nothing(opened: Open) -> None:
    page = opened.page
    await page.get_by_label("Message").fill("/mistral open")
    await page.get_by_role("button", name="Send").click()
    cancel = page.get_by_role("dialog", name="Declare").get_by_role("button", name="Cancel")
    await cancel.wait_for()
    answers: list[int] = []
    page.on("response", lambda one: answers.append(one.status) if one.url.endswith("/close") else None)
    async with page.expect_event("response", lambda _: len(answers) == 2):
        await cancel.evaluate("button => { button.click(); button.click(); }")
    assert answers == [200, 200]
    await expect(cancel).to_be_hidden()


async def test_a_preview_covers_the_form_and_back_shows_what_was_typed(opened: Open) -> None:
    page, bot = opened.page, opened.bot
    preview = modal({"type": "section", "text": text("so it looks")}, title=text("Preview"), close=text("Back"))
    bot.answers = [{"response_action": "push", "view": preview}, {"response_action": "clear"}]
    bot.view = modal(
        entry("title", "plain_text_input", initial_value="Slow answers"),
        entry("severity", "static_select", options=SEVERITIES, initial_option=SEVERITIES[1]),
        entry("parts", "checkboxes", options=SEVERITIES, optional=True),
    )
    dialog = await filled(page, "Nothing works")
    await dialog.get_by_role("button", name="Declare").click()
    above = page.get_by_role("dialog", name="Preview")
    await expect(above.get_by_text("so it looks")).to_be_visible()
    await shot(page, "preview")
    await above.get_by_role("button", name="Back").click()
    await expect(dialog.get_by_label("title")).to_have_value("Nothing works")
    await expect(dialog.get_by_label("severity")).to_have_value("p1")
    await expect(dialog.get_by_role("checkbox", name="P1")).to_be_checked()
    await dialog.get_by_role("button", name="Declare").click()
    await expect(dialog).to_be_hidden()
    assert opened.sandbox.slack.workspace.views == {}


async def test_a_button_stays_where_it_is_while_it_is_pressed(opened: Open) -> None:
    page, bot = opened.page, opened.bot
    actions = {"type": "actions", "elements": [BUTTON]}
    await bot.client.chat_postMessage(channel="C0INCIDENTS", text="card", blocks=[actions])
    await page.get_by_role("button", name="Update").hover()
    await page.mouse.down()
    await bot.client.chat_postMessage(channel="C0INCIDENTS", text="something else")
    await page.wait_for_function("later.has('place')", timeout=WAIT_MS)
    async with page.expect_response(re.compile(r"/use$"), timeout=WAIT_MS):
        await page.mouse.up()
    await expect(page.get_by_text("something else")).to_be_visible()
    assert [one["actions"][0]["value"] for one in bot.seen] == ["i-1"]


async def test_a_new_channel_appears_and_its_card_is_pinned_clicked_and_noted(opened: Open) -> None:
    page, bot, slack = opened.page, opened.bot, opened.sandbox.slack.workspace
    seen: list[dict[str, Any]] = bot.seen
    came = asyncio.Event()

    async def noted(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        seen.append(body)
        came.set()

    bot.app.shortcut("add_to_timeline")(noted)
    bot.app.event("reaction_added")(noted)
    made = (await bot.client.conversations_create(name="inc-1-slow-answers"))["channel"]["id"]
    await bot.client.conversations_invite(channel=made, users="U0REQUESTER")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": text("P1 Slow answers")},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": f"*{name}*\nvalue"} for name in ("Status", "Next")]},
        {"type": "actions", "elements": [BUTTON]},
    ]
    card = await bot.client.chat_postMessage(channel=made, text="card", blocks=blocks)
    await bot.client.pins_add(channel=made, timestamp=card["ts"])
    await page.get_by_role("link", name="#inc-1-slow-answers").click()
    article = page.get_by_role("article")
    await expect(article.get_by_text("pinned")).to_be_visible()
    await article.get_by_role("button", name="Update").click()
    for item in ("Add to the timeline", "React with"):
        came.clear()
        await article.locator("summary").click()
        await shot(page, "menu")
        await article.get_by_role("button", name=item).click()
        await asyncio.wait_for(came.wait(), WAIT_MS / 1000)
    clicked, shortcut, reaction = seen
    assert (clicked["actions"][0]["value"], clicked["channel"]["id"]) == ("i-1", made)
    assert (shortcut["callback_id"], shortcut["message_ts"]) == ("add_to_timeline", card["ts"])
    assert reaction["event"]["item"]["ts"] == card["ts"]
    assert slack.channels[made].members == {BOT_USER, "U0REQUESTER"}
    assert await narrow(page) <= 390
    await shot(page, "channel-390")


async def test_you_may_be_somebody_else_and_see_their_home_and_not_what_others_are_told(opened: Open) -> None:
    page, bot = opened.page, opened.bot
    menu = {"type": "static_select", "action_id": "act", "options": SEVERITIES, "placeholder": text("Severity")}
    await bot.client.chat_postEphemeral(channel="C0INCIDENTS", user="U0REQUESTER", text="for Robin alone")
    home = {
        "type": "home",
        "blocks": [{"type": "actions", "elements": [BUTTON]}, {"type": "actions", "elements": [menu]}],
    }
    await bot.client.views_publish(user_id="U0GUEST", view=home)
    await expect(page.get_by_text("for Robin alone")).to_be_visible()
    await page.get_by_label("You are").select_option("U0GUEST")
    await expect(page).to_have_url(re.compile("user=U0GUEST"))
    await expect(page.get_by_text("Nothing has been said yet.")).to_be_visible()
    await page.get_by_role("link", name="App Home").click()
    async with page.expect_response("**/use"):
        await page.get_by_role("button", name="Update").click()
    async with page.expect_response("**/use"):
        await page.get_by_label("Severity").select_option("p2")
    await shot(page, "home")
    assert {body["user"]["id"] if "user" in body else body["event"]["user"] for body in bot.seen} == {"U0GUEST"}
    assert [body["actions"][0]["type"] for body in bot.seen if "actions" in body] == ["button", "static_select"]
