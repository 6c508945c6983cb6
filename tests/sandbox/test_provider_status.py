"""The sandbox's status page has one of three forms at a time, which the probe reads, or fails as its scenario says."""

from typing import Any

import aiohttp
import pytest

from bot.domain.signals import ProviderStatus
from bot.errors import BadAnswer, Unreachable, UpstreamError
from bot.probes.provider_status import PROBE
from bot.sandbox.provider_status import application
from bot.sandbox.scenario import Expect, ProviderStatusSpec, Scenario
from bot.sandbox.world import World
from tests.clusters import serve
from tests.upstreams import found_over_the_wire

KINDS = {
    "rootly": {"/api/v1/status.json", "/api/v1/incidents.json"},
    "statuspage": {"/api/v2/summary.json"},
    "instatus": {"/summary.json"},
}
PATHS = sorted(set().union(*KINDS.values()))
API_DOWN = {"name": "Elevated errors", "impact": "critical", "components": ["API"]}


def playing(**spec: Any) -> World:
    held = ProviderStatusSpec(**spec)
    return World(scenario=Scenario(name="one", provider_status=held, expect=Expect(cause="", severity="")))


async def read(**spec: Any) -> ProviderStatus:
    async with serve(application(playing(**spec))) as url:
        signal = (await found_over_the_wire(PROBE, environ={"MISTRAL_STATUS_URL": url}, timeout_s=0.5)).signal
    assert isinstance(signal, ProviderStatus)
    return signal


@pytest.mark.parametrize("kind", KINDS)
async def test_the_probe_reads_every_form(kind: str) -> None:
    told = await read(kind=kind, indicator="major", incidents=(API_DOWN, {"name": "Le Chat is slow"}))
    assert told.incidents == ("Elevated errors (critical)",)
    assert told.indicator == "major"
    assert await read(kind=kind) == ProviderStatus(indicator="none")
    over = {**API_DOWN, "status": "resolved"}
    assert (await read(kind=kind, incidents=(over,))).incidents == ()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_other_forms_are_not_there(kind: str) -> None:
    async with serve(application(playing(kind=kind))) as url, aiohttp.ClientSession() as session:
        found = set()
        for path in PATHS:
            async with session.get(url + path) as response:
                if response.status == 200:
                    found.add(path)
                else:
                    assert (response.status, response.content_type) == (404, "text/html")
    assert found == KINDS[kind]


@pytest.mark.parametrize(
    ("fail", "kind", "told"),
    [
        ("challenge", BadAnswer, r"\(403\)"),
        ("500", BadAnswer, r"\(500\)"),
        ("garbage", BadAnswer, r"\(200\)"),
        ("connect", Unreachable, r"\(connect\)"),
        ("timeout", Unreachable, r"\(timeout\)"),
    ],
)
async def test_each_way_to_fail_is_unknown_to_the_probe(fail: str, kind: type[UpstreamError], told: str) -> None:
    with pytest.raises(kind, match=told):
        await read(fail=fail)
