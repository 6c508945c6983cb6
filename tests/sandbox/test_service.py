"""The sandbox's service: any path is its health, as the scenario says, and every request is noted."""

from typing import Any

import aiohttp
import pytest

from bot.sandbox.scenario import AnswerSpec, Expect, Scenario
from bot.sandbox.service import application
from bot.sandbox.world import World
from tests.clusters import serve

WELL = {"status": "ok", "services": {"mistral": {"status": "ok"}}}


@pytest.mark.parametrize(
    ("spec", "status", "document"),
    [
        (None, 200, WELL),
        (AnswerSpec(), 200, WELL),
        (AnswerSpec(body={"services": {"mistral": "degraded"}}), 200, {"services": {"mistral": "degraded"}}),
        (AnswerSpec(status=503, body={"services": {"mistral": False}}), 503, {"services": {"mistral": False}}),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/", "/deep/healthz"])
async def test_its_health_is_what_the_scenario_says(
    spec: AnswerSpec | None, status: int, document: Any, path: str
) -> None:
    world = World(scenario=Scenario(name="one", service=spec, expect=Expect(cause="", severity="")))
    async with (
        serve(application(world)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}{path}") as response,
    ):
        assert (response.status, await response.json()) == (status, document)
    assert [(one.upstream, one.method, one.path) for one in world.requests] == [("service", "GET", path)]


async def test_another_scenario_takes_effect_at_once() -> None:
    expect = Expect(cause="", severity="")
    world = World(scenario=Scenario(name="one", expect=expect))
    async with serve(application(world)) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/health") as response:
            assert response.status == 200
        world.scenario = Scenario(name="two", service=AnswerSpec(status=503), expect=expect)
        async with session.get(f"{url}/health") as response:
            assert response.status == 503
