"""The doctor on the service's health endpoint."""

import pytest

from bot.checks.service import CHECK
from bot.sandbox import service
from bot.sandbox.scenario import AnswerSpec, Expect, Scenario
from bot.sandbox.world import World
from tests.clusters import serve
from tests.doctors import examined, lines


async def asked(spec: AnswerSpec) -> list[tuple[bool, str]]:
    world = World(scenario=Scenario(name="a test's", service=spec, expect=Expect(cause="healthy", severity="P4")))
    async with serve(service.application(world)) as url:
        return lines(await examined(CHECK, {"SERVICE_HEALTH_URL": f"{url}/health"}))


@pytest.mark.parametrize(
    ("spec", "ok", "answer"),
    [
        (AnswerSpec(), True, "answers 200"),
        (AnswerSpec(status=204), True, "answers 204"),
        (AnswerSpec(status=302), False, "no usable answer (garbage)"),
        (AnswerSpec(status=404), False, "answers 404"),
        (AnswerSpec(status=503), False, "answers 503"),
        (AnswerSpec(fail="connect"), False, "no usable answer (connect)"),
    ],
    ids=str,
)
async def test_the_health_endpoint_is_ok_where_it_answers_2xx(spec: AnswerSpec, answer: str, *, ok: bool) -> None:
    assert await asked(spec) == [(ok, f"health endpoint: {answer}")]


async def test_a_service_that_is_not_there_names_the_setting() -> None:
    (result,) = await examined(CHECK, {"SERVICE_HEALTH_URL": "http://service.invalid/health"})
    assert (result.ok, result.detail) == (False, "no usable answer (dns)")
    assert "SERVICE_HEALTH_URL" in result.mend


async def test_without_a_url_it_is_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
