"""The service's own health: a 2xx that does not say otherwise of Mistral, in any of the words in use."""

import json
from typing import Any

import pytest

from bot.domain.evidence import Evidence
from bot.domain.signals import Failure, Finding, Health, Verdict
from bot.errors import NotConfigured
from bot.ports import Exchange
from bot.probes import control
from bot.probes.health import PROBE
from tests.fakes import NOW, FakeHttp, probe_run
from tests.upstreams import BAD_BODIES, answering, found_over_the_wire

URL = {"SERVICE_HEALTH_URL": "http://service.test/health"}
KEY = "k9+planted/0123456789abcdef"


def signal_of(finding: Finding) -> Health:
    assert isinstance(finding.signal, Health)
    return finding.signal


async def found(status: int | None = 200, document: Any = None, **more: Any) -> Finding:
    exchange = Exchange(status=status, body=json.dumps(document).encode(), latency_ms=7, **more)
    return await PROBE.check(probe_run(environ=URL, key=KEY, http=FakeHttp({"/health": exchange})))


async def test_without_an_address_it_is_not_configured() -> None:
    with pytest.raises(NotConfigured, match="SERVICE_HEALTH_URL is not set"):
        await PROBE.check(probe_run())


async def test_the_address_is_asked_as_it_stands_and_without_the_key() -> None:
    http = FakeHttp()
    await PROBE.check(probe_run(environ={"SERVICE_HEALTH_URL": "http://service.test/h?deep=1"}, http=http))
    (asked,) = http.asked
    assert (asked.method, asked.url, asked.headers) == ("GET", "http://service.test/h?deep=1", {})


@pytest.mark.parametrize(
    ("state", "word", "ok"),
    [
        (True, "true", True),
        (False, "false", False),
        ("ok", "ok", True),
        ("OK", "OK", True),
        (" Healthy\n", "Healthy", True),
        ("UP", "UP", True),
        ("operational", "operational", True),
        ("degraded", "degraded", False),
        ("down", "down", False),
        ("error: 401 from Mistral", "error: 401 from Mistral", False),
        ("not ok", "not ok", False),
        ("x" * 200, "x" * 80, False),
        (1, "1", True),
        (0, "0", False),
        (200, "200", True),
        (503, "503", False),
        (1e999, "inf", False),
        ({"status": "ok", "latency_ms": 503}, "ok", True),
        ({"status": "degraded"}, "degraded", False),
        ({"status": None, "ok": False}, "false", False),
        ({"healthy": True}, "true", True),
        ({"reachable": False}, "false", False),
        ({"connected": True}, "true", True),
        ({"status": {"state": "down"}}, "down", False),
        ({"status": 503}, "503", False),
    ],
    ids=str,
)
async def test_what_it_says_of_mistral_counts(state: Any, word: str, ok: bool) -> None:
    text = json.dumps({"status": "ok", "services": {"mistral": state}}).replace("Infinity", "1e999")
    exchange = Exchange(status=200, body=text.encode(), latency_ms=7)
    finding = await PROBE.check(probe_run(environ=URL, http=FakeHttp({"/health": exchange})))
    assert (signal_of(finding).mistral, signal_of(finding).ok, finding.verdict is Verdict.OK) == (word, ok, ok)
    assert finding.summary == f"200 after 7 ms; services.mistral is {word!r}"


@pytest.mark.parametrize(
    "document",
    [
        None,
        "ok",
        [],
        {},
        {"status": "down"},
        {"services": None},
        {"services": ["mistral"]},
        {"services": {"database": "down"}},
        {"services": {"mistral": None}},
        {"services": {"mistral": ""}},
        {"services": {"mistral": []}},
        {"services": {"mistral": {"latency_ms": 503}}},
        {"mistral": "down"},
    ],
    ids=json.dumps,
)
async def test_a_2xx_that_says_nothing_of_mistral_is_ok(document: Any) -> None:
    finding = await found(document=document)
    assert (signal_of(finding).mistral, finding.verdict, finding.summary) == (None, Verdict.OK, "200 after 7 ms")


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (400, False), (404, False), (503, False)]
)
async def test_only_a_2xx_is_ok(status: int, ok: bool) -> None:
    finding = await found(status, {"services": {"mistral": "ok"}})
    assert (signal_of(finding).ok, finding.verdict is Verdict.OK) == (ok, ok)
    assert finding.summary.startswith(f"{status} after 7 ms")


@pytest.mark.parametrize(
    "body", [b for n, b in BAD_BODIES.items() if n != "50 MB"], ids=[n for n in BAD_BODIES if n != "50 MB"]
)
async def test_a_2xx_is_ok_whatever_its_body(body: bytes) -> None:
    async with answering(200, body) as url:
        finding = await found_over_the_wire(PROBE, environ={"SERVICE_HEALTH_URL": f"{url}/health"})
    assert (signal_of(finding).ok, signal_of(finding).mistral) == (True, None)


async def test_a_body_that_is_too_large_to_read_is_not_ok() -> None:
    async with answering(200, BAD_BODIES["50 MB"]) as url:
        finding = await found_over_the_wire(PROBE, environ={"SERVICE_HEALTH_URL": f"{url}/health"})
    assert (signal_of(finding).ok, signal_of(finding).failure) == (False, Failure.GARBAGE)


async def test_a_redirect_to_a_login_page_is_not_ok() -> None:
    async with answering(302, b"", {"Location": "/login"}) as url:
        finding = await found_over_the_wire(PROBE, environ={"SERVICE_HEALTH_URL": f"{url}/health"})
    assert (signal_of(finding).ok, signal_of(finding).status) == (False, 302)


@pytest.mark.parametrize("failure", Failure)
async def test_no_answer_is_an_answer(failure: Failure) -> None:
    finding = await found(None, failure=failure)
    assert (finding.verdict, signal_of(finding).ok) == (Verdict.BAD, False)
    assert finding.summary.startswith(f"{failure}: ")


@pytest.mark.parametrize(
    ("failure", "control_answers", "health_ok"),
    [
        (Failure.DNS, False, None),
        (Failure.CONNECT, False, None),
        (Failure.DNS, True, False),
        (Failure.CONNECT, True, False),
        (Failure.TIMEOUT, False, False),
    ],
)
async def test_a_health_that_cannot_be_reached_is_unknown_only_while_control_fails_too(
    failure: Failure, control_answers: bool, health_ok: bool | None
) -> None:
    answer = Exchange(status=200) if control_answers else Exchange(failure=Failure.CONNECT)
    beside = await control.PROBE.check(probe_run(http=FakeHttp({"/api.test": answer})))
    evidence = Evidence.of([await found(None, failure=failure), beside], NOW)
    assert evidence.health_ok is health_ok


async def test_a_closed_port_fails_by_connect_on_the_wire() -> None:
    async with answering(200, b"{}") as url:
        pass
    finding = await found_over_the_wire(PROBE, environ={"SERVICE_HEALTH_URL": f"{url}/health"})
    assert signal_of(finding).failure is Failure.CONNECT


@pytest.mark.parametrize(
    "state", [f"401 for {KEY}", {"status": f"no, {KEY}"}, "x" * 70 + KEY], ids=["word", "object", "at the cut"]
)
async def test_the_key_that_the_service_tells_of_is_nowhere_in_the_finding(state: Any) -> None:
    finding = await found(document={"services": {"mistral": state}})
    assert "***" in finding.summary
    assert "planted" not in finding.summary + json.dumps(finding.data)
    assert KEY[:8] not in finding.summary
