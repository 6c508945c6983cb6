"""How the sandbox's Slack brings what people do to a bot: Socket Mode with the SDK's client, and signed HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.scenario import Expect, Scenario
from bot.sandbox.slack import APP_TOKEN, SIGNING_SECRET, Message, SlackServer
from bot.sandbox.slack.delivery import signed
from bot.sandbox.world import World
from tests.clusters import serve
from tests.fakes import unhurried

CARD = Message(
    channel="C0INCIDENTS",
    ts="1.000001",
    user="U0SANDBOXBOT",
    text="card",
    blocks=[
        {
            "type": "actions",
            "block_id": "b",
            "elements": [
                {"type": "button", "action_id": "run", "value": "7", "text": {"type": "plain_text", "text": "Run"}}
            ],
        }
    ],
)


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    """A Slack that waits 30 s for an acknowledgement instead of 3: a machine may stand still meanwhile."""
    server = SlackServer(World(scenario=Scenario(name="one", expect=Expect(cause="", severity=""))))
    server.ack_s = 30
    async with serve(server.application()) as url:
        server.workspace.base_url = url
        yield server


@dataclass
class Listener:
    """A bot that acknowledges all but the first ``ignores`` envelopes."""

    ignores: int = 0
    came: list[SocketModeRequest] = field(default_factory=list)

    async def __call__(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        self.came.append(request)
        if len(self.came) > self.ignores:
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))


@asynccontextmanager
async def connected(slack: SlackServer, listener: Listener) -> AsyncIterator[SocketModeClient]:
    web_client = AsyncWebClient(base_url=f"{slack.workspace.base_url}/api/")
    client = SocketModeClient(app_token=APP_TOKEN, web_client=web_client)
    client.socket_mode_request_listeners.append(listener)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()
        await client.close()


async def command(slack: SlackServer) -> float:
    return await slack.workspace.command("triage", user="U0APPROVER")


async def click(slack: SlackServer) -> float:
    return await slack.workspace.click(CARD, "run")


async def mention(slack: SlackServer) -> float:
    return await slack.workspace.say("<@U0SANDBOXBOT> help")


Doing = Callable[[SlackServer], Awaitable[float]]
KINDS = [(command, "slash_commands"), (click, "interactive"), (mention, "events_api")]


@pytest.mark.parametrize(
    ("doing", "kind", "told"),
    [
        (command, "slash_commands", {"command": "/mistral", "text": "triage", "user_id": "U0APPROVER"}),
        (click, "interactive", {"type": "block_actions"}),
        (mention, "events_api", {"type": "app_mention", "text": "<@U0SANDBOXBOT> help", "channel": "C0INCIDENTS"}),
    ],
)
async def test_what_people_do_comes_in_an_envelope_of_its_kind(
    slack: SlackServer, doing: Doing, kind: str, told: dict[str, str]
) -> None:
    listener = Listener()
    async with connected(slack, listener):
        await slack.wait_connected()
        assert 0 <= await doing(slack) < slack.ack_s
    (request,) = listener.came
    assert (request.type, request.retry_attempt, request.payload["api_app_id"]) == (kind, None, "A0SANDBOX")
    assert told.items() <= {**request.payload, **request.payload.get("event", {})}.items()


async def test_an_envelope_that_is_not_acknowledged_comes_again_and_says_so(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)
    slack.ack_s = 0.5
    listener = Listener(ignores=1)
    async with connected(slack, listener):
        await slack.wait_connected()
        seconds = await mention(slack)
    first, second = listener.came
    assert seconds >= slack.ack_s
    assert first.envelope_id == second.envelope_id
    assert (first.retry_attempt, second.retry_attempt, second.retry_reason) == (None, 1, "timeout")
    assert first.payload == second.payload


async def test_connections_are_replaced_after_a_warning_and_nothing_is_lost(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch)  # the bot is to connect anew between the warning and the end
    slack.ack_s = 0.5  # the SDK drops what comes over the old connection once it has the new one
    listener, commands = Listener(), 0
    async with connected(slack, listener):
        await slack.wait_connected()
        refreshing = asyncio.create_task(slack.refresh(0.7))
        while not refreshing.done():
            await slack.wait_connected()
            await command(slack)
            commands += 1
            await asyncio.sleep(0.02)
        await refreshing
        await slack.wait_connected()
        await command(slack)
    assert len({request.envelope_id for request in listener.came}) == len(listener.came) == commands + 1


async def test_after_three_deliveries_slack_gives_up(slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    slack.ack_s = 0.5
    listener = Listener(ignores=9)
    async with connected(slack, listener):
        await slack.wait_connected()
        with pytest.raises(TimeoutError, match="events_api was not acknowledged"):
            await mention(slack)
    assert [request.retry_attempt for request in listener.came] == [None, 1, 2]


async def test_while_no_bot_is_connected_nothing_is_delivered(slack: SlackServer) -> None:
    for doing, _ in KINDS:
        with pytest.raises(LookupError, match="the bot is not connected"):
            await doing(slack)
    async with connected(slack, Listener()):
        await slack.wait_connected()
    await slack.workspace.wait_for(lambda: not slack.connected, 30)
    with pytest.raises(LookupError, match="the bot is not connected"):
        await command(slack)


async def test_what_is_said_where_the_bot_is_not_does_not_reach_it(slack: SlackServer) -> None:
    listener = Listener()
    async with connected(slack, listener):
        await slack.wait_connected()
        slack.workspace.expel_bot("C0INCIDENTS")
        assert await mention(slack) == 0.0
        await command(slack)
    assert [request.type for request in listener.came] == ["slash_commands"]


async def test_a_button_that_is_not_on_the_message_cannot_be_clicked(slack: SlackServer) -> None:
    with pytest.raises(LookupError, match="there is no button other"):
        await slack.workspace.click(CARD, "other")


@dataclass
class Endpoint:
    """A bot in HTTP mode that checks signatures as Slack's SDK does."""

    status: int = 200
    hang: bool = False
    came: list[tuple[dict[str, str], str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.came.append((dict(request.headers), body))
        if self.hang:
            await asyncio.Event().wait()
        right = SignatureVerifier(SIGNING_SECRET).is_valid_request(body, dict(request.headers))
        return web.Response(status=self.status if right else 401)


@asynccontextmanager
async def listening(slack: SlackServer, endpoint: Endpoint) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/slack/events", endpoint.answer)
    async with serve(app) as url:
        slack.request_url = f"{url}/slack/events"
        yield


@pytest.mark.parametrize(("doing", "kind"), KINDS)
async def test_over_http_each_request_is_signed_and_in_its_form(slack: SlackServer, doing: Doing, kind: str) -> None:
    endpoint = Endpoint()
    async with listening(slack, endpoint):
        assert slack.connected
        assert 0 <= await doing(slack) < slack.ack_s
    ((headers, body),) = endpoint.came
    assert "X-Slack-Retry-Num" not in headers
    form = headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert form is (kind != "events_api")
    if kind == "slash_commands":
        assert parse_qs(body)["text"] == ["triage"]
    elif kind == "interactive":
        assert json.loads(parse_qs(body)["payload"][0])["actions"][0]["value"] == "7"
    else:
        assert json.loads(body)["event"]["type"] == "app_mention"


async def test_a_bot_that_answers_an_error_or_nothing_has_not_acknowledged(slack: SlackServer) -> None:
    async with listening(slack, Endpoint(status=500)):
        with pytest.raises(LookupError, match="the bot answered 500"):
            await command(slack)
    slack.ack_s = 0.1
    async with listening(slack, Endpoint(hang=True)):
        with pytest.raises(TimeoutError):
            await command(slack)


async def test_a_delivery_can_be_repeated_as_slack_repeats_it(slack: SlackServer) -> None:
    endpoint = Endpoint()
    async with listening(slack, endpoint):
        await mention(slack)
        await slack.workspace.redeliver_last(2)
    (first, body), (second, again) = endpoint.came
    assert body == again
    assert "X-Slack-Retry-Num" not in first
    assert (second["X-Slack-Retry-Num"], second["X-Slack-Retry-Reason"]) == ("2", "http_timeout")


@pytest.mark.parametrize(
    ("headers", "valid"),
    [
        # signed when the test runs: a signature is stale after five minutes
        (lambda: signed("body=1"), True),
        (lambda: signed("body=2"), False),
        (lambda: signed("body=1", secret="another"), False),
        (lambda: signed("body=1", at=1.0), False),
        (dict, False),
    ],
    ids=["signed", "another body", "another secret", "stale", "unsigned"],
)
def test_forged_stale_and_unsigned_requests_can_be_made(headers: Callable[[], dict[str, str]], valid: bool) -> None:
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request("body=1", headers()) is valid
