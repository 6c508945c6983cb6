"""The sandbox's Prometheus API against a real Prometheus with the same counters, for every query that the bot makes.

The bot's triage, doctor and evidence ask the sandbox through a recorder; each request is then put to both.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.prometheus_server import openmetrics, prometheus_or_skip, serving

SCENARIO = load_scenarios()["rate limited under the usual traffic"]
PODS = [f"mistral-service-{number}" for number in range(3)]
# Prometheus extrapolates to the ends of a window, and its samples are 15 s apart.
NEAR = 0.05

Request = tuple[str, str, tuple[tuple[str, str], ...]]
"""Method, path and arguments."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with the scenario's counters."""
    prometheus_or_skip()
    assert SCENARIO.prometheus is not None
    errors, requests = SCENARIO.prometheus.errors["429"], SCENARIO.prometheus.requests

    def asked(age: float) -> float:
        # as the scenario: an hour ago there were fewer
        assert SCENARIO.prometheus is not None
        assert SCENARIO.prometheus.requests_hour_ago is not None
        return (requests if age < 1800 else SCENARIO.prometheus.requests_hour_ago) / len(PODS)

    series = {
        "mistral_errors": [(f'code="429",pod="{pod}"', lambda _: errors / len(PODS)) for pod in PODS],
        "mistral_requests": [(f'pod="{pod}"', asked) for pod in PODS],
    }
    with serving(tmp_path_factory.mktemp("prometheus"), openmetrics(series, time.time() + 60)) as url:
        yield url


async def _asked(folder: Path) -> set[Request]:
    """What the bot asks of Prometheus in all that it does."""
    held: set[Request] = set()
    sandbox = Sandbox(SCENARIO)
    await sandbox.start()
    try:
        async with aiohttp.ClientSession() as session:

            async def forward(request: web.Request) -> web.Response:
                form = {name: str(value) for name, value in (await request.post()).items()}
                held.add((request.method, request.path, tuple(sorted({**request.query, **form}.items()))))
                url = sandbox.urls["prometheus"] + request.path_qs
                async with session.request(request.method, url, data=form or None) as answer:
                    said = await answer.read()
                    return web.Response(body=said, status=answer.status, content_type=answer.content_type)

            application = web.Application()
            application.router.add_route("*", "/{path:.*}", forward)
            environ = sandbox.environment() | {"EVIDENCE_DIR": str(folder)}
            environ["PROMETHEUS_URL"] = await sandbox.serve(application)
            for words in (("triage",), ("doctor",), ("evidence",)):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "bot", *words), env=environ, stdout=asyncio.subprocess.DEVNULL
                )
                await process.wait()
    finally:
        await sandbox.close()
    return held


async def _put(session: aiohttp.ClientSession, url: str, request: Request) -> tuple[int, Any]:
    method, path, arguments = request
    where = {"params": arguments} if method == "GET" else {"data": dict(arguments)}
    async with session.request(method, url + path, **where) as answer:
        return answer.status, (await answer.json())["data"]


def _series(data: Any) -> dict[tuple[tuple[str, str], ...], list[float]]:
    """The values of each series, by its labels."""
    held = {}
    for row in data["result"]:
        labels = tuple(sorted((name, text) for name, text in row["metric"].items() if name != "__name__"))
        points = row["values"] if data["resultType"] == "matrix" else [row["value"]]
        held[labels] = [float(value) for _, value in points]
    return held


def _compare(request: Request, played: Any, real: Any) -> None:
    if isinstance(real, list):
        assert {"mistral_errors_total", "mistral_requests_total"} <= set(real) & set(played), request
        return
    assert played["resultType"] == real["resultType"], request
    here, there = _series(played), _series(real)
    assert set(here) == set(there), request
    query = dict(request[2])["query"]
    for labels, values in here.items():
        if "[" in query or "count(" in query:
            assert values[-1] == pytest.approx(there[labels][-1], rel=NEAR), (request, labels)
        else:  # the counters themselves have not counted since the same day
            grown, really = values[-1] - values[0], there[labels][-1] - there[labels][0]
            assert grown == pytest.approx(really, rel=NEAR), (request, labels)


async def test_every_query_of_the_bots_has_the_same_answer_from_a_real_prometheus(real: str, tmp_path: Path) -> None:
    requests = await _asked(tmp_path)
    assert {path.rpartition("/")[2] for _, path, _ in requests} == {"query", "query_range"}
    # asked where a counter is missing
    requests.add(("GET", "/api/v1/label/__name__/values", ()))
    assert len({dict(arguments).get("query") for _, _, arguments in requests}) > 10
    sandbox = Sandbox(SCENARIO)
    await sandbox.start()
    try:
        async with aiohttp.ClientSession() as session:
            for request in sorted(requests):
                played, really = (
                    await _put(session, sandbox.urls["prometheus"], request),
                    await _put(session, real, request),
                )
                assert played[0] == really[0] == 200, request
                _compare(request, played[1], really[1])
    finally:
        await sandbox.close()
