"""Does any command, message or reminder get lost or doubled while replicas die, stand still and are replaced?

Three replicas as processes over a real PostgreSQL and the sandbox's Slack, twenty commands a second. In turn one is
killed, one is paused, all are rolled to a newer version with a newer schema, PostgreSQL is restarted and Slack cut.
Then every invariant is looked up in the database and in what Slack got.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select

from bench.figures import Figure, at_most, percentile
from bench.processes import end
from bot.domain.scopes import SCOPES
from bot.errors import StoreError
from bot.handlers.records import verified
from bot.sandbox.launcher import Sandbox, free_port
from bot.sandbox.scenario import load_scenarios
from bot.store.sql import SqlStore
from bot.store.tables import deliveries, incidents
from tests.databases import looking, migrated_template, new_database, postgres_server, store_at

RATE, REPLICAS = 20, 3
_CHECKOUT = Path(__file__).parent.parent
# Reminders within the time that there is.
_POLICY = {"policy": {"severities": {"P2": {"respond": 60, "update": 1}}, "remind_before": 0.5}}
# After so long no incident comes of a form any more; a lease of a process that was killed has 45 s.
_OPENED_S = 60
_TOLD = {"severity": {"value": "P2"}, "commander": {"value": ""}}
_NEWER = '''
"""A table and a column more, as the next version might have; what the present one writes has to go on fitting."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{newer}", "{newest}"
def upgrade() -> None:
    op.create_table("newer", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("incidents", sa.Column("newer", sa.Text, nullable=True))
    op.add_column("deliveries", sa.Column("newer", sa.Integer, nullable=False, server_default="0"))
def downgrade() -> None:
    raise NotImplementedError
'''


@dataclass
class Replicas:
    """The bots, by their places; one that has been killed may have taken its commands' answers along."""

    environ: Mapping[str, str]
    log: Path
    processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    code: dict[int, Path] = field(default_factory=dict)

    async def start(self, place: int) -> None:
        code = self.code.get(place, _CHECKOUT)
        with self.log.open("ab") as log:
            self.processes[place] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run"),
                env={**self.environ, "PORT": str(free_port())},
                cwd=code,
                stderr=log,
            )

    async def replace(self, place: int, code: Path) -> None:
        """As a rolling upgrade does: the new one beside the old one, which is then asked to end."""
        old = self.processes[place]
        self.code[place] = code
        await self.start(place)
        await asyncio.sleep(3)
        old.terminate()
        assert await asyncio.wait_for(old.wait(), 12) == 0

    async def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            await end(process)


@dataclass
class Story:
    """What was asked, and what became of each."""

    asked: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Slack showed an error: the person knows that it was not taken."""
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One person fills in one form at a time; the same form sent twice is one incident."""
    unopened: list[str] = field(default_factory=list)
    """Forms that were taken, and no incident came of them."""
    faults: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """When each was, by its name."""
    sent_at: dict[str, float] = field(default_factory=dict)
    acked_s: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Slack gave up waiting for the acknowledgement, which the person is told, too."""

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.faults[name].append((began, time.monotonic()))

    def within(self, word: str, *names: str, before_s: float = 0.0, after_s: float = 0.0) -> bool:
        """Whether it was asked during one of the faults called so."""
        at = self.sent_at[word]
        return any(a - before_s <= at <= b + after_s for name in names for a, b in self.faults[name])


async def soak(seconds: float, folder: Path, *, paused_s: float, cut_s: float) -> list[Figure]:
    """The figures: whatever has a limit of 0 must not happen."""
    sandbox = Sandbox(load_scenarios()["all is well"])
    sandbox.slack.workspace.scopes = set(SCOPES)
    sandbox.slack.spread(20261125)
    await sandbox.start()
    with postgres_server(folder / "postgres") as server:
        await asyncio.to_thread(migrated_template, server.uri)
        url = new_database(server.uri, template="migrated")
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(_POLICY))
        environ = sandbox.environment() | {"DATABASE_URL": url, "MISTRAL_BOT_CONFIG": str(config)}
        replicas, story, store = Replicas(environ, folder / "log"), Story(), store_at(url)
        try:
            for place in range(REPLICAS):
                await replicas.start(place)
            await sandbox.slack.wait_connected(40, connections=REPLICAS)
            number = await _declare(sandbox, store, story, "the first")
            faults = asyncio.create_task(
                _faults(seconds, replicas, sandbox, server.restart, story, paused_s, cut_s, folder)
            )
            await _people(seconds, sandbox, store, story, number)
            await faults
            await _quiet(store)
            return await _figures(seconds, sandbox, store, story, replicas)
        except BaseException:
            print(replicas.log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            await replicas.close()
            await store.close()
            await sandbox.close()


async def _declare(sandbox: Sandbox, store: SqlStore, story: Story, title: str) -> int:
    slack = sandbox.slack.workspace
    slack.views.pop("U0REQUESTER", None)
    await slack.command("declare")
    view = await slack.wait_for(lambda: slack.views.get("U0REQUESTER"))
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(TimeoutError, LookupError):
                answer = await slack.submit(view, {**_TOLD, "title": {"value": f"soak {title}"}})
                if not answer or answer.get("response_action") != "errors":
                    break
            await asyncio.sleep(1)
    story.sent_at[title] = time.monotonic()
    try:
        async with asyncio.timeout(_OPENED_S):
            while True:
                # it may be restarted just now
                with contextlib.suppress(StoreError):
                    for incident in await store.listed(open_only=True, limit=1000):
                        if incident.title == f"soak {title}":
                            return incident.id
                await asyncio.sleep(0.2)
    except TimeoutError:
        story.unopened.append(title)
        raise


async def _people(seconds: float, sandbox: Sandbox, store: SqlStore, story: Story, number: int) -> None:
    """Commands at :data:`RATE` a second: every other one is noted, the rest answered at once; now and then a form."""
    tasks: set[asyncio.Task[Any]] = set()
    began = time.monotonic()
    for count in range(int(seconds * RATE)):
        tasks.add(asyncio.create_task(_command(sandbox, story, count, number)))
        if count and count % (RATE * 6) == 0:
            tasks.add(asyncio.create_task(_declared_while_it_shakes(sandbox, store, story, count)))
        await asyncio.sleep(max(0.0, began + (count + 1) / RATE - time.monotonic()))
    await asyncio.gather(*tasks)


async def _declared_while_it_shakes(sandbox: Sandbox, store: SqlStore, story: Story, count: int) -> None:
    # a form's trigger lives three seconds: who gets none types the command again
    for attempt in range(5):
        async with story.filling:
            with contextlib.suppress(TimeoutError, LookupError):
                await _declare(sandbox, store, story, f"{count}.{attempt}")
                return


async def _command(sandbox: Sandbox, story: Story, count: int, number: int) -> None:
    noting = count % 2 == 0
    word = f"soak{count}x"
    text = f"note INC-{number} {word}" if noting else word
    story.sent_at[word] = time.monotonic()
    slack = sandbox.slack.workspace
    # each by somebody else, so that it is seen who was answered
    slack.people[word] = replace(slack.people["U0REQUESTER"], id=word)
    try:
        story.acked_s.append(await slack.command(text, user=word))
    except LookupError:
        story.refused.append(word)
    except TimeoutError:
        story.late.append(word)
    else:
        (story.noted if noting else story.asked).append(word)


async def _faults(
    seconds: float,
    replicas: Replicas,
    sandbox: Sandbox,
    restart_database: Callable[[], Awaitable[None]],
    story: Story,
    paused_s: float,
    cut_s: float,
    folder: Path,
) -> None:
    began = time.monotonic()

    async def until(part: float) -> None:
        await asyncio.sleep(max(0.0, began + seconds * part - time.monotonic()))

    await until(0.1)
    with story.fault("killed"):
        replicas.processes[0].kill()
        await replicas.processes[0].wait()
    await replicas.start(0)
    await until(0.25)
    with story.fault("paused"):
        replicas.processes[1].send_signal(signal.SIGSTOP)
        await asyncio.sleep(paused_s)
        replicas.processes[1].send_signal(signal.SIGCONT)
    await until(0.6)
    newer = await asyncio.to_thread(newer_version, folder / "newer")
    for place in range(REPLICAS):
        await replicas.replace(place, newer)
    await until(0.8)
    with story.fault("database"):
        await restart_database()
    await until(0.88)
    with story.fault("slack"):
        sandbox.slack.down = True
        await asyncio.sleep(cut_s)
        sandbox.slack.down = False
        await sandbox.slack.wait_connected(40, connections=REPLICAS)


def newer_version(folder: Path) -> Path:
    """A copy of the bot that has one migration more."""
    from bot.store.tables import REVISION

    newer = f"{int(REVISION) + 1:04d}"
    for name in ("bot", "templates"):
        shutil.copytree(_CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
    tables = folder / "bot/store/tables.py"
    tables.write_text(tables.read_text().replace(f'REVISION = "{REVISION}"', f'REVISION = "{newer}"'))
    migration = folder / f"bot/store/migrations/versions/{newer}_newer.py"
    migration.write_text(_NEWER.format(newer=newer, newest=REVISION))
    return folder


async def _quiet(store: SqlStore) -> None:
    """Until nothing waits any more: a lease of a process that was killed has 45 s."""
    async with asyncio.timeout(120):
        while set(await store.waiting()) - {"dead"}:  # noqa: ASYNC110 - other processes change it
            await asyncio.sleep(0.5)


async def _figures(seconds: float, sandbox: Sandbox, store: SqlStore, story: Story, replicas: Replicas) -> list[Figure]:
    messages = sandbox.slack.workspace.messages
    told = " ".join(one.all_text for one in messages if one.only_for)
    silent = [word for word in story.asked if word not in told]
    first = next(one for one in await store.listed(open_only=True, limit=1000) if one.title == "soak the first")
    texts = Counter(entry.event.text for entry in await store.timeline(first.id))
    missing = [word for word in story.noted if not texts[word]]
    # acknowledged by the process that was killed in the same moment: they went down with it
    lost = [word for word in (*silent, *missing) if story.within(word, "killed", before_s=0.5)]
    # told that the database could not be used: it was away, or slow on a machine that is busy
    sorry = {one.only_for for one in messages if one.only_for and "database cannot be used" in one.text}
    unwritten = [word for word in missing if word in sorry]
    posts = Counter(
        held for one in messages if (held := ((one.metadata or {}).get("event_payload") or {}).get("delivery"))
    )
    async with looking(store) as connection:
        states = Counter((await connection.execute(select(deliveries.c.state))).scalars())
        titles = Counter((await connection.execute(select(incidents.c.title))).scalars())
    broken = [one async for one in verified(store) if one.fault]
    what = f"soak of {seconds:g} s, {REPLICAS} replicas, {RATE} commands a second"

    def never(name: str, count: int) -> Figure:
        return Figure(what=f"{what}: {name}", values=[count], unit="", goal=at_most(0))

    unexplained = {*silent, *missing} - {*lost, *unwritten}
    faults = ("killed", "paused", "database", "slack")
    shaken = [word for word in (*story.late, *story.refused) if story.within(word, *faults, before_s=4.0, after_s=4.0)]
    return [
        Figure(what=f"{what}: acknowledged", values=[len(story.acked_s)], unit="commands"),
        Figure(what=f"{what}: acknowledged, 99th percentile", values=[percentile(story.acked_s, 99)], unit="s"),
        Figure(what=f"{what}: Slack told whoever asked to try again", values=[len(shaken)], unit="commands"),
        Figure(what=f"{what}: the bot did, the database being away or slow", values=[len(unwritten)], unit="commands"),
        Figure(what=f"{what}: went down with the process that was killed", values=[len(lost)], unit="commands"),
        never("not acknowledged, all being well", len(story.late) + len(story.refused) - len(shaken)),
        never("acknowledged, and neither answered nor noted", len(unexplained)),
        never("twice in the timeline", sum(many > 1 for word, many in texts.items() if "soak" in word)),
        never("forms that were taken and opened no incident", len(story.unopened)),
        never("declared twice", sum(many > 1 for many in titles.values())),
        never("posted twice", sum(many > 1 for many in posts.values())),
        never("given up", states["dead"]),
        never("timelines that are not whole", len(broken)),
        Figure(what=f"{what}: messages delivered", values=[len(posts)], unit=""),
        Figure(what=f"{what}: incidents", values=[len(titles)], unit=""),
    ]


async def measure(seconds: float = 300) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return await soak(seconds, Path(folder), paused_s=60 if seconds >= 300 else seconds / 5, cut_s=seconds / 10)
