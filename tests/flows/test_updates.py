"""One form, three audiences: what is previewed is what each of them gets, once, and nothing without the click."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import Act, Policy
from bot.sandbox.slack.filling import Values
from bot.settings import StatusPageSettings
from bot.slack import form_parts
from bot.store.columns import metadata
from bot.store.sql import SqlStore
from tests.databases import copy_of, locked
from tests.flows.desk import HERE, ROBIN, STAKEHOLDERS, SUPPORT, Desk, desk_at, without_ids
from tests.flows.test_incident_answers import ADA
from tests.planted import MARK, PLANTED, P

SECRETS = " and ".join(PLANTED.values())
ACK_WITHIN_S = form_parts._ACK_WITHIN_S
SLOW = "The database is slow. Send it again: it is done once."


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with desk_at(copy_of("SQLite", tmp_path, request), STAKEHOLDERS) as held:
        await held.declared()
        yield held


async def test_an_update_for_all_three_audiences_reaches_each_in_its_own_words(desk: Desk) -> None:
    preview = await desk.filled(status="identified", action="queueing", publish=["yes"], components=["Chat"])
    assert desk.posts() == desk.posts(SUPPORT) == []
    assert await desk.public() is None
    assert await desk.click_send(preview) == {"response_action": "clear"}
    (post,), (notice,) = desk.posts(), desk.posts(SUPPORT)
    assert "INC-1 is IDENTIFIED" in post.text
    assert "The team has found the reason" in notice.text
    public = await desk.public()
    assert public is not None
    assert (public.status, public.title) == ("identified", "Problems with AI features")
    assert public.components == {"Chat": "major_outage"}
    shown = without_ids(preview.blocks)
    for message in (post, notice):
        assert all(block in shown for block in without_ids(message.blocks)), "as it was previewed"
    for part in (public.title, public.updates[0].text, "Chat (out of order)", "*Public*, on the status page"):
        assert part in preview.all_text
    assert desk.slack.views == {}


@pytest.mark.parametrize(
    ("values", "notices", "published"),
    [
        ({"stakeholders": ""}, 0, False),
        ({}, 1, False),
        ({"stakeholders": "", "publish": ["yes"]}, 0, True),
    ],
    ids=["the channel alone", "with stakeholders", "with the public"],
)
async def test_who_is_left_out_is_told_nothing(
    desk: Desk, values: dict[str, Any], notices: int, published: bool
) -> None:
    preview = await desk.filled(action="looking", **values)
    assert preview.all_text.count("*To* <#") == 1 + notices
    await desk.click_send(preview)
    assert (len(desk.posts()), len(desk.posts(SUPPORT))) == (1, notices)
    assert (await desk.public() is not None) == published
    kinds = [entry.event.kind for entry in await desk.bot.store.timeline(1)]
    assert kinds == ["declared", "update", *["told"] * notices, *["published"] * published]


async def test_texts_that_are_left_as_they_are_follow_the_status_and_are_not_said_twice(desk: Desk) -> None:
    view = await desk.opened()
    assert "The team is looking for the reason." in view.all_text
    assert "Title on the status page" in view.all_text
    await desk.slack.close(view)
    await desk.click_send(await desk.filled(status="monitoring", publish=["yes"], public_title="Slow answers"))
    public = await desk.public()
    assert public is not None
    assert public.updates[0].text.startswith("Things are getting better")
    assert "keeps watching" in desk.posts(SUPPORT)[0].text
    again = await desk.opened()
    assert "Title on the status page" not in again.all_text, "it has one"
    assert (await desk.slack.submit(again))["response_action"] == "push"
    await desk.click_send(desk.slack.views[ROBIN])
    public = await desk.public()
    assert public is not None
    assert [one.text.split(".")[0] for one in public.updates] == [
        "Things are getting better, and our AI features are coming back",
        "It still looks good",
    ]
    assert public.title == "Slow answers"
    first, second = desk.posts(SUPPORT)
    assert second.thread_ts == first.ts
    assert "It still looks good" in second.text


async def test_a_page_is_told_at_first_of_what_the_incident_affects_as_badly_as_its_severity_says(desk: Desk) -> None:
    told = Declaration(
        target="default",
        title="Search fails",
        severity=Severity.P2,
        components=("Search", "of old"),
        cause="provider_slow",
        channel=HERE,
    )
    await desk.bot.incidents.declare(told, ROBIN, "view:second")
    await desk.click_send(await desk.filled("update 2", publish=["yes"]))
    public = await desk.public(2)
    assert public is not None
    assert (public.title, public.impact, public.components) == (
        "Slow answers from AI features",
        "major",
        {"Search": "partial_outage"},
    )
    assert public.updates[0].workaround == "Please wait for the answer rather than sending the request again."


async def test_back_leads_to_the_form_with_what_was_typed_and_what_is_sent_is_the_last_preview(desk: Desk) -> None:
    preview = await desk.filled(action="first", stakeholders="first words", publish=["yes"], public_text="first text")
    await desk.slack.close(preview)
    view = desk.slack.views[ROBIN]
    await desk.slack.submit(view, {"action": {"value": "second"}, "public_text": {"value": "second text"}})
    preview = desk.slack.views[ROBIN]
    assert "first words" in preview.all_text
    assert "first text" not in preview.all_text
    await desk.click_send(preview)
    assert "second" in desk.posts()[0].text
    public = await desk.public()
    assert public is not None
    assert [one.text for one in public.updates] == ["second text"]


async def test_a_form_and_a_preview_that_are_sent_twice_are_sent_once(desk: Desk) -> None:
    view = await desk.opened()
    told: Values = {"action": {"value": "queueing"}, "publish": {"value": ["yes"]}}
    await asyncio.gather(*(desk.slack.submit(view, told) for _ in range(2)))
    preview = desk.slack.views[ROBIN]
    answers = await asyncio.gather(*(desk.slack.submit(preview) for _ in range(2)))
    answers.append(await desk.slack.redeliver_last())
    await desk.send()
    assert answers == [{"response_action": "clear"}] * 3
    assert (len(desk.posts()), len(desk.posts(SUPPORT))) == (1, 1)
    public = await desk.public()
    assert public is not None
    assert len(public.updates) == 1


async def test_of_two_people_each_sends_what_they_have_previewed(desk: Desk) -> None:
    mine = await desk.filled(action="mine", publish=["yes"], public_text="mine in public", next="60")
    theirs = await desk.filled(user=ADA, action="theirs", publish=["yes"], public_text="theirs in public")
    for preview in (theirs, mine):
        assert await desk.click_send(preview) == {"response_action": "clear"}
        (newest,) = desk.posts()[-1:]
        assert all(block in without_ids(preview.blocks) for block in without_ids(newest.blocks))
    public = await desk.public()
    assert public is not None
    assert [one.text for one in public.updates] == ["theirs in public", "mine in public"]


async def test_stakeholders_that_a_lowered_severity_has_none_of_are_not_told(desk: Desk) -> None:
    preview = await desk.filled(action="queueing")
    await desk.slack.command("severity P3", user=ADA)
    await desk.whispered("INC-1 is P3 now.", ADA)
    await desk.slack.submit(preview)
    assert "No channel of stakeholders is configured for P3" in desk.slack.views[ROBIN].all_text


async def test_a_preview_that_a_raised_severity_changes_is_looked_at_once_more(desk: Desk) -> None:
    preview = await desk.filled(action="queueing")
    await desk.slack.command("severity P2", user=ADA)
    await desk.whispered("INC-1 is P2 now.", ADA)
    answer = await desk.slack.submit(preview)
    assert answer["response_action"] == "update"
    assert "Something has changed since the last preview" in preview.all_text
    await desk.send()
    assert desk.posts(SUPPORT) == []
    assert await desk.click_send(preview) == {"response_action": "clear"}
    assert ":large_orange_circle:" in desk.posts(SUPPORT)[0].text


async def test_an_update_of_what_was_resolved_meanwhile_is_refused_above_the_preview(desk: Desk) -> None:
    preview = await desk.filled(action="queueing", publish=["yes"])
    await desk.bot.incidents.act(1, lambda one, now: acts.resolve(one, (), "", ADA, now))
    answer = await desk.slack.submit(preview)
    assert answer["response_action"] == "push"
    problem = desk.slack.views[ROBIN]
    assert "INC-1 is resolved; `/mistral reopen 1` opens it again." in problem.all_text
    await desk.slack.close(problem)
    assert desk.slack.views[ROBIN] is preview, "nothing that was typed is lost"
    assert desk.posts(SUPPORT) == []
    assert await desk.public() is None


async def test_a_preview_belongs_to_whoever_filled_in_its_form(desk: Desk) -> None:
    preview = await desk.filled(action="queueing", publish=["yes"])
    answer = await desk.slack.submit(preview, user=ADA)
    assert "That preview is not yours" in str(answer["view"])
    preview = desk.slack.views[ROBIN].stack[-2]
    forged = {**json.loads(preview.body["private_metadata"]), "number": 2}
    preview.body["private_metadata"] = json.dumps(forged)
    answer = await desk.slack.submit(preview)
    assert "That preview is not yours" in str(answer["view"])
    await desk.send()
    assert desk.posts() == desk.posts(SUPPORT) == []


async def test_what_is_on_the_status_page_is_only_for_those_who_may_publish(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    policy = replace(STAKEHOLDERS, may={Act.PUBLISH: frozenset({ADA})})
    async with desk_at(copy_of("SQLite", tmp_path, request), policy) as desk:
        await desk.declared()
        view = await desk.opened()
        assert "status page" not in view.all_text
        allowed = await desk.opened(user=ADA)
        assert "Publish on the status page" in allowed.all_text
        # what was open before the policy was changed, or is forged
        view.body = allowed.body
        answer = await desk.slack.submit(view, {"publish": {"value": ["yes"]}})
        assert answer["errors"]["status"] == "To publish is for those whom the policy names; ask somebody who may."
        await desk.slack.command("publish")
        await desk.whispered("To publish is for those whom the policy names", ROBIN)


async def test_without_stakeholders_and_a_page_an_update_is_for_the_channel_alone(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = {"status_page": StatusPageSettings(builtin=False)}
    async with desk_at(copy_of("SQLite", tmp_path, request), Policy(), **page) as desk:
        await desk.declared()
        view = await desk.opened()
        assert [block["block_id"] for block in view.blocks] == ["status", "impact", "action", "next"]
        await desk.slack.submit(view, {"action": {"value": "looking"}})
        await desk.click_send(desk.slack.views[ROBIN])
        assert len(desk.posts()) == 1
        await desk.slack.command("publish")
        await desk.whispered("No status page is configured", ROBIN)


@asynccontextmanager
async def hurried(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The bot acknowledges as soon as Slack wants it."""
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(form_parts, "_ACK_WITHIN_S", ACK_WITHIN_S)
        yield


