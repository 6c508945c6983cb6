"""What people type is stored on both databases, whatever characters it holds, and its seal is found whole."""

from pathlib import Path

import pytest

from bot.domain import acts
from bot.domain.timeline import fault
from tests.databases import KINDS, copy_of, store_at
from tests.domain.incidents import ADA, POLICY, declaring
from tests.fakes import NOW

HOSTILE = "\x00a\ud800b \u202eevil 🔥 \x1b[31m\udfff" + "ש" * 3000


@pytest.mark.parametrize("kind", KINDS)
async def test_text_that_no_database_keeps_fails_no_act(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = store_at(copy_of(kind, tmp_path, request))
    try:
        made = declaring(title=HOSTILE, impact=HOSTILE, action=HOSTILE)
        held = await store.create(made, now=NOW, request="view:1")
        assert held.impact.startswith("ab \u202eevil 🔥 \x1b[31mש")
        update = acts.Update(impact=HOSTILE, action=HOSTILE)
        held = await store.save(held, acts.update(held, update, ADA, NOW, POLICY), now=NOW)
        held = await store.save(held, acts.note(held, HOSTILE, ADA, NOW), now=NOW)
        held = await store.save(held, acts.resolve(held, (HOSTILE,), HOSTILE, ADA, NOW), now=NOW)
        entries = await store.timeline(held.id)
        assert fault(entries, count=held.entries, last_hash=held.last_hash) is None
        assert len(entries) == 5
    finally:
        await store.close()
