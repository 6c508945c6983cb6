"""The status page of the unmodified bot, as a process with settings from a file: served, written as files, or off."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bot.domain import acts
from bot.domain.publication import ComponentState, Impact, Publication, PublicStatus
from bot.domain.telling import to_public
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.web.status_cache import _PATIENCE_S
from tests.databases import open_store
from tests.domain.incidents import declaring
from tests.fakes import NOW

TOLD = Publication(
    status=PublicStatus.INVESTIGATING,
    title="Slow answers",
    text="Some answers take longer than usual.",
    components={"Chat": ComponentState.DEGRADED},
    impact=Impact.MINOR,
    by="U0INTERNAL",
)


@asynccontextmanager
async def running(tmp_path: Path, status_page: dict[str, Any]) -> AsyncIterator[tuple[Sandbox, str]]:
    """The bot and its URL."""
    config = tmp_path / "bot.yaml"
    config.write_text(json.dumps({"components": ["Chat", "Search"], "status_page": status_page}))
    sandbox = Sandbox(load_scenarios()["all is well"], environ={"MISTRAL_BOT_CONFIG": str(config)})
    await sandbox.start()
    await sandbox.start_bot()
    try:
        await sandbox.ready()
        yield sandbox, f"http://127.0.0.1:{sandbox.environment()['PORT']}"
        assert await sandbox.stop_bot() == 0
    finally:
        await sandbox.close()


async def publish(sandbox: Sandbox, *pages: str) -> None:
    async with open_store(sandbox.environment()["DATABASE_URL"]) as store:
        incident = await store.create(declaring(), now=NOW, request="view:1")
        change = to_public(acts.note(incident, "INTERNAL", "U0INTERNAL", NOW), TOLD, NOW, pages)
        await store.save(incident, change, now=NOW)


async def seen(look: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Whoever looks so long after now sees it, but for a look that was slow: it waited for the database in vain."""
    began = time.monotonic()
    async with asyncio.timeout(60):
        while True:
            asked = time.monotonic()
            if await look():
                return
            slow = time.monotonic() - asked > 0.8 * _PATIENCE_S
            assert slow or asked - began < within_s
            await asyncio.sleep(0.02)


async def test_what_another_process_publishes_is_served_within_a_second_and_written_as_files(tmp_path: Path) -> None:
    site = tmp_path / "site"
    async with (
        running(tmp_path, {"name": "Acme Status", "folder": str(site)}) as (sandbox, url),
        aiohttp.ClientSession() as session,
    ):

        async def shows() -> bool:
            async with session.get(f"{url}/status") as answer:
                assert answer.status == 200
                text = await answer.text()
                assert "Acme Status" in text
                assert "Search" in text
                return "Slow answers" in text

        async def is_written() -> bool:
            return "Slow answers" in await asyncio.to_thread(text_of, site / "index.html")

        assert not await shows()
        await publish(sandbox, "builtin", "file")
        await seen(shows, 1)
        # the deliveries are looked at every two seconds where nothing in the process itself asks for it
        await seen(is_written, 30)


def text_of(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


async def test_switched_off_nothing_of_it_is_served(tmp_path: Path) -> None:
    async with running(tmp_path, {"builtin": False}) as (_, url), aiohttp.ClientSession() as session:
        for path in ("/status", "/status/feed.atom", "/status/style.css", "/api/v2/summary.json"):
            async with session.get(url + path) as answer:
                assert answer.status == 404, path
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
