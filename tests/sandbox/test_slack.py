"""The sandbox's Slack under the real SDK: methods, limits of blocks, 429s, files and response URLs."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.sandbox.scenario import Expect, Scenario
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, Message, SlackServer, Workspace
from bot.sandbox.slack.faults import rate_limited
from bot.sandbox.world import World
from tests.clusters import serve

CHANNEL = "C0INCIDENTS"
Block = dict[str, Any]


@dataclass
class Slack:
    server: SlackServer
    client: AsyncWebClient
    url: str

    @property
    def workspace(self) -> Workspace:
        return self.server.workspace

    def as_holder_of(self, token: str | None) -> AsyncWebClient:
        return AsyncWebClient(token=token, base_url=f"{self.url}/api/")


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    server = SlackServer(World(scenario=Scenario(name="one", expect=Expect(cause="", severity=""))))
    async with serve(server.application()) as url:
        server.workspace.base_url = url
        yield Slack(server, AsyncWebClient(token=BOT_TOKEN, base_url=f"{url}/api/", retry_handlers=[]), url)


async def refused(call: Any) -> Any:
    """What Slack says where it refuses."""
    with pytest.raises(SlackApiError) as told:
        await call
    return told.value.response


def mrkdwn(length: int) -> Block:
    return {"type": "mrkdwn", "text": "x" * length}


def plain(length: int) -> Block:
    return {"type": "plain_text", "text": "x" * length}


def button(**more: Any) -> Block:
    return {"type": "button", "text": plain(5), "action_id": "go", **more}


def actions(*elements: Block, **more: Any) -> Block:
    return {"type": "actions", "elements": list(elements), **more}


def section(**more: Any) -> Block:
    return {"type": "section", **more}


async def test_the_bot_is_told_who_it_is_and_with_which_scopes(slack: Slack) -> None:
    who = await slack.client.auth_test()
    assert (who["team"], who["user_id"]) == ("Sandbox", "U0SANDBOXBOT")
    assert "chat:write" in who.headers["x-oauth-scopes"]


@pytest.mark.parametrize(
    ("token", "error"), [("xoxb-other", "invalid_auth"), (None, "not_authed"), (APP_TOKEN, "invalid_auth")]
)
async def test_another_token_is_refused_for_all_but_api_test(slack: Slack, token: str | None, error: str) -> None:
    other = slack.as_holder_of(token)
    assert (await other.api_test())["ok"]
    assert (await refused(other.chat_postMessage(channel=CHANNEL, text="hi")))["error"] == error
    assert (await refused(other.auth_test()))["error"] == error
    assert slack.workspace.messages == []


async def test_only_the_app_token_opens_connections(slack: Slack) -> None:
    opened = await slack.client.apps_connections_open(app_token=APP_TOKEN)
    assert opened["url"].startswith(slack.url.replace("http", "ws") + "/link?ticket=")
    assert (await refused(slack.client.apps_connections_open(app_token=BOT_TOKEN)))["error"] == "invalid_auth"


@pytest.mark.parametrize("method", ["admin.users.list", "chat.postmessage", "nonsense"])
async def test_a_method_that_is_not_there_is_an_error(slack: Slack, method: str) -> None:
    assert (await refused(slack.client.api_call(method)))["error"] == "unknown_method"


async def test_a_message_is_posted_updated_and_noted(slack: Slack) -> None:
    posted = await slack.client.chat_postMessage(channel=CHANNEL, text="one", blocks=[section(text=mrkdwn(3))])
    reply = await slack.client.chat_postMessage(channel=CHANNEL, text="two", thread_ts=posted["ts"])
    assert posted["ts"] != reply["ts"]
    await slack.client.chat_update(channel=CHANNEL, ts=posted["ts"], text="three")
    first, second = slack.workspace.messages
    assert (first.text, first.blocks, first.edits, first.thread_ts) == ("three", [], 1, None)
    assert (second.text, second.thread_ts) == ("two", posted["ts"])
    assert [call.method for call in slack.workspace.calls] == ["chat.postMessage", "chat.postMessage", "chat.update"]


async def test_a_message_to_one_person_is_seen_by_that_person_alone(slack: Slack) -> None:
    await slack.client.chat_postEphemeral(channel=CHANNEL, user="U0APPROVER", text="psst")
    (message,) = slack.workspace.messages
    assert (message.text, message.only_for) == ("psst", "U0APPROVER")


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"channel": "C0NOWHERE", "text": "hi"}, "channel_not_found"),
        ("chat.postMessage", {"channel": CHANNEL}, "no_text"),
        ("chat.postMessage", {"channel": CHANNEL, "text": "x" * 40_001}, "msg_too_long"),
        ("chat.update", {"channel": CHANNEL, "ts": "9.9", "text": "hi"}, "message_not_found"),
        ("chat.update", {"channel": CHANNEL, "ts": "1.000000", "text": "hi"}, "cant_update_message"),
        ("chat.postEphemeral", {"channel": CHANNEL, "user": "U0NOBODY", "text": "hi"}, "user_not_in_channel"),
    ],
)
async def test_what_cannot_be_said_is_refused_in_slacks_words(
    slack: Slack, method: str, arguments: dict[str, str], error: str
) -> None:
    slack.workspace.add(Message(channel=CHANNEL, ts="1.000000", user="U0APPROVER", text="a person's"))
    assert (await refused(slack.client.api_call(method, json=arguments)))["error"] == error
    assert [message.text for message in slack.workspace.messages] == ["a person's"]


@pytest.mark.parametrize(
    "blocks",
    [
        [section(text=mrkdwn(3000)), {"type": "header", "text": plain(150)}],
        [section(fields=[mrkdwn(2000)] * 10)],
        [actions(*(button(action_id=f"a{number}") for number in range(25)))],
        [actions(button(text=plain(75), value="v" * 2000, action_id="a" * 255), block_id="b" * 255)],
        [{"type": "context", "elements": [mrkdwn(10)] * 10}],
        [{"type": "divider"}] * 50,
    ],
    ids=["texts", "fields", "25 buttons", "a button", "context", "50 blocks"],
)
async def test_blocks_at_slacks_limits_are_taken(slack: Slack, blocks: list[Block]) -> None:
    await slack.client.chat_postMessage(channel=CHANNEL, text="card", blocks=blocks)
    assert len(slack.workspace.messages[0].blocks) == len(blocks)


@pytest.mark.parametrize(
    "block",
    [
        section(text=mrkdwn(3001)),
        section(text=mrkdwn(0)),
        section(),
        section(text="words"),
        section(fields=[mrkdwn(2001)]),
        section(fields=[mrkdwn(5)] * 11),
        {"type": "header", "text": plain(151)},
        {"type": "header", "text": mrkdwn(5)},
        {"type": "context", "elements": [mrkdwn(5)] * 11},
        {"type": "context", "elements": [mrkdwn(0)]},
        actions(*(button(action_id=f"a{number}") for number in range(26))),
        actions(button(text=plain(76))),
        actions(button(text=mrkdwn(5))),
        actions(button(value="v" * 2001)),
        actions(button(action_id="a" * 256)),
        actions(button(), button()),
        actions(button(), block_id="b" * 256),
        {"type": "carousel-of-nothing"},
        "words",
    ],
    ids=lambda block: json.dumps(block)[:45],
)
async def test_blocks_beyond_slacks_limits_are_refused(slack: Slack, block: Block) -> None:
    said = await refused(slack.client.chat_postMessage(channel=CHANNEL, text="card", blocks=[block]))
    assert said["error"] == "invalid_blocks"
    assert "/blocks/0" in said["response_metadata"]["messages"][0]
    assert slack.workspace.messages == []


async def test_too_many_blocks_and_blocks_that_are_no_list_are_refused(slack: Slack) -> None:
    post = slack.client.chat_postMessage
    said = await refused(post(channel=CHANNEL, text="x", blocks=[{"type": "divider"}] * 51))
    assert said["error"] == "invalid_blocks"
    for held in ("[{", "{}"):
        assert (await refused(post(channel=CHANNEL, text="x", blocks=held)))["error"] == "invalid_blocks_format"


async def test_a_call_is_refused_with_retry_after_on_demand_and_only_then(slack: Slack) -> None:
    slack.server.faults.add("chat.postMessage", rate_limited(7))
    said = await refused(slack.client.chat_postMessage(channel=CHANNEL, text="one"))
    assert (said.status_code, said["error"], said.headers["Retry-After"]) == (429, "ratelimited", "7")
    await slack.client.chat_postMessage(channel=CHANNEL, text="two")
    assert [message.text for message in slack.workspace.messages] == ["two"]


async def test_the_sdks_own_handler_waits_as_long_as_it_is_told(slack: Slack) -> None:
    slack.server.faults.add("auth.test", rate_limited(0))
    slack.client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    assert (await slack.client.auth_test())["ok"]
    assert [call.method for call in slack.workspace.calls] == ["auth.test", "auth.test"]


async def test_a_file_goes_up_in_three_steps_into_a_thread(slack: Slack) -> None:
    posted = await slack.client.chat_postMessage(channel=CHANNEL, text="card")
    content = bytes(range(256)) * 400
    await slack.client.files_upload_v2(
        channel=CHANNEL, thread_ts=posted["ts"], filename="chart.png", title="Chart", content=content
    )
    (_, message) = slack.workspace.messages
    (file,) = message.files
    assert (message.thread_ts, slack.workspace.files[file]) == (posted["ts"], content)
    assert [call.method for call in slack.workspace.calls[1:]] == [
        "files.getUploadURLExternal",
        "files.completeUploadExternal",
    ]


async def test_a_file_that_was_not_sent_cannot_be_completed(slack: Slack) -> None:
    place = await slack.client.files_getUploadURLExternal(filename="a.txt", length=3)
    complete = slack.client.files_completeUploadExternal
    assert (await refused(complete(files=[{"id": place["file_id"]}], channel_id=CHANNEL)))["error"] == "file_not_found"
    assert (await refused(complete(files=[{"id": "F0"}], channel_id=CHANNEL)))["error"] == "file_not_found"
    said = await refused(slack.client.api_call("files.getUploadURLExternal", params={"filename": "a.txt"}))
    assert said["error"] == "invalid_arguments"
    async with aiohttp.ClientSession() as session, session.post(f"{slack.url}/upload/F0", data=b"abc") as response:
        assert response.status == 404
    assert slack.workspace.messages == []


async def response_url(slack: Slack) -> str:
    """The one that comes with a command."""
    came: list[dict[str, Any]] = []

    async def take(kind: str, payload: dict[str, Any], retry: int) -> Any:
        came.append(payload)
        raise TimeoutError

    slack.workspace.deliver = take
    with pytest.raises(TimeoutError):
        await slack.workspace.command("triage", user="U0APPROVER")
    return str(came[0]["response_url"])


async def test_a_response_url_takes_five_posts_for_the_one_who_asked_or_for_all(slack: Slack) -> None:
    hook = AsyncWebhookClient(await response_url(slack))
    for number in range(5):
        kind = "in_channel" if number == 0 else "ephemeral"
        answer = await hook.send(text=f"post {number}", response_type=kind)
        assert (answer.status_code, answer.body) == (200, "ok")
    sixth = await hook.send(text="one more")
    assert (sixth.status_code, json.loads(sixth.body)["error"]) == (404, "used_url")
    assert [(one.text, one.only_for) for one in slack.workspace.messages] == [
        ("post 0", None),
        *((f"post {number}", "U0APPROVER") for number in range(1, 5)),
    ]


async def test_a_response_url_expires_and_another_is_not_there(slack: Slack) -> None:
    url = await response_url(slack)
    assert slack.workspace.response_s == 30 * 60
    slack.workspace.response_s = -1
    for held in (url, re.sub(r"\d+$", "5", url)):
        answer = await AsyncWebhookClient(held).send(text="late")
        assert (answer.status_code, json.loads(answer.body)["error"]) == (404, "expired_url")
    assert slack.workspace.messages == []


async def test_blocks_that_slack_refuses_are_refused_by_a_response_url_too_and_cost_no_post(slack: Slack) -> None:
    hook = AsyncWebhookClient(await response_url(slack))
    for _ in range(6):
        answer = await hook.send(text="card", blocks=[section(text=mrkdwn(3001))])
        assert (answer.status_code, json.loads(answer.body)["error"]) == (400, "invalid_blocks")
    assert (await hook.send(text="card")).status_code == 200
