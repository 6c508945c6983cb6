"""What goes wrong at Slack's side in the sandbox: answers refused, late and lost, outages, rates and retries."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.scenario import Expect, Scenario
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, Message, SlackServer
from bot.sandbox.slack.faults import CUT, HANG, LOST, PASS, Fault, Pace, rate_limited, refused, server_error
from bot.sandbox.slack.methods import METHODS
from bot.sandbox.world import World
from tests.clusters import serve

HERE = "C0INCIDENTS"
BUTTON = {"type": "button", "action_id": "act", "text": {"type": "plain_text", "text": "Go"}, "value": "1"}
CARD: list[dict[str, Any]] = [{"type": "actions", "block_id": "b", "elements": [BUTTON]}]


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    server = SlackServer(World(scenario=Scenario(name="one", expect=Expect(cause="", severity=""))))
    server.ack_s = 60  # a bot that is slow is not told twice
    async with serve(server.application()) as url:
        server.workspace.base_url = url
        yield server


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    base_url = f"{slack.workspace.base_url}/api/"
    return AsyncWebClient(token=BOT_TOKEN, base_url=base_url, retry_handlers=[], timeout=30)


def texts(slack: SlackServer) -> list[str]:
    return [message.text for message in slack.workspace.messages]


@pytest.mark.parametrize(
    ("fault", "status", "error", "headers"),
    [
        (rate_limited(7), 429, "ratelimited", {"Retry-After": "7"}),
        (server_error(), 500, "internal_error", {}),
        (server_error(503), 503, "internal_error", {}),
        (refused("is_archived"), 200, "is_archived", {}),
    ],
)
async def test_one_call_is_refused_and_the_next_is_not(
    slack: SlackServer, client: AsyncWebClient, fault: Fault, status: int, error: str, headers: dict[str, str]
) -> None:
    slack.faults.add("chat.postMessage", fault)
    with pytest.raises(SlackApiError) as told:
        await client.chat_postMessage(channel=HERE, text="one")
    said = told.value.response
    assert (said.status_code, said["error"]) == (status, error)
    assert headers.items() <= dict(said.headers).items()
    await client.chat_postMessage(channel=HERE, text="two")
    assert texts(slack) == ["two"]


async def test_a_lost_answer_is_of_a_message_that_was_posted_and_a_cut_call_of_one_that_was_not(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    slack.faults.add("chat.postMessage", PASS, LOST, CUT)
    await client.chat_postMessage(channel=HERE, text="answered")
    for text in ("lost", "cut"):
        with pytest.raises(aiohttp.ClientError):
            await client.chat_postMessage(channel=HERE, text=text)
    assert texts(slack) == ["answered", "lost"]
    assert slack.faults.left("chat.postMessage") == 0


async def test_a_call_that_hangs_ends_with_the_clients_patience(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.faults.add("chat.postMessage", HANG)
    client.timeout = 1
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel=HERE, text="never")
    assert time.monotonic() - began >= 1
    assert texts(slack) == []


async def test_a_response_url_fails_on_demand_too(slack: SlackServer) -> None:
    url = slack.workspace._response_url(HERE, "U0REQUESTER")
    slack.faults.add("response_url", server_error(), LOST)
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"text": "one"}) as response:
            assert response.status == 500
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, json={"text": "two"})
    assert texts(slack) == ["two"]


class Bot:
    """Bolt in Socket Mode, or a listener of the SDK's own client, that keeps what came."""

    def __init__(self) -> None:
        self.came: list[SocketModeRequest] = []
        self.silent = False
        self.asked = asyncio.Event()

    async def __call__(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        self.came.append(request)
        self.asked.set()
        if not self.silent:
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))


@asynccontextmanager
async def connected(slack: SlackServer, bot: Bot) -> AsyncIterator[SocketModeClient]:
    web_client = AsyncWebClient(base_url=f"{slack.workspace.base_url}/api/")
    client = SocketModeClient(app_token=APP_TOKEN, web_client=web_client)
    client.socket_mode_request_listeners.append(bot)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()
        await client.close()


