"""What a remedy is given, for tests, and what it refuses."""

from collections.abc import Sequence
from typing import Any

import pytest

from bot.domain.changes import Change
from bot.domain.incident import Refusal
from bot.domain.remedies import ENV_REMEDIES
from bot.mitigations import load
from bot.ports import Ask, Remedy
from tests.fakes import probe_run
from tests.objects import Object, deployment

STAMP = "2026-07-01T12:00:00Z"


def remedy(name: str) -> Remedy:
    return load(ENV_REMEDIES)[name]


def ask(held: Object | None = None, *sets: Object, arguments: dict[str, str] | None = None, **run: Any) -> Ask:
    """``run``: fields of :func:`tests.fakes.probe_run`."""
    return Ask(
        run=probe_run(**run),
        deployment=deployment() if held is None else held,
        replica_sets=sets,
        arguments=arguments or {},
        stamp=STAMP,
    )


async def planned(name: str, asked: Ask) -> Sequence[Change]:
    return await remedy(name).plan(asked)


async def refusal(name: str, asked: Ask) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(Refusal) as told:
        await planned(name, asked)
    return str(told.value)
