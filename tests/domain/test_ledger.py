"""What is left in the cluster: what can be taken back, and what an incident's end waits for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.changes import AnnotationChange, Change, KeyChange, RevisionChange
from bot.domain.incident import Refusal
from bot.domain.ledger import must_be_settled, revertible, under_way, unsettled
from bot.domain.runs import IN_FLIGHT, REVERT, Outcome, Run, State
from tests.fakes import NOW
from tests.runs import ENV, a_plan, a_run

RESTART = AnnotationChange(name="restartedAt", before=None, after="now")
REVISION = RevisionChange(before=3, before_set="app-3", after=2, after_set="app-2")
KEY = KeyChange(secret="keys", entry="api-key", source="new", source_entry="api-key", source_version="7")


def run(**fields: Any) -> Run:
    """A fallback that was put in place and helped."""
    applied = a_run(state=State.ENDED, outcome=Outcome.FIXED, plan=a_plan(), applied_at=NOW)
    return replace(applied, **{"ended_at": NOW + timedelta(minutes=5), **fields})


def test_what_is_in_place_is_named_and_holds_up_the_end() -> None:
    with pytest.raises(Refusal, match="Revert or keep first what is still in place: fallback, raise_timeout"):
        must_be_settled([run(), run(id="2", remedy="raise_timeout"), run(id="3")])


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_what_is_about_to_be_in_place_holds_it_up_too(state: State) -> None:
    assert unsettled([run(state=state, outcome=None, ended_at=None)])


@pytest.mark.parametrize(
    "fields",
    [
        {"kept": "until the provider is back"},
        {"reverted_by": "2"},
        {"temporary": False},
        {"applied_at": None},
        *({"state": state, "applied_at": None} for state in (State.PLANNING, State.PROPOSED)),
        *({"state": state, "applied_at": None} for state in (State.REJECTED, State.EXPIRED, State.CANCELLED)),
    ],
    ids=str,
)
def test_what_is_settled_or_was_never_applied_holds_up_nothing(fields: dict[str, Any]) -> None:
    assert unsettled([run(**fields)]) == ()
    must_be_settled([run(**fields)])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        *(({"state": state}, "the rollback is under way") for state in sorted(IN_FLIGHT)),
        ({"state": State.APPROVED}, "the rollback is approved, and is dropped with the end of the incident"),
        ({"state": State.WATCHING, "remedy": REVERT}, "the revert of shed is under way"),
        ({"state": State.APPROVED, "remedy": REVERT}, "the revert of shed is approved and begins"),
    ],
    ids=str,
)
def test_what_is_under_way_speaks_against_the_end_without_holding_it_up(fields: dict[str, Any], said: str) -> None:
    held = run(**{"remedy": "rollback", "temporary": False, "arguments": {"remedy": "shed"}, **fields})
    assert under_way([held, replace(held, id="2")]) == (said,)
    must_be_settled([held])
    assert under_way([replace(held, temporary=True)]) == ()
    assert under_way([replace(held, state=State.PROPOSED), replace(held, state=State.ENDED)]) == ()


def test_a_failed_one_that_was_applied_holds_it_up() -> None:
    assert unsettled([run(outcome=Outcome.FAILED)])


@pytest.mark.parametrize(("changes", "can"), [((ENV,), True), ((REVISION,), True), ((RESTART,), False)], ids=str)
def test_taking_back_is_offered_where_it_changes_anything(changes: tuple[Change, ...], can: bool) -> None:
    assert revertible(run(plan=a_plan(changes=changes), temporary=False)) is can
    assert revertible(run(plan=a_plan(changes=(*changes, RESTART)))) is can


@pytest.mark.parametrize(
    "fields",
    [
        {"plan": a_plan(changes=(KEY,))},
        {"plan": a_plan(changes=(KEY, RESTART))},
        {"plan": None},
        {"remedy": REVERT},
        {"applied_at": None},
        {"reverted_by": "2"},
        {"state": State.VERIFYING},
        {"state": State.EXPIRED},
    ],
    ids=lambda one: str(one)[:40],
)
def test_taking_back_is_not_offered_where_there_is_nothing_to_take_back(fields: dict[str, Any]) -> None:
    assert not revertible(run(**fields))