async def test_while_the_database_takes_nothing_the_form_and_the_preview_stay(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = copy_of("SQLite", tmp_path, request)
    async with desk_at(url, STAKEHOLDERS) as desk:
        await desk.declared()
        view, told = await desk.opened(), {"action": {"value": "queueing"}}
        async with locked(url), hurried(monkeypatch):
            answer = await desk.slack.submit(view, told)
            assert answer == {"response_action": "errors", "errors": {"status": SLOW}}
        assert (await desk.slack.submit(view))["response_action"] == "push"
        preview = desk.slack.views[ROBIN]
        assert "queueing" in preview.all_text, "what was typed is still there"
        async with locked(url), hurried(monkeypatch):
            answer = await desk.slack.submit(preview)
            assert "Go back and click Send again: it is done once." in str(answer["view"])
        await desk.slack.close(desk.slack.views[ROBIN])
        assert await desk.click_send(preview) == {"response_action": "clear"}
        assert (len(desk.posts()), len(desk.posts(SUPPORT))) == (1, 1)


async def test_a_title_and_a_text_are_asked_for_where_something_is_published(desk: Desk) -> None:
    view = await desk.opened()
    answer = await desk.slack.submit(view, {"publish": {"value": ["yes"]}, "public_text": {"value": ""}})
    assert answer["errors"] == {"status": "What the public is told needs a title and a text."}


HOSTILE = "<!channel> <@U0APPROVER> & `x` ``` *b* | \u202e\x00\n<https://evil.example|ok>"


async def test_hostile_words_in_every_field_are_words_for_every_audience(desk: Desk) -> None:
    fields = ("impact", "action", "stakeholders", "public_text", "workaround")
    hostile = {name: f"{name} {HOSTILE}" for name in fields}
    await desk.click_send(await desk.filled(publish=["yes"], public_title=HOSTILE, **hostile))
    calls = [call for call in desk.slack.calls if call.method.startswith("chat.")]
    everything = str([call.arguments for call in calls]) + str([one.all_text for one in desk.slack.messages])
    for part in ("<!channel>", "<@U0APPROVER> &", "<https", "\u202e", "\x00"):
        assert part not in everything, part
    post, notice = desk.posts()[0].all_text, desk.posts(SUPPORT)[0].all_text
    for name, shown in (("impact", post), ("action", post), ("stakeholders", notice)):
        assert f"{name} &lt;!channel&gt; &lt;@U0APPROVER&gt; &amp;" in shown
    public = await desk.public()
    assert public is not None
    assert public.updates[0].text == hostile["public_text"].replace("\x00", ""), "each page escapes it in its own way"


async def test_secrets_that_are_typed_are_told_and_kept_nowhere(desk: Desk) -> None:
    secrets = dict.fromkeys(("impact", "action", "stakeholders", "public_text", "workaround"), SECRETS)
    view = await desk.opened()
    told = {**secrets, "public_title": f"token={P}", "publish": ["yes"]}
    answers = [await desk.slack.submit(view, {block: {"value": value} for block, value in told.items()})]
    await desk.click_send(desk.slack.views[ROBIN])
    await desk.slack.submit(await desk.opened("resolve"), {"reason": {"value": SECRETS}})
    answers.append(desk.slack.views[ROBIN].body)
    await desk.click_send(desk.slack.views[ROBIN])
    kept = [str(row) async for row in rows(desk)]
    seen = [*map(str, answers), *(str(call.arguments) for call in desk.slack.calls), *kept]
    assert any("***" in one for one in kept), "what was masked was stored"
    assert [text for text in seen if MARK in text] == []


async def rows(desk: Desk) -> AsyncIterator[object]:
    """All that is in the database."""
    store = desk.bot.store
    assert isinstance(store, SqlStore)
    async with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                yield row
