"""What the processes of the kill tests are forked from: everything is imported, templates and statements are compiled.

For that the story is played here once, on each database that KILL_WARM names.
"""

import asyncio
import gc
import os
import tempfile
from pathlib import Path

from bot.clients import kubeconfig, login
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.kill import aftermath, remedy
from tests.kill.stage import Stage
from tests.kill.story import ACTS, Points, Told, obey, share

__all__ = ["aftermath", "remedy"]


class _Orders:
    """All acts, one after the other, of the first incident of an empty database."""

    def __init__(self) -> None:
        self._left = list(range(len(ACTS)))

    def recv(self) -> tuple[int, int, None, bool] | None:
        return (self._left.pop(0), 1, None, True) if self._left else None

    def send(self, told: Told) -> None:
        pass


async def _played(url: str) -> None:
    sandbox = Sandbox(load_scenarios()["all is well"])
    sandbox.slack.workspace.scopes = set(SCOPES)
    await sandbox.start()
    with tempfile.TemporaryDirectory() as folder:
        stage = await Stage.made(sandbox, url, Path(folder))
        await obey(stage.environ, True, Points(), _Orders())
        wrong = await stage.wrong(len(ACTS) - 1, kills=0)
        assert not wrong, wrong
        await stage.store.close()
    await sandbox.close()


# a process for each login would take longer than all that is done here
vars(login).update(read=kubeconfig.credentials)
share()
for _url in os.environ["KILL_WARM"].split():
    asyncio.run(_played(_url))
# else each process would look through it all again, and copy what it looks at
gc.freeze()
