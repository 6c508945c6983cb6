"""What is on record, through the command line as real processes, on both databases."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Role
from bot.domain.policy import Policy
from bot.store.sql import SqlStore
from tests.databases import KINDS, copy_of, store_at
from tests.fakes import NOW
from tests.test_main import mistral_bot

POLICY = Policy()
HOSTILE = "Ünï 🔥 \x1b[2J\u202e quoted"
SHOWN = "Ünï 🔥 ·[2J· quoted"
KEYS = [
    *("id", "name", "title", "severity", "status", "target", "impact", "action", "components", "cause", "roles"),
    *("milestones", "declared_by", "declared_at", "updated_at", "next_update_at", "resolved_at", "channel"),
]


@dataclass(frozen=True)
class Bot:
    """The command line on one database, and the store beside it."""

    url: str
    home: Path
    store: SqlStore

    async def says(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        own = {"DATABASE_URL": self.url, **environ}
        return await asyncio.to_thread(mistral_bot, *arguments, home=self.home, **own)

    async def lines(self, *arguments: str, status: int = 0) -> list[str]:
        """What it prints, which is all it says."""
        ended = await self.says(*arguments)
        assert (ended.returncode, ended.stderr) == (status, "")
        return ended.stdout.splitlines()

    async def value(self, *arguments: str) -> Any:
        """The one value that it prints for scripts."""
        (line,) = await self.lines(*arguments, "--output", "json")
        return json.loads(line)

    async def tamper(self, statement: str) -> None:
        """As somebody does who may write to the database."""
        async with self.store.engine.begin() as connection:
            await connection.execute(text(statement))

    async def declare(self, title: str, severity: Severity) -> int:
        told = Declaration(
            target="default", title=title, severity=severity, impact="all users", channel="C1", components=("API",)
        )
        made = await self.store.create(acts.declare(told, "U1", NOW, POLICY), now=NOW, request=f"view:{title}")
        return made.id


@pytest.fixture(params=KINDS)
async def bot(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bot]:
    url = copy_of(request.param, tmp_path, request)
    store = store_at(url)
    yield Bot(url, tmp_path, store)
    await store.close()


async def test_a_database_without_incidents_is_nothing_wrong(bot: Bot) -> None:
    assert await bot.lines("incidents") == ["no incidents"]
    assert await bot.lines("deliveries") == ["nothing waits"]


async def test_incidents_are_listed_newest_first_with_keys_that_stay(bot: Bot) -> None:
    first = await bot.declare("Completions fail", Severity.P1)
    second = await bot.declare(HOSTILE, Severity.P3)
    held = await bot.store.incident(first)
    assert held is not None
    await bot.store.save(held, acts.give_role(held, Role.COMMANDER, "U2", "U2", NOW), now=NOW)

    when = f"{NOW:%Y-%m-%d %H:%M} UTC"
    assert await bot.lines("incidents") == [
        f"INC-{second}  P3  investigating  {when}  {SHOWN}",
        f"INC-{first}  P1  investigating  {when}  Completions fail",
    ]
    newest, oldest = await bot.value("incidents")
    assert (list(newest), list(oldest)) == (KEYS, KEYS)
    assert newest["title"] == HOSTILE
    assert oldest == {
        "id": first,
        "name": f"INC-{first}",
        "title": "Completions fail",
        "severity": "P1",
        "status": "investigating",
        "target": "default",
        "impact": "all users",
        "action": "",
        "components": ["API"],
        "cause": None,
        "roles": {"commander": "U2"},
        "milestones": {"declared": NOW.isoformat(), "acknowledged": NOW.isoformat()},
        "declared_by": "U1",
        "declared_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        "next_update_at": (NOW + timedelta(minutes=15)).isoformat(),
        "resolved_at": None,
        "channel": "C1",
    }


@pytest.mark.parametrize("bot", ["SQLite"], indirect=True)
async def test_stdout_that_knows_ascii_alone_is_no_reason_to_fail(bot: Bot) -> None:
    await bot.declare(HOSTILE, Severity.P3)
    for arguments in (("incidents",), ("incidents", "--output", "json")):
        ended = await bot.says(*arguments, PYTHONIOENCODING="ascii")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "quoted" in ended.stdout


TAMPERED = [
    ("UPDATE timeline SET text = 'nothing' WHERE incident = 1 AND number = 2", "entry 2 was changed"),
    ("DELETE FROM timeline WHERE incident = 2 AND number = 2", "entry 2 is missing"),
    ("DELETE FROM timeline WHERE incident = 3 AND number = 3", "3 entries were written and 2 are there"),
    ("UPDATE timeline SET kind = 'gossip' WHERE incident = 4 AND number = 2", "an entry was changed into"),
    ("UPDATE timeline SET data = 'false' WHERE incident = 5 AND number = 2", "an entry was changed into"),
    ("UPDATE timeline SET number = 4 WHERE incident = 6 AND number = 3", "entry 3 is missing"),
    ("UPDATE incidents SET last_hash = 'x' WHERE id = 7", "the last entry is not the one"),
]


async def test_each_timeline_that_was_tampered_with_is_found_and_the_others_are_whole(bot: Bot) -> None:
    for number in range(1, len(TAMPERED) + 2):
        assert await bot.declare(f"number {number}", Severity.P3) == number
        for said in ("one", "two"):
            held = await bot.store.incident(number)
            assert held is not None
            await bot.store.save(held, acts.note(held, said, "U1", NOW), now=NOW)
    whole = [f"INC-{number}  whole, 3 entries" for number in range(len(TAMPERED) + 1, 0, -1)]
    assert await bot.lines("incidents", "verify") == whole
    for statement, _ in TAMPERED:
        await bot.tamper(statement)
    found = await bot.lines("incidents", "verify", status=1)
    assert found[0] == whole[0]
    for number, (line, (_, told)) in enumerate(zip(reversed(found[1:]), TAMPERED, strict=True), start=1):
        assert line.startswith(f"INC-{number}  {told}"), line


async def test_what_waits_and_what_was_given_up_is_told_and_tried_again(bot: Bot) -> None:
    number = await bot.declare("Completions fail", Severity.P1)
    waiting = await bot.value("deliveries")
    assert {one["state"] for one in waiting} == {"waiting"}
    (claimed,) = await bot.store.claim(NOW, limit=1, lease_s=60)
    await bot.store.dead(claimed, "channel_not_found\x1b[2J")

    (dead,) = [one for one in await bot.value("deliveries") if one["state"] == "dead"]
    assert (dead["id"], dead["incident"], dead["destination"]) == (claimed.id, number, claimed.message.to)
    assert (dead["kind"], dead["attempts"], dead["error"]) == (claimed.message.kind, 1, "channel_not_found\x1b[2J")
    (line,) = [line for line in await bot.lines("deliveries") if line.startswith("dead")]
    assert line.endswith(f"{claimed.message.kind}  INC-{number}  1 attempt  channel_not_found·[2J")

    assert await bot.lines("deliveries", "retry") == ["1 dead delivery waits again"]
    assert (await bot.store.waiting()) == {"waiting": len(waiting)}
    assert [one.id for one in await bot.store.claim(NOW, limit=1, lease_s=60)] == [claimed.id]


async def test_metrics_count_open_incidents_and_average_the_resolved_ones(bot: Bot) -> None:
    await bot.declare("Slow", Severity.P3)
    for title, acknowledged, restored in (("one", 4, 30), ("two", 8, 150)):
        held = await bot.store.incident(await bot.declare(title, Severity.P1))
        assert held is not None
        at = NOW + timedelta(minutes=acknowledged)
        held = await bot.store.save(held, acts.give_role(held, Role.COMMANDER, "U2", "U2", at), now=at)
        at = NOW + timedelta(minutes=restored)
        await bot.store.save(held, acts.resolve(held, (), "", "U2", at), now=at)

    held_figures = await bot.value("metrics")
    assert held_figures["open"] == {"P1": 0, "P2": 0, "P3": 1, "P4": 0}
    assert held_figures["resolved"] == {"P1": {"incidents": 2, "mtta_s": 360.0, "mttr_s": 5400.0}}
    waiting = (await bot.store.waiting())["waiting"]
    assert held_figures["deliveries"] == {"waiting": waiting, "sending": 0, "dead": 0}
    assert (await bot.lines("metrics"))[:5] == [
        "P1  0 open  2 resolved  MTTA 6 min  MTTR 90 min",
        "P2  0 open  0 resolved  MTTA -  MTTR -",
        "P3  1 open  0 resolved  MTTA -  MTTR -",
        "P4  0 open  0 resolved  MTTA -  MTTR -",
        f"deliveries: {waiting} waiting, 0 sending, 0 dead",
    ]
    # NOW lies further back than a month
    learnt = (await bot.value("metrics", "--since", "10y"))["since"]
    assert (learnt["incidents"], learnt["by_severity"]) == (3, {"P1": 2, "P2": 0, "P3": 1, "P4": 0})
    assert learnt["spans"]["MTTA"] == {
        "from": "declared",
        "to": "acknowledged",
        "mean_s": 360.0,
        "median_s": 360.0,
        "incidents": 2,
    }
    assert "MTTR  mean 90 min, median 90 min, of 2 (from declared to restored)" in await bot.lines(
        "metrics", "--since", "10y"
    )


COMMANDS = [["incidents"], ["incidents", "verify"], ["deliveries"], ["deliveries", "retry"], ["metrics"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_file_that_is_not_there_is_told_and_not_made(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    ended = mistral_bot(*arguments, home=tmp_path, DATABASE_URL=f"sqlite+aiosqlite:///{path}")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"mistral-bot: There is no database at {path} that the bot has used")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://ada:planted@127.0.0.1:9/bot", "Connection refused"),
        ("postgresql+psycopg://ada:pl@nted:5/x@127.0.0.1:9/bot", "DATABASE_URL makes no sense"),
        ("postgresql+psycopg://ada:x@127.0.0.1:planted/bot", "DATABASE_URL makes no sense"),
        ("sqlite+aiosqlite:////no/such/folder/bot.db", "There is no folder /no/such/folder"),
    ],
    ids=["closed port", "password with @", "port", "folder"],
)
def test_a_database_that_cannot_be_used_is_one_line_without_its_password(url: str, told: str, tmp_path: Path) -> None:
    ended = mistral_bot("incidents", home=tmp_path, DATABASE_URL=url)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert told in ended.stderr
    assert "nted" not in ended.stderr


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    path.write_text("not a database, and long enough to be looked at" * 100)
    ended = mistral_bot("incidents", home=tmp_path, DATABASE_URL=f"sqlite+aiosqlite:///{path}")
    assert (ended.returncode, ended.stderr) == (
        1,
        "mistral-bot: The database cannot be used: file is not a database\n",
    )


async def test_a_database_of_an_older_migration_or_of_none_is_not_read(bot: Bot) -> None:
    for statement, told in (
        ("UPDATE alembic_version SET version_num = '0001'", "at migration 0001"),
        ("DROP TABLE alembic_version", "that the bot has used"),
    ):
        await bot.tamper(statement)
        ended = await bot.says("metrics")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert told in ended.stderr
