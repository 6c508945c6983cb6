"""The database or Slack away, at start or later, and back: the unmodified bot as a process, told in clear sentences."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.policy import Policy
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import View
from bot.sandbox.slack.filling import Values
from tests.databases import copy_of, locked, store_at
from tests.flows.test_incidents import cards, form, said

TOLD = {"title": {"value": "Completions fail"}, "severity": {"value": "P1"}, "commander": {"value": ""}}
AWAY = "The database cannot be used just now"
SOCKET = ".s.PGSQL.5432"


@dataclass
class Wire:
    """What lies between the bot and a PostgreSQL, and can be cut: a socket of its own, forwarded to the server's."""

    server: Path
    folder: Path
    _listening: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def join(self) -> None:
        self._listening = await asyncio.start_unix_server(self._forward, self.folder / SOCKET)

    async def cut(self) -> None:
        if self._listening is None:
            return
        self._listening.close()
        for writer in list(self._open):
            writer.transport.abort()
        (self.folder / SOCKET).unlink(missing_ok=True)
        self._listening = None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self.server / SOCKET)
        self._open |= {writer, inner_writer}
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        self._open -= {writer, inner_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while held := await reader.read(65536):
            writer.write(held)
            await writer.drain()
    writer.close()


@pytest.fixture
async def wire(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Wire, str]]:
    """A wire that is not joined yet, and the DATABASE_URL that leads through it."""
    url = copy_of("PostgreSQL", tmp_path, request)
    base, _, host = url.partition("?host=")
    # a socket's path may have 108 characters
    folder = Path(tempfile.mkdtemp(prefix="wire-"))
    held = Wire(Path(host), folder)
    yield held, f"{base}?host={folder}"
    await held.cut()
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def started(url: str, *, slack_down: bool = False) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(load_scenarios()["all is well"], environ={"DATABASE_URL": url})
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    sandbox.slack.down = slack_down
    try:
        await sandbox.start_bot()
        if not slack_down:
            await sandbox.slack.wait_connected()
        yield sandbox
    finally:
        await sandbox.close()


async def readiness(sandbox: Sandbox, status: int, part: str) -> None:
    """Waits until ``/readyz`` answers so."""
    url = f"http://127.0.0.1:{sandbox.environment()['PORT']}"
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == status and part in await answer.text():
                        break
            await asyncio.sleep(0.1)
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200, "the process is well: it must not be restarted for that"


async def refused_until_back(sandbox: Sandbox) -> None:
    """Commands and a form while the database is away; the form stays open with what was typed."""
    slack = sandbox.slack.workspace
    await slack.command("list")
    await slack.wait_for(lambda: said(slack, AWAY, only_for="U0REQUESTER"))
    await slack.command("declare")
    view = await form(slack)
    answer = await slack.submit(view, TOLD)
    assert set(answer["errors"]) == {"title"}
    assert AWAY in answer["errors"]["title"] or "Send it again" in answer["errors"]["title"]
    assert slack.views["U0REQUESTER"] is view


async def settled(url: str) -> None:
    """Until nothing is being sent: what is when the database goes is sent again when its lease has run out."""
    store = store_at(url)
    async with asyncio.timeout(15):
        while await store.waiting():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.05)
    await store.close()


async def submitted(sandbox: Sandbox, view: View, values: Values) -> None:
    """Somebody sends the form again and again, as long as it is refused."""
    async with asyncio.timeout(30):
        while (await sandbox.slack.workspace.submit(view, values)).get("response_action") == "errors":  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # as a person does; no event tells


async def declared_once_it_is_back(sandbox: Sandbox) -> None:
    slack = sandbox.slack.workspace
    await submitted(sandbox, slack.views["U0REQUESTER"], TOLD)
    await slack.wait_for(lambda: cards(slack))
    await slack.command("role scribe")
    await slack.wait_for(lambda: [one for one in said(slack, "is scribe of") if not one.only_for])
    assert len(cards(slack)) == 1
    await slack.command("list")
    await slack.wait_for(lambda: said(slack, "*INC-"))
    assert said(slack, "*INC-")[0].all_text.count("Completions fail") == 2, "once in its text, once in its block"


