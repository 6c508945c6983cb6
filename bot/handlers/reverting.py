"""Notes in a run that another one has taken it back."""

from dataclasses import replace
from datetime import datetime

from bot.domain import mitigation
from bot.domain.runs import Run, RunChange
from bot.errors import Conflict
from bot.ports import Store

_ATTEMPTS = 8


async def note_reverted(store: Store, run: Run, now: datetime) -> None:
    """In the run that ``run`` takes back; done again by whoever takes over, and then it is done already."""
    for _ in range(_ATTEMPTS):
        original = await store.run(run.arguments["of"])
        if original is None or original.reverted_by == run.id:
            return
        after = replace(original, reverted_by=run.id, remind_at=None)
        change = RunChange(run=after, messages=mitigation.cards(after))
        try:
            await store.move_run(original, change, now=now)
        except Conflict:
            continue
        return
