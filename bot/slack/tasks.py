"""Work that goes on after the acknowledgement: kept in a set, so that it is neither lost nor cut off at the end."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tasks:
    """The tasks that are under way."""

    running: "set[asyncio.Task[None]]" = field(default_factory=set)

    def start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self.running.add(task)
        task.add_done_callback(self._ended)

    async def drain(self, timeout_s: float) -> None:
        """Waits for what is under way, at most so long; what is not done then is cancelled and told in the log."""
        if self.running:
            _, late = await asyncio.wait(self.running, timeout=timeout_s)
            for task in late:
                logger.warning("%s was not finished in time and is given up", task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s failed", task.get_name(), exc_info=task.exception())
