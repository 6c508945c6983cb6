"""Postmortems through Slack: drafted when an incident ends, written by people, published once, reminded of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.clients.charts import ChartProcess
from bot.domain.incident import Incident
from bot.domain.policy import Afterwards, Objective, Policy
from bot.domain.postmortem import PostmortemState
from bot.handlers.publishing import Publisher
from bot.ports import Series
from bot.sandbox.slack import Message, View
from tests.databases import copy_of
from tests.fakes import FakeClock, FakeMetrics
from tests.flows.desk import HERE, ROBIN, Desk, desk_at
from tests.flows.test_incident_answers import ADA
from tests.flows.test_incidents import form
from tests.planted import P

SECRET = f"the key was sk-proj-{P}"


@dataclass(frozen=True)
class Review(Desk):
    async def ended(self) -> Incident:
        """A P3 that was declared and resolved, whose postmortem's card stands in its thread."""
        await self.declared(severity="P3", commander="")
        view = await self.opened("resolve 1")
        await self.slack.submit(view, {"reason": {"value": "it is over"}})
        await self.bot.tasks.drain(5)
        await self.bot.postmortems.tick()
        await self.send()
        held = await self.bot.store.incident(1)
        assert held is not None
        assert not held.open
        return held

    def card(self) -> Message:
        (card,) = [one for one in self.slack.messages if "The postmortem of *INC-1* *" in one.text]
        return card

    async def click(self, button: str, user: str = ROBIN) -> None:
        await self.slack.click(self.card(), button, user=user)
        await self.bot.tasks.drain(5)
        await self.send()

    async def review(self, user: str = ROBIN) -> View:
        await self.slack.click(self.card(), "postmortem", user=user)
        return await form(self.slack, user)

    async def written(self, view: View, **values: object) -> dict[str, object]:
        answer: dict[str, object] = await self.slack.submit(
            view, {block: {"value": value} for block, value in values.items()}
        )
        await self.bot.tasks.drain(5)
        await self.send()
        return answer

    async def text(self) -> str:
        held = await self.bot.store.postmortem(1)
        assert held is not None
        publisher = self.bot.deliveries.filer
        assert publisher is not None
        files = await publisher.publish(await self.bot.incidents.one(1), held.newest.number if held.newest else 0)
        return files[0].content.decode()

    def files(self) -> list[str]:
        return [name for one in self.slack.messages for name in one.file_names if name.endswith(".md")]


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Review]:
    policy = Policy(afterwards=Afterwards(folder=tmp_path / "postmortems"))
    async with desk_at(copy_of("SQLite", tmp_path, request), policy, evidence_dir=tmp_path / "evidence") as held:
        for world in held.bot.postmortems.prober.worlds.values():
            object.__setattr__(world, "metrics", None)
        yield Review(held.bot, held.sandbox)


async def test_a_draft_is_there_when_it_ends_and_is_published_by_a_click(desk: Review, tmp_path: Path) -> None:
    await desk.ended()
    assert "is drafted from the record" in desk.card().text
    await desk.click("publish_postmortem")
    assert desk.files() == ["INC-1-postmortem.md"]
    (posted,) = [one for one in desk.slack.messages if "is published, by" in one.text]
    assert posted.thread_ts
    held = (tmp_path / "postmortems" / "INC-1.md").read_text()
    for part in (
        "## Incident: Mistral AI",
        "### Timeline (UTC)",
        "**Incident declared**",
        "it is over",
        "not recorded",
    ):
        assert part in held
    assert "*is published*" in desk.card().text


async def test_publishing_twice_publishes_once(desk: Review) -> None:
    await desk.ended()
    stale = desk.card().as_seen()
    for _ in range(2):
        await desk.slack.click(stale, "publish_postmortem", user=ROBIN)
        await desk.bot.tasks.drain(5)
        await desk.send()
    assert desk.files() == ["INC-1-postmortem.md"]
    await desk.whispered("is published already", ROBIN)


async def test_what_people_write_stays_when_the_draft_is_made_anew(desk: Review, tmp_path: Path) -> None:
    await desk.ended()
    await desk.written(await desk.review(), summary="Chats failed for | all `users`.", users="40 %", improve=SECRET)
    written = await desk.text()
    assert "Chats failed for \\| all \\`users\\`." in written
    assert "Users affected: 40 %" in written
    assert P not in written
    await desk.slack.command("note INC-1 the provider called", user=ADA)
    await desk.bot.tasks.drain(5)
    again = await desk.text()
    assert "the provider called" in again
    assert "Chats failed for \\| all" in again
    await desk.click("publish_postmortem")
    assert desk.files() == ["INC-1-postmortem-v1.md"]
    await desk.written(await desk.review(), summary="")
    assert "Completions fail." in await desk.text(), "what is emptied is drafted again"
    await desk.click("publish_postmortem")
    assert desk.files() == ["INC-1-postmortem-v1.md", "INC-1-postmortem-v2.md"]
    assert "Completions fail." in (tmp_path / "postmortems" / "INC-1.md").read_text()
    first = await desk.bot.store.postmortem_version(1, 1)
    assert first is not None
    assert first.written["summary"].startswith("Chats failed")


