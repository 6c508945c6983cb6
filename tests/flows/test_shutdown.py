"""SIGTERM while much is being sent: the bot ends at once and in order, and nothing is lost or doubled."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Outgoing
from bot.domain.policy import Policy
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import KINDS, copy_of, store_at
from tests.fakes import NOW

MESSAGES, STARTS = 200, 4


async def fill(url: str, channels: list[str]) -> None:
    """Leaves a message for each channel waiting."""
    store = store_at(url)
    told = Declaration(target="default", title="Completions fail", severity=Severity.P4, channel=channels[0])
    incident = await store.create(acts.declare(told, "U0REQUESTER", NOW, Policy()), now=NOW, request="view:1")
    for number, channel in enumerate(channels):
        post = Outgoing(kind="post", to=channel, template="sentence", context={"sentence": f"number {number}."})
        incident = await store.save(incident, acts.tell(incident, post), now=NOW)
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bot_that_is_told_to_end_ends_while_it_sends(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = copy_of(kind, tmp_path, request)
    sandbox = Sandbox(load_scenarios()["all is well"], environ={"DATABASE_URL": url})
    slack = sandbox.slack.workspace
    slack.scopes = set(SCOPES)
    await fill(url, [slack.add_channel(f"busy-{number}").id for number in range(MESSAGES)])
    await sandbox.start()
    try:
        for _ in range(STARTS):
            before = len(slack.messages)
            await sandbox.start_bot()
            # what the one before had on its way may come until now: a signal before this one hears it would kill it
            await sandbox.ready(60)
            await slack.wait_for(lambda before=before: len(slack.messages) >= before + 12, timeout_s=60)  # type: ignore[misc]
            assert await sandbox.stop_bot() == 0
    finally:
        await sandbox.close()
    said = Counter(message.text for message in slack.messages)
    assert set(said.values()) == {1}


async def test_a_bot_of_which_a_part_has_failed_ends_to_be_started_again(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It would look alive, and send and tick no more."""
    broken = "import bot.handlers.delivery as d\nasync def work(_): raise RuntimeError('broken')\n"
    (tmp_path / "sitecustomize.py").write_text(f"{broken}d.DeliveryHandler.work = work\n")
    environ = {"DATABASE_URL": copy_of("SQLite", tmp_path, request), "PYTHONPATH": str(tmp_path)}
    sandbox = Sandbox(load_scenarios()["all is well"], environ=environ)
    await sandbox.start()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"), env=sandbox.environment(), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            _, told = await process.communicate()
    finally:
        await sandbox.close()
    assert process.returncode == 1
    assert "a part of the bot has failed" in told.decode()