async def test_a_folder_that_is_missing_at_start_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    async with started(f"sqlite+aiosqlite:///{folder}/bot.db") as sandbox:
        await readiness(sandbox, 503, "the database")
        await refused_until_back(sandbox)
        folder.mkdir()
        await readiness(sandbox, 200, "ok")
        await declared_once_it_is_back(sandbox)


async def test_a_file_that_somebody_has_locked_is_waited_for(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = copy_of("SQLite", tmp_path, request)
    async with started(url) as sandbox:
        slack = sandbox.slack.workspace
        await readiness(sandbox, 200, "ok")
        async with locked(url):
            await slack.command("declare")
            answer = await slack.submit(await form(slack), TOLD)
            assert "Send it again: it is done once" in answer["errors"]["title"]
        await declared_once_it_is_back(sandbox)


async def test_a_postgresql_that_is_not_there_at_start_is_waited_for(wire: tuple[Wire, str]) -> None:
    async with started(wire[1]) as sandbox:
        await readiness(sandbox, 503, "the database")
        await refused_until_back(sandbox)
        await wire[0].join()
        await readiness(sandbox, 200, "ok")
        await declared_once_it_is_back(sandbox)


async def test_a_postgresql_that_goes_away_in_mid_incident_loses_and_doubles_nothing(wire: tuple[Wire, str]) -> None:
    await wire[0].join()
    async with started(wire[1]) as sandbox:
        slack = sandbox.slack.workspace
        await readiness(sandbox, 200, "ok")
        await slack.command("declare")
        await slack.submit(await form(slack), TOLD)
        (card,) = await slack.wait_for(lambda: cards(slack))
        await slack.click(card, "update")
        view = await form(slack)
        await settled(wire[1])
        await wire[0].cut()
        answer = await slack.submit(view, {"action": {"value": "queueing"}})
        assert answer["errors"]["status"].startswith((AWAY, "The database is slow"))
        await slack.click(card, "command", user="U0APPROVER")
        await slack.wait_for(lambda: said(slack, AWAY, only_for="U0APPROVER"))
        await wire[0].join()
        await submitted(sandbox, view, {"action": {"value": "queueing"}})
        await slack.submit(await form(slack))
        await slack.wait_for(lambda: "queueing" in card.all_text)
        await slack.wait_for(lambda: said(slack, "from <@U0REQUESTER>"))
        assert cards(slack) == [card]
        assert len(said(slack, "from <@U0REQUESTER>")) == 1
        assert "nobody yet" in card.all_text, "what was refused was not done"


async def test_a_restart_after_an_hour_with_slack_away_says_each_thing_once_when_it_is_back(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of("SQLite", tmp_path, request)
    store, then = store_at(url), datetime.now(UTC) - timedelta(hours=1)
    told = Declaration(target="default", title="Completions fail", severity=Severity.P1, channel="C0INCIDENTS")
    await store.create(acts.declare(told, "U0REQUESTER", then, Policy()), now=then, request="view:1")
    async with started(url, slack_down=True) as sandbox:
        slack = sandbox.slack.workspace
        await readiness(sandbox, 503, "no answer from: Slack")
        sandbox.slack.down = False
        await sandbox.slack.wait_connected(30)
        await readiness(sandbox, 200, "ok")
        await slack.wait_for(lambda: said(slack, "Nobody has taken command"), 40)
        await slack.wait_for(lambda: said(slack, "was due"), 40)
        incident = await store.incident(1)
        assert incident is not None
        assert (incident.nudges, incident.escalations) == (1, 1)
        assert incident.nudge_at is not None
        assert incident.nudge_at > datetime.now(UTC), "the next one is half a cadence away"
        assert len(cards(slack)) == len(said(slack, "was due")) == len(said(slack, "Nobody has taken command")) == 1
        assert not said(slack, "an update is due"), "it is overdue, and said so"
    await store.close()
