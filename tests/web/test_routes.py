"""The HTTP side through the real Bolt app: only what Slack signed, and lately, gets in."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families as parse

from bot.configuration import load
from bot.ports import Backlog
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack.delivery import SIGNING_SECRET, signed
from bot.sandbox.slack.faults import refused
from bot.serve import wired
from bot.web.routes import Readiness, application
from bot.worlds import prober
from tests.databases import copy_of, store_at

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BODY = "command=%2Fmistral&text=help&user_id=U0REQUESTER&channel_id=C0INCIDENTS&team_id=T0SANDBOX"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(load_scenarios()["all is well"], http_mode=True)
    await held.start()
    yield held
    await held.close()


@pytest.fixture
async def bot(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestServer]:
    settings, store = load(sandbox.environment()), store_at(copy_of("SQLite", tmp_path, request))
    async with prober(settings) as asks:
        parts = wired(settings, asks, store)
        server = TestServer(application(parts.readiness, parts.slack.app))
        await server.start_server()
        sandbox.slack.request_url = str(server.make_url("/slack/events"))
        yield server
        await server.close()
        await parts.tasks.drain(5)
    await store.close()


async def status_of(bot: TestServer, body: bytes, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(bot.make_url("/slack/events"), data=body, headers=headers) as response,
    ):
        return response.status


async def test_a_signed_command_is_acknowledged_and_answered(sandbox: Sandbox, bot: TestServer) -> None:
    await sandbox.slack.workspace.command("help")
    (answer,) = await sandbox.slack.workspace.wait_for(lambda: sandbox.slack.workspace.messages)
    assert answer.only_for == "U0REQUESTER"
    assert "/mistral triage" in answer.all_text


async def test_a_command_of_10_kb_of_hostile_text_gets_a_short_answer(sandbox: Sandbox, bot: TestServer) -> None:
    await sandbox.slack.workspace.command("<!channel>\x00`*\u202e" * 1000)
    (answer,) = await sandbox.slack.workspace.wait_for(lambda: sandbox.slack.workspace.messages)
    assert len(answer.text) < 400
    assert "<!channel>" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(BODY, secret="another secret"),
        signed(BODY, at=time.time() - 301),
        {**signed(BODY), "X-Slack-Signature": "v0=00"},
        {**signed(BODY), "X-Slack-Request-Timestamp": "soon"},
    ],
    ids=["unsigned", "forged", "stale", "wrong digest", "no time"],
)
async def test_what_slack_did_not_sign_is_refused(bot: TestServer, headers: dict[str, str]) -> None:
    assert await status_of(bot, BODY.encode(), {**FORM, **headers}) == 401


async def test_the_same_request_with_slacks_signature_is_taken(bot: TestServer) -> None:
    assert await status_of(bot, BODY.encode(), {**FORM, **signed(BODY, secret=SIGNING_SECRET)}) == 200


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{"], ids=["not UTF-8", "not JSON"])
async def test_a_body_that_makes_no_sense_is_refused_without_a_crash(bot: TestServer, body: bytes) -> None:
    headers = {"Content-Type": "application/json", **signed("x")}
    assert await status_of(bot, body, headers) in (400, 401)


async def test_a_body_over_one_megabyte_is_refused(bot: TestServer) -> None:
    assert await status_of(bot, b"x" * 1_000_001, {**FORM, **signed("x")}) == 413


async def test_ready_only_while_slack_and_the_database_have_answered_within_30_s() -> None:
    readiness = Readiness()
    server = TestServer(application(readiness, None))
    await server.start_server()

    async def get(path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(server.make_url(path)) as response:
            return response.status, await response.text()

    assert await get("/readyz") == (503, "no answer from: Slack, the database\n")
    readiness.answered("Slack")
    assert await get("/readyz") == (503, "no answer from: the database\n")
    readiness.answered("the database")
    assert (await get("/readyz"))[0] == 200
    readiness.last_answers["Slack"] = time.monotonic() - 31
    assert await get("/readyz") == (503, "no answer from: Slack\n")
    assert (await get("/healthz"))[0] == 200
    async with aiohttp.ClientSession() as session, session.post(server.make_url("/slack/events")) as response:
        assert response.status == 404, "in Socket Mode there is no way in for events"
    await server.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("phrase", ["incident", "outage", "down", "on-call", "emergency", "broken"])
async def test_a_call_for_help_is_offered_a_triage_once_in_ten_minutes(
    sandbox: Sandbox, bot: TestServer, phrase: str
) -> None:
    slack = sandbox.slack.workspace
    await slack.say("all quiet")
    await slack.say(f"Is MISTRAL {phrase}?")
    offer = await slack.wait_for(lambda: next((one for one in slack.messages if one.blocks), None))
    await slack.say(f"mistral {phrase} again")
    await slack.say("<@U0SANDBOXBOT> are you there?")
    await slack.command("help")
    await slack.wait_for(lambda: any(one.only_for for one in slack.messages))
    assert [one for one in slack.messages if one.blocks and not one.only_for] == [offer]
    assert [element["action_id"] for block in offer.blocks for element in block.get("elements", ())] == ["triage"]


async def test_an_offer_that_slack_refused_does_not_silence_the_channel(sandbox: Sandbox, bot: TestServer) -> None:
    slack = sandbox.slack.workspace
    sandbox.slack.faults.add("chat.postMessage", refused("ratelimited"))
    await slack.say("mistral down")
    await slack.wait_for(lambda: any(one.only_for for one in slack.messages))
    await slack.say("mistral down")
    await slack.wait_for(lambda: any(one.blocks and not one.only_for for one in slack.messages))
    assert sum(bool(one.blocks) and not one.only_for for one in slack.messages) == 1


@pytest.mark.parametrize(
    ("dead", "told"), [(0, ""), (1, "1 delivery was given up"), (3, "3 deliveries were given up")], ids=str
)
async def test_what_was_given_up_is_told_to_whoever_looks_and_to_prometheus(dead: int, told: str) -> None:
    backlog = Backlog(deliveries={"dead": dead, "waiting": 2}, oldest_s={"waiting": 7.0}, overdue_s=0.5)
    readiness = Readiness(backlog=backlog)
    for who in readiness.last_answers:
        readiness.answered(who)
    server = TestServer(application(readiness, None))
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        async with session.get(server.make_url("/readyz")) as answer:
            assert answer.status == 200
            assert (await answer.text()).startswith(f"ok\n{told}")
        async with session.get(server.make_url("/metrics")) as answer:
            text = await answer.text()
    await server.close()
    held = {(sample.name, *sample.labels.values()): sample.value for family in parse(text) for sample in family.samples}
    for state, many, age_s in (("dead", dead, 0), ("waiting", 2, 7), ("sending", 0, 0)):
        assert held["mistral_bot_deliveries", state] == many
        assert held["mistral_bot_delivery_age_seconds", state] == age_s
    assert held["mistral_bot_clock_overdue_seconds",] == 0.5


async def test_before_the_database_was_looked_at_nothing_is_said_of_deliveries() -> None:
    server = TestServer(application(Readiness(), None))
    await server.start_server()
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/metrics")) as answer:
        assert answer.status == 200
        samples = {sample.name for family in parse(await answer.text()) for sample in family.samples}
    assert "mistral_bot_event_loop_lag_seconds_count" in samples
    assert not samples & {"mistral_bot_deliveries", "mistral_bot_clock_overdue_seconds"}
    await server.close()