async def test_an_outage_cuts_everything_and_the_bot_comes_back_after_it(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T0SANDBOX", bot_token=BOT_TOKEN)

    app, seen = AsyncApp(client=client, authorize=authorize), asyncio.Event()

    @app.command("/mistral")
    async def command(ack: Any) -> None:
        await ack()
        seen.set()

    # it looks so often whether it is connected, and takes four times as long without a pong for a lost connection
    handler = AsyncSocketModeHandler(app, APP_TOKEN, web_client=client, ping_interval=3)
    await handler.connect_async()
    try:
        await slack.wait_connected(60)
        slack.down = True
        await slack.workspace.wait_for(lambda: not slack.connected, 60)
        with pytest.raises(aiohttp.ClientError):
            await client.auth_test()
        with pytest.raises(LookupError, match="Slack is down"):
            await slack.workspace.command("help")
        slack.down = False
        assert (await client.auth_test())["ok"]
        await slack.wait_connected(60)
        await slack.workspace.command("help")
        assert seen.is_set()
    finally:
        await handler.close_async()


async def test_with_several_connections_each_gets_some(slack: SlackServer) -> None:
    bots = [Bot(), Bot(), Bot()]
    async with connected(slack, bots[0]), connected(slack, bots[1]), connected(slack, bots[2]):
        await slack.wait_connected(60, connections=3)
        slack.spread(seed=1)
        for _ in range(20):
            await slack.workspace.command("help")
    assert sum(len(bot.came) for bot in bots) == 20
    assert all(bot.came for bot in bots)


async def test_what_a_dying_bot_did_not_acknowledge_goes_to_another_at_once(slack: SlackServer) -> None:
    living, dying = Bot(), Bot()
    dying.silent = True
    async with connected(slack, living):
        await slack.wait_connected(60, connections=1)
        async with connected(slack, dying):
            await slack.wait_connected(60, connections=2)
            command = asyncio.create_task(slack.workspace.command("help"))
            await dying.asked.wait()
        assert await command < slack.ack_s
    assert [request.retry_attempt for request in living.came] == [1]


async def test_the_last_delivery_comes_once_more_with_slacks_marks(slack: SlackServer) -> None:
    bot = Bot()
    async with connected(slack, bot):
        await slack.wait_connected(60)
        message = slack.workspace.add(Message(HERE, "1.0", "U0SANDBOXBOT", "card", CARD))
        await slack.workspace.react(message, "pushpin", user="U0APPROVER")
        await slack.workspace.redeliver_last()
    first, again = bot.came
    assert (again.retry_attempt, again.payload) == (1, first.payload)
    assert first.payload["event"]["item"] == {"type": "message", "channel": HERE, "ts": "1.0"}
    with pytest.raises(LookupError, match="reacted"):
        await slack.workspace.react(message, "pushpin", user="U0APPROVER")


async def test_over_http_the_marks_are_headers(slack: SlackServer) -> None:
    came: list[tuple[str | None, str | None]] = []

    async def take(request: web.Request) -> web.Response:
        came.append((request.headers.get("X-Slack-Retry-Num"), request.headers.get("X-Slack-Retry-Reason")))
        return web.json_response({"response_action": "clear"})

    app = web.Application()
    app.router.add_post("/slack/events", take)
    async with serve(app) as url:
        slack.request_url = f"{url}/slack/events"
        await slack.workspace.command("help")
        assert await slack.workspace.redeliver_last(2) == {"response_action": "clear"}
    assert came == [(None, None), ("2", "http_timeout")]
    with pytest.raises(LookupError, match="not connected"):
        await slack.workspace.command("help")


async def test_a_stale_card_and_a_shortcut_send_what_was_on_the_screen(slack: SlackServer) -> None:
    bot, workspace = Bot(), slack.workspace
    async with connected(slack, bot):
        await slack.wait_connected(60)
        message = workspace.add(Message(HERE, "1.0", "U0SANDBOXBOT", "card", CARD))
        stale = message.as_seen()
        message.blocks = []
        with pytest.raises(LookupError, match="no button"):
            await workspace.click(message, "act")
        await workspace.click(stale, "act")
        await workspace.shortcut("to_timeline", message, user="U0APPROVER")
    clicked, used = (request.payload for request in bot.came)
    assert clicked["message"]["blocks"] == CARD
    assert (used["type"], used["callback_id"], used["message"]["ts"]) == ("message_action", "to_timeline", "1.0")
    assert used["trigger_id"] in workspace.triggers
    async with aiohttp.ClientSession() as session:
        await session.post(clicked["response_url"], json={"text": "anew", "replace_original": True})
        assert (message.text, len(workspace.messages)) == ("anew", 1)
        await session.post(used["response_url"], json={"delete_original": True})
    assert workspace.messages == []


async def test_slacks_pace_is_held_a_channel_and_told_in_retry_after(
    slack: SlackServer, client: AsyncWebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_s = slack._paced.wait_s
    monkeypatch.setattr(slack._paced, "wait_s", lambda method, arguments, _: wait_s(method, arguments, 0.0))
    slack.pace = True
    for number in range(4):
        await client.chat_postMessage(channel=HERE, text=f"{number}")
    with pytest.raises(SlackApiError) as told:
        await client.chat_postMessage(channel=HERE, text="too soon")
    assert (told.value.response.status_code, told.value.response.headers["Retry-After"]) == (429, "1")
    await client.chat_postMessage(channel="C0GENERAL", text="elsewhere")
    assert texts(slack) == ["0", "1", "2", "3", "elsewhere"]


def test_the_paces_are_one_message_a_second_and_twenty_channels_a_minute() -> None:
    pace = Pace()
    taken = sum(not pace.wait_s("chat.postMessage", {"channel": HERE}, tenth / 10) for tenth in range(600))
    assert taken == 4 + 59
    assert sum(not pace.wait_s("conversations.create", {"name": f"{n}"}, 0.0) for n in range(100)) == 20
    assert pace.wait_s("conversations.create", {}, 0.0) == 3
    assert pace.wait_s("conversations.create", {}, 3.0) == 0
    assert pace.wait_s("api.test", {"channel": HERE}, 0.0) == 0


@pytest.mark.parametrize(
    ("method", "a_minute"), [("pins.add", 20), ("chat.update", 50), ("views.open", 100), ("users.info", 100)]
)
def test_each_method_has_the_pace_of_its_tier(method: str, a_minute: int) -> None:
    pace = Pace()
    assert sum(not pace.wait_s(method, {"channel": str(number)}, 0.0) for number in range(500)) == a_minute
    assert pace.wait_s(method, {}, 60 / a_minute) == 0


def test_only_what_slack_does_not_hold_back_has_no_pace() -> None:
    pace = Pace()
    free = {method for method in METHODS if all(pace.wait_s(method, {}, 0.0) == 0 for _ in range(500))}
    assert free == {"api.test", "auth.test", "chat.getPermalink"}
