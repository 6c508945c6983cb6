"""The messenger against the sandbox's Slack over HTTP: what it repeats, what it does not, and what it says."""

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.configuration import load
from bot.errors import MessageError
from bot.ports import Reply
from bot.render import Renderer
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack.faults import rate_limited, server_error
from bot.slack import messenger as messaging
from bot.slack.client import web_client
from bot.slack.messenger import SlackMessenger

SENTENCE = Reply(template="sentence", context={"sentence": "hello"})
CHANNEL = "C0INCIDENTS"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(load_scenarios()["all is well"])
    await held.start()
    yield held
    await held.close()


def messenger(sandbox: Sandbox, **environ: str) -> SlackMessenger:
    settings = load({**sandbox.environment(), **environ})
    return SlackMessenger(client=web_client(settings), renderer=Renderer(), network=settings.network)


async def test_a_call_that_slack_asks_to_repeat_soon_is_repeated_once_it_said(sandbox: Sandbox) -> None:
    sandbox.slack.faults.add("chat.postMessage", rate_limited(1))
    began = time.monotonic()
    await messenger(sandbox).post(CHANNEL, SENTENCE)
    assert time.monotonic() - began >= 1
    assert len(sandbox.slack.workspace.messages) == 1


async def test_a_long_wait_is_told_instead_of_waited_for(sandbox: Sandbox) -> None:
    sandbox.slack.faults.add("chat.postMessage", rate_limited(3600))
    with pytest.raises(MessageError, match="wait for 3600 s") as told:
        await messenger(sandbox).post(CHANNEL, SENTENCE)
    assert told.value.retry_after_s == 3600


async def test_a_post_that_was_answered_with_an_error_is_not_repeated(sandbox: Sandbox) -> None:
    sandbox.slack.faults.add("chat.postMessage", server_error())
    with pytest.raises(MessageError):
        await messenger(sandbox).post(CHANNEL, SENTENCE)
    assert [call.method for call in sandbox.slack.workspace.calls] == ["chat.postMessage"]


@pytest.mark.parametrize("status", [200, 429, 503])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"upstream connect error or disconnect/reset before headers", "text/plain"),
        (b"<html>Bad gateway</html>", "text/html"),
        (b"[1]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"", "application/json"),
    ],
    ids=["text", "HTML", "a list", "deep", "nothing"],
)
async def test_what_answers_in_slacks_place_is_slack_that_cannot_be_used(body: bytes, kind: str, status: int) -> None:
    async def answers(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type=kind)

    proxy = web.Application()
    proxy.router.add_route("*", "/{path:.*}", answers)
    async with TestServer(proxy) as server:
        settings = load({"SLACK_API_URL": str(server.make_url("/api/")), "SLACK_BOT_TOKEN": "xoxb-none"})
        slack = SlackMessenger(client=web_client(settings), renderer=Renderer(), network=settings.network, patience_s=0)
        with pytest.raises(MessageError) as told:
            await slack.hello()
    assert told.value.passing


async def test_a_response_url_goes_by_its_own_proxy_not_by_that_of_the_api(sandbox: Sandbox) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.Response(text="ok")

    hook = web.Application()
    hook.router.add_post("/hook", answer)
    url = await sandbox.serve(hook) + "/hook"
    # the API's host is reached by a proxy that is not there; the response URL's host needs none
    held = messenger(
        sandbox, SLACK_API_URL="http://slack.invalid/api/", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1"
    )
    await held.respond(url, SENTENCE)
    assert asked == [url]


async def test_a_second_post_to_a_channel_waits_for_slacks_pace(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, slept = messenger(sandbox), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    assert messaging._PACE_S == 1
    monkeypatch.setattr(messaging, "_PACE_S", 3600)  # however slow the machine is, it is not over by itself
    monkeypatch.setattr(messaging, "asyncio", SimpleNamespace(sleep=sleep))
    await held.post(CHANNEL, SENTENCE)
    await held.post("C0GENERAL", SENTENCE)
    assert slept == []
    await held.post(CHANNEL, SENTENCE)
    (waited_s,) = slept
    assert 3000 < waited_s <= 3600
