"""What the public is told, on both databases: written with the incident or not at all, and numbered in order."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain import acts
from bot.domain.acts import Update
from bot.domain.incident import Incident, Outgoing, Refusal
from bot.domain.policy import Policy
from bot.domain.publication import ComponentState, Impact, Publication, PublicStatus
from bot.domain.telling import to_public
from bot.errors import AlreadyDone, Conflict
from bot.ports import Draft, MessageRef
from bot.store.sql import SqlStore
from tests.domain.incidents import declaring
from tests.fakes import NOW

MINUTE = timedelta(minutes=1)
TOLD = Publication(
    status=PublicStatus.INVESTIGATING,
    title="Slow answers",
    text="Some answers take longer than usual.",
    components={"Chat": ComponentState.DEGRADED},
    impact=Impact.MINOR,
    by="U0ROBIN",
)
POLICY = Policy()


async def told(
    store: SqlStore, before: Incident, publication: Publication = TOLD, *, minutes: int = 0, request: str | None = None
) -> Incident:
    now = NOW + minutes * MINUTE
    change = acts.update(before, Update(action="looking"), "U0ROBIN", now, POLICY)
    return await store.save(before, to_public(change, publication, now, ["builtin", "file"]), now=now, request=request)


async def test_what_is_published_is_read_as_it_was_written_and_later_updates_are_added(
    store: SqlStore, incident: Incident
) -> None:
    assert await store.public(incident.id) is None
    held = await told(store, incident)
    found = replace(TOLD, status=PublicStatus.IDENTIFIED, text="We know why.", workaround="Try the old search.")
    await told(store, held, found, minutes=5)
    public = await store.public(incident.id)
    assert public is not None
    assert (public.title, public.status, public.impact) == ("Slow answers", PublicStatus.IDENTIFIED, Impact.MINOR)
    assert (public.began_at, public.resolved_at, public.updated_at) == (NOW, None, NOW + 5 * MINUTE)
    assert [(one.number, one.text, one.workaround) for one in public.updates] == [
        (1, "Some answers take longer than usual.", ""),
        (2, "We know why.", "Try the old search."),
    ]
    assert await store.public_called(public.slug) == public
    assert await store.public_called("nothing") is None


async def test_an_end_is_kept_and_a_correction_after_it_does_not_move_it(store: SqlStore, incident: Incident) -> None:
    held = await told(store, await told(store, incident), replace(TOLD, status=PublicStatus.RESOLVED), minutes=9)
    held = await told(store, held, replace(TOLD, status=PublicStatus.POSTMORTEM, text="What happened"), minutes=60)
    public = await store.public(incident.id)
    assert public is not None
    assert (public.open, public.resolved_at) == (False, NOW + 9 * MINUTE)
    await told(store, held, replace(TOLD, status=PublicStatus.MONITORING), minutes=61)
    public = await store.public(incident.id)
    assert public is not None
    assert (public.open, public.resolved_at) == (True, None), "it was reopened"


async def test_the_version_changes_with_every_update_and_with_nothing_else(store: SqlStore, incident: Incident) -> None:
    seen = [await store.public_version()]
    held = await told(store, incident)
    seen.append(await store.public_version())
    held = await store.save(held, acts.note(held, "seen", "U0ROBIN", NOW), now=NOW)
    assert await store.public_version() == seen[-1]
    await told(store, held, minutes=1)
    seen.append(await store.public_version())
    assert len(set(seen)) == 3


async def test_the_same_request_publishes_once_and_a_conflict_publishes_nothing(
    store: SqlStore, incident: Incident
) -> None:
    held = await told(store, incident, request="draft:1")
    with pytest.raises(AlreadyDone):
        await told(store, held, request="draft:1")
    with pytest.raises(Conflict):
        await told(store, incident, request="draft:2")
    public = await store.public(incident.id)
    assert public is not None
    assert len(public.updates) == 1


async def test_two_who_publish_at_once_number_their_updates_one_after_the_other(
    store: SqlStore, incident: Incident
) -> None:
    held = await told(store, incident)
    ended = await asyncio.gather(*(told(store, held, minutes=1) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in ended) == 3
    public = await store.public(incident.id)
    assert public is not None
    assert [one.number for one in public.updates] == [1, 2]


async def test_each_page_has_one_delivery_that_a_later_update_asks_for_anew(
    store: SqlStore, incident: Incident
) -> None:
    held = await told(store, await told(store, incident), minutes=1)
    assert [(one.page, one.state, one.known) for one in await store.published(held.id)] == [
        ("builtin", "waiting", None),
        ("file", "waiting", None),
    ]


async def test_incidents_are_listed_the_newest_first_and_on_from_one(store: SqlStore) -> None:
    slugs: list[str] = []
    for number in range(5):
        made = await store.create(declaring(), now=NOW, request=f"view:{number}")
        ended = PublicStatus.RESOLVED if number % 2 else PublicStatus.INVESTIGATING
        await told(store, made, replace(TOLD, status=ended), minutes=number)
        public = await store.public(made.id)
        assert public is not None
        slugs.insert(0, public.slug)
    newest = await store.public_incidents(limit=2)
    assert [one.slug for one in newest] == slugs[:2]
    assert [one.slug for one in await store.public_incidents(limit=9, since=newest[-1])] == slugs[2:]
    assert [one.slug for one in await store.public_incidents(open_only=True, limit=9)] == slugs[::2]
    assert len(set(slugs)) == 5


async def test_of_those_that_began_at_the_same_moment_none_is_left_out_of_the_list(store: SqlStore) -> None:
    for number in range(4):
        await told(store, await store.create(declaring(), now=NOW, request=f"view:{number}"))
    newest = await store.public_incidents(limit=2)
    older = await store.public_incidents(limit=9, since=newest[-1])
    assert len({one.slug for one in (*newest, *older)}) == 4


async def test_a_draft_is_kept_until_it_is_old(store: SqlStore, incident: Incident) -> None:
    draft = Draft(id="d1", incident=incident.id, by="U0ROBIN", held={"impact": "Ünï 🔥", "components": ["Chat"]})
    await store.keep_draft(draft)
    assert await store.draft("d1") == draft
    assert await store.draft("d2") is None
    anew = replace(draft, held={"impact": "nobody can chat"})
    await asyncio.gather(*(store.keep_draft(one) for one in [anew, *(replace(anew, id="d3") for _ in range(5))]))
    assert (await store.draft("d1"), await store.draft("d3")) == (anew, replace(anew, id="d3"))


def test_the_public_is_told_nothing_without_title_text_or_page() -> None:
    change = declaring()
    for wrong in (replace(TOLD, title=" \n"), replace(TOLD, text="\x00 ")):
        with pytest.raises(Refusal):
            to_public(change, wrong, NOW, ["builtin"])
    with pytest.raises(Refusal, match="status_page"):
        to_public(change, TOLD, NOW, [])


def test_a_secret_that_was_pasted_into_a_public_text_is_masked() -> None:
    pasted = replace(TOLD, title="key=sk-abcdefghijklmnop1234", workaround="Authorization: Bearer abcdef123456")
    change = to_public(declaring(), pasted, NOW, ["builtin"])
    assert change.publication is not None
    assert "abcdef" not in f"{change.publication}{change.events}"


async def test_who_was_told_is_known_in_order_and_whom_slack_refused_is_not_among_them(
    store: SqlStore, incident: Incident
) -> None:
    assert await store.noticed(incident.id) == []
    for number, channel in enumerate(("C0SUPPORT", "C0GONE", "C0ABOVE", "C0SUPPORT")):
        message = Outgoing(kind="notice", to=channel, template="stakeholder_update", context={"text": str(number)})
        incident = await store.save(incident, acts.tell(incident, message), now=NOW)
    assert await store.noticed(incident.id) == ["C0SUPPORT", "C0GONE", "C0ABOVE"], "they will be told"
    for delivery in await store.claim(NOW, limit=10, lease_s=60):
        if delivery.message.to == "C0GONE":
            await store.dead(delivery, "is_archived")
        elif delivery.message.to == "C0SUPPORT":
            await store.sent(delivery, MessageRef(channel="C0SUPPORT", ts="1.0"))
    assert await store.noticed(incident.id) == ["C0SUPPORT", "C0ABOVE"]
    other = await store.create(declaring(), now=NOW, request="view:1")
    assert await store.noticed(other.id) == []
