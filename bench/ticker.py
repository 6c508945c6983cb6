"""One replica's clocks, as a process of its own.

usage: python -m bench.ticker DATABASE_URL. For each moment (ISO 8601) on a line of stdin it looks at the clocks, and
prints how many it ticked, the seconds, and its memory in MB before and at its highest; or, for `claim MOMENT`, how long
it takes to claim what is to be sent. It ends with stdin.
"""

import asyncio
import json
import os
import sys
import time
from datetime import datetime

from bench.processes import memory_mb
from bot.domain.policy import Policy
from bot.handlers.incident import IncidentHandler
from bot.store.sql import SqlStore
from tests.databases import store_at
from tests.fakes import FakeClock

CLAIMED = 20


async def _main(url: str) -> None:
    store = store_at(url)
    await store.check()
    print("ready", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        word, _, moment = line.rpartition(" ")
        at = datetime.fromisoformat(moment)
        told = await (_claimed(store, at) if word else _ticked(store, at))
        print(json.dumps(told), flush=True)
    await store.close()


async def _ticked(store: SqlStore, at: datetime) -> dict[str, float]:
    handler = IncidentHandler(store=store, clock=FakeClock(at=at), policy=Policy())
    before_mb, began = memory_mb(os.getpid()), time.perf_counter()
    ticked = await handler.tick()
    took_s = time.perf_counter() - began
    return {"ticked": ticked, "took_s": took_s, "mb": before_mb, "peak_mb": memory_mb(os.getpid(), peak=True)}


async def _claimed(store: SqlStore, at: datetime) -> dict[str, float]:
    began = time.perf_counter()
    claimed = await store.claim(at, limit=CLAIMED, lease_s=30)
    took_s = time.perf_counter() - began
    return {"claimed": len(claimed), "took_s": took_s}


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
