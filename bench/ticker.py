"""One replica's clocks, as a process of its own: `python -m bench.ticker` looks at them once it is told on stdin to.

DATABASE_URL and the moment (ISO 8601) are its arguments; it prints how many it ticked, the seconds, and the MB more.
"""

import asyncio
import json
import os
import sys
import time
from datetime import datetime

from bench.figures import memory_mb
from bot.domain.policy import Policy
from bot.handlers.incident import IncidentHandler
from tests.databases import store_at
from tests.fakes import FakeClock


async def _tick(url: str, at: datetime) -> dict[str, float]:
    store = store_at(url)
    handler = IncidentHandler(store=store, clock=FakeClock(at=at), policy=Policy())
    await store.check()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    before_mb, began = memory_mb(os.getpid()), time.monotonic()
    ticked = await handler.tick()
    took_s = time.monotonic() - began
    await store.close()
    return {"ticked": ticked, "took_s": took_s, "more_mb": memory_mb(os.getpid(), peak=True) - before_mb}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_tick(sys.argv[1], datetime.fromisoformat(sys.argv[2])))))
