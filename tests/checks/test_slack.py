"""The doctor on Slack: both tokens, the scopes, and what is not set."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bot.checks.slack import CHECK
from bot.domain.scopes import SCOPES
from bot.ports import CheckResult
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackServer
from bot.sandbox.slack.model import BOT_USER
from bot.sandbox.world import World
from tests.clusters import serve
from tests.doctors import WELL, examined, lines

BOTH = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN}
BOT_OK = [(True, "bot token: is accepted"), (True, "scopes: all that are used are granted")]
APP_OK = (True, "app token (Socket Mode): opens a connection")


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    held = SlackServer(World(scenario=WELL))
    async with serve(held.application()) as url:
        held.workspace.base_url = url
        yield held


@pytest.fixture
def slack(server: SlackServer) -> str:
    return f"{server.workspace.base_url}/api/"


async def test_both_tokens_and_all_scopes_are_told(slack: str) -> None:
    assert lines(await examined(CHECK, {"SLACK_API_URL": slack, **BOTH})) == [*BOT_OK, APP_OK]


async def test_in_http_mode_there_is_no_app_token_to_look_at(slack: str) -> None:
    environ = {"SLACK_API_URL": slack, "SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
    assert lines(await examined(CHECK, environ)) == BOT_OK


@pytest.mark.parametrize(
    ("variable", "what", "others"),
    [
        ("SLACK_BOT_TOKEN", "bot token", [APP_OK]),
        ("SLACK_APP_TOKEN", "app token (Socket Mode)", BOT_OK),
    ],
)
async def test_a_token_that_is_refused_names_the_setting(
    variable: str, what: str, others: list[tuple[bool, str]], slack: str
) -> None:
    results = await examined(CHECK, {"SLACK_API_URL": slack, **BOTH, variable: "planted-token-1"})
    (bad,) = (result for result in results if not result.ok)
    assert (bad.what, bad.detail) == (what, "Slack says invalid_auth")
    assert variable in bad.mend
    assert "planted" not in repr(results)
    assert [line for line in lines(results) if line[0]] == others


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"SLACK_BOT_TOKEN": BOT_TOKEN}, "SLACK_SIGNING_SECRET"),
        ({"SLACK_SIGNING_SECRET": SIGNING_SECRET}, "SLACK_BOT_TOKEN"),
    ],
    ids=["neither mode", "no bot token"],
)
async def test_what_is_not_set_is_told(environ: dict[str, str], missing: str, slack: str) -> None:
    results = await examined(CHECK, {"SLACK_API_URL": slack, **environ})
    assert [missing in result.detail for result in results if not result.ok] == [True]


@pytest.mark.parametrize(
    ("private", "member", "archived", "without", "told"),
    [
        (False, True, False, (), "the bot is in #war-room"),
        (True, True, False, (), "the bot is in #war-room"),
        (False, False, False, (), "the bot may post in #war-room; once it is invited it pins the cards there, too"),
        (False, False, False, ("chat:write.public",), "the bot is not in #war-room"),
        (True, False, False, (), "Slack says channel_not_found"),
        (False, True, True, (), "#war-room is archived"),
        (False, True, False, ("channels:read",), "Slack says missing_scope"),
    ],
    ids=["public", "private", "not in it", "no scope to post", "hidden", "archived", "no scope to look"],
)
async def test_the_incident_channel_is_there_and_may_be_posted_in(
    server: SlackServer, slack: str, told: str, without: tuple[str, ...], *, private: bool, member: bool, archived: bool
) -> None:
    members = {BOT_USER} if member else set()
    channel = server.workspace.add_channel("war-room", is_private=private, members=members)
    channel.is_archived = archived
    server.workspace.scopes = server.workspace.scopes - set(without)
    environ = {"SLACK_API_URL": slack, **BOTH, "INCIDENT_CHANNEL": channel.id}
    (result,) = (one for one in await examined(CHECK, environ) if one.what == "INCIDENT_CHANNEL")
    assert (result.detail, result.ok) == (told, told.startswith("the bot is in") or "may post" in told)


async def test_an_incident_channel_given_by_its_name_is_told_to_be_given_by_its_id(slack: str) -> None:
    results = await examined(CHECK, {"SLACK_API_URL": slack, **BOTH, "INCIDENT_CHANNEL": "#incidents"})
    (bad,) = (result for result in results if not result.ok)
    assert (bad.what, bad.detail) == ("INCIDENT_CHANNEL", "Slack says channel_not_found")
    assert "the id of a channel (C…" in bad.mend


async def from_slack(**answer: object) -> list[CheckResult]:
    """The results with a Slack that answers each method so."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(**answer)  # type: ignore[arg-type]  # as the test says

    app = web.Application()
    app.router.add_post("/api/{method}", say)
    async with serve(app) as url:
        own = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}
        return list(await examined(CHECK, {"SLACK_API_URL": f"{url}/api", **own}))


async def test_a_scope_that_is_missing_is_named_with_its_use() -> None:
    granted = ", ".join(scope for scope in SCOPES if scope != "files:write")
    token, scopes = await from_slack(text='{"ok": true}', headers={"x-oauth-scopes": granted})
    assert token.ok
    assert scopes.detail == "missing: files:write (to put the chart into the card's thread)"
    assert "reinstall" in scopes.mend


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"text": "<html>"}, "Slack's API does not answer with JSON"),
        ({"text": "[" * 100_000}, "Slack's API does not answer with JSON"),
        ({"text": "[1]"}, "Slack's API does not answer as Slack does"),
        ({"text": '{"ok": false, "error": "account_inactive"}'}, "Slack says account_inactive"),
        ({"status": 503}, "Slack's API answers 503"),
    ],
    ids=["html", "deep", "list", "inactive", "503"],
)
async def test_an_answer_that_is_not_slacks_is_told(answer: dict[str, object], detail: str) -> None:
    (result,) = await from_slack(**answer)
    assert (result.what, result.ok, result.detail) == ("bot token", False, detail)


async def test_without_any_of_it_slack_is_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