async def test_the_root_cause_is_marked_until_a_person_confirms_it(desk: Review) -> None:
    await desk.ended()
    assert "nobody has confirmed it yet" in await desk.text()
    await desk.written(await desk.review(ADA), confirmed=["yes"])
    assert f"Confirmed by @{ADA}" in await desk.text()


async def test_two_who_write_at_once_lose_nothing(desk: Review) -> None:
    await desk.ended()
    mine, theirs = await desk.review(ROBIN), await desk.review(ADA)
    await desk.written(theirs, summary="Ada's words.")
    answer = await desk.written(mine, summary="Robin's words.")
    assert answer["response_action"] == "update"
    shown = desk.slack.views[ROBIN]
    assert "Robin's words." in shown.all_text
    assert "Somebody else has saved version 1" in shown.all_text
    await desk.written(shown)
    assert "Robin's words." in await desk.text()
    kept = await desk.bot.store.postmortem_version(1, 1)
    assert kept is not None
    assert kept.written == {"summary": "Ada's words."}


async def test_a_form_that_is_sent_as_it_is_changes_nothing(desk: Review) -> None:
    await desk.ended()
    await desk.written(await desk.review())
    await desk.whispered("Nothing was changed.", ROBIN)
    held = await desk.bot.store.postmortem(1)
    assert held is not None
    assert held.state is PostmortemState.UNWRITTEN


async def test_before_it_ends_there_is_none_and_that_is_said(desk: Review) -> None:
    await desk.declared(severity="P3")
    await desk.slack.command("postmortem 1", user=ROBIN)
    await desk.whispered("is not resolved yet", ROBIN)
    await desk.slack.command("postmortem", user=ROBIN, channel="C0GENERAL")
    await desk.whispered("Say which", ROBIN)


async def test_an_unwritten_one_is_reminded_of_twice_and_then_no_more(desk: Review) -> None:
    incident = await desk.ended()
    await desk.slack.command("role 1 postmortem <@U0APPROVER>", user=ROBIN)
    await desk.bot.tasks.drain(5)
    told = [await reminders(desk, incident, day) for day in range(1, 20)]
    assert told[-1] == 3, "in person, then in person and in the channel"
    assert told.index(1) + 1 >= 2
    assert told.index(3) + 1 >= 5
    last = [one.channel for one in desk.slack.messages if "This is the last reminder" in one.text]
    assert last.count(HERE) == 1


async def test_a_published_one_is_not_reminded_of(desk: Review) -> None:
    incident = await desk.ended()
    await desk.click("publish_postmortem")
    assert await reminders(desk, incident, 30) == 0


async def reminders(desk: Review, incident: Incident, days: int) -> int:
    """How many there have been when somebody has looked so many days after it ended."""
    assert incident.resolved_at is not None
    clock = FakeClock(incident.resolved_at + timedelta(days=days))
    await replace(desk.bot.postmortems, clock=clock).tick()
    while await replace(desk.bot.deliveries, clock=clock).send_some():
        pass
    return len([one for one in desk.slack.messages if "working days after it ended" in one.text])


async def test_prometheus_is_asked_everything_at_once(desk: Review) -> None:
    """One after the other, questions that hang would take longer than a file has to be sent."""
    incident, together = await desk.ended(), asyncio.Barrier(5)

    class Together(FakeMetrics):
        async def query_range(self, promql: str, **asked: Any) -> Sequence[Series]:
            async with asyncio.timeout(30):
                await together.wait()
            return await super().query_range(promql, **asked)

    handler, metrics = desk.bot.postmortems, Together()
    worlds = {name: replace(world, metrics=metrics) for name, world in handler.prober.worlds.items()}
    policy = replace(handler.policy, afterwards=replace(handler.policy.afterwards, objective=Objective(share=0.999)))
    asking = replace(handler, policy=policy, prober=replace(handler.prober, worlds=worlds))
    files = await Publisher(handler=asking, charts=ChartProcess(), templates=None).files(incident, 0)
    assert [one.name for one in files] == ["INC-1-postmortem.md"]
    assert len(metrics.asked) == 5
