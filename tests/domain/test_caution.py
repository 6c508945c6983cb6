"""What the decision table says never to use, quoted to whoever wants it all the same."""

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.causes import CAUSES
from bot.domain.caution import why_never
from bot.domain.table import ROWS


def test_the_triages_own_headline_is_quoted() -> None:
    found = {"cause": "rate_limited", "headline": "Mistral's rate limit is reached"}
    assert why_never(found, "restart") == (
        "The triage says: Mistral's rate limit is reached. restart must not be used for that."
    )


def test_a_cause_alone_is_quoted_by_its_usual_headline() -> None:
    assert CAUSES["provider_outage"].headline in why_never({"cause": "provider_outage"}, "rollback")


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        ({}, "restart"),
        ({"cause": None}, "restart"),
        ({"cause": "of another version"}, "restart"),
        ({"cause": "rate_limited"}, "rate_limit_queue"),
        ({"cause": "rate_limited"}, "of the yaml file"),
    ],
)
def test_nothing_speaks_against_what_the_table_does_not_name(found: Mapping[str, Any], remedy: str) -> None:
    assert why_never(found, remedy) == ""


def test_rows_of_one_cause_agree_on_what_is_never_used() -> None:
    # a kept triage names its cause, not its row
    for row in ROWS:
        assert all(other.never == row.never for other in ROWS if other.cause == row.cause), row.cause
