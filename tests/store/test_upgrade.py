"""A bot of before migration 0003 beside this one: it takes, and calls sent, whatever it sees waiting."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.domain import acts
from bot.domain.incident import CARD, HOME, PAGER, Change, Incident, Outgoing, Priority
from bot.ports import MessageRef
from bot.store.sql import SqlStore
from bot.store.writing import enqueue
from tests.fakes import NOW

# What that bot asks for, and what it does with a kind that it does not know.
_TAKES = """
    UPDATE deliveries SET state = 'sent'
    WHERE (state = 'waiting' AND due_at <= '9999-01-01') OR (state = 'sending' AND lease_until <= '9999-01-01')
"""
LATER = NOW + timedelta(hours=1)
NEW = {
    "notice": Outgoing(kind="notice", to="C0SUPPORT", template="stakeholder_update"),
    "status": Outgoing(kind="status", to="status:builtin"),
    "proposal": Outgoing(kind="proposal", to=HOME, template="p1"),
    "post": Outgoing(kind="post", to=HOME, template="alerts_fire"),
}


async def former_bot_works(store: SqlStore) -> None:
    async with store.engine.begin() as connection:
        await connection.execute(text(_TAKES))


async def asked_for(store: SqlStore, incident: Incident, message: Outgoing) -> None:
    if message.kind == "proposal":
        async with store.engine.begin() as connection:
            await enqueue(connection, [(None, message)], NOW)
    else:
        before = await store.incident(incident.id)
        assert before is not None
        await store.save(before, acts.saying(Change(incident=before), message), now=NOW)


@pytest.mark.parametrize("message", NEW.values(), ids=NEW)
async def test_the_former_bot_takes_nothing_that_it_cannot_send(
    store: SqlStore, incident: Incident, message: Outgoing
) -> None:
    await former_bot_works(store)
    await asked_for(store, incident, message)
    for again in range(3):
        await former_bot_works(store)
        [mine] = await store.claim(LATER, limit=10, lease_s=-1)
        assert mine.message.kind == message.kind
        await former_bot_works(store)  # of which the lease has run out
        assert (await store.waiting()) == {"sending": 1}
        if again == 0:
            await store.later(mine, NOW, "away", unsure=True)
        elif again == 1:
            await store.dead(mine, "refused")
            assert await store.revive() == 1
    if message.kind in ("status", "proposal"):
        await asked_for(store, incident, message)
        await store.sent(mine, MessageRef(channel="C1", ts="1"))
        await former_bot_works(store)
        [mine] = await store.claim(LATER, limit=10, lease_s=60)
        assert mine.ts == "1"
    await store.sent(mine, MessageRef(channel="C1", ts="1"))
    assert await store.waiting() == {}


async def test_a_bot_of_before_migration_0005_takes_no_page_that_is_for_one_pager(
    store: SqlStore, incident: Incident
) -> None:
    """It would ring all of them."""
    takes = _TAKES.replace("'waiting'", "'due'").replace("'sending'", "'taken'")
    page = Outgoing(kind="page", to=f"{PAGER}:webhook", template="trigger", priority=Priority.PAGE)
    await former_bot_works(store)
    await asked_for(store, incident, page)
    for _ in range(2):
        for taking in (_TAKES, takes):
            async with store.engine.begin() as connection:
                assert (await connection.execute(text(taking))).rowcount == 0
        [mine] = await store.claim(LATER, limit=10, lease_s=-1)
        assert mine.message.to == page.to
    await store.sent(mine, None)
    assert await store.waiting() == {}


async def test_what_the_former_bot_has_left_is_sent_in_order_and_cards_are_shared(
    store: SqlStore, incident: Incident
) -> None:
    await former_bot_works(store)
    await asked_for(store, incident, NEW["post"])
    async with store.engine.begin() as connection:
        await connection.execute(text("UPDATE deliveries SET state = 'waiting' WHERE kind = 'post'"))
    await asked_for(store, incident, NEW["post"])
    first, *others = await store.claim(LATER, limit=10, lease_s=60)
    assert not others, "the second overtakes the first"
    await store.sent(first, MessageRef(channel="C1", ts="1"))
    [second] = await store.claim(LATER, limit=10, lease_s=60)
    assert second.seq > first.seq
    await store.sent(second, MessageRef(channel="C1", ts="2"))
    await asked_for(store, incident, CARD)
    await former_bot_works(store)
    assert await store.waiting() == {}
