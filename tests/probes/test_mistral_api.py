"""The models of Mistral's API: what is ok, what is garbage, what counts as its status, and the key stays unseen."""

import json
from typing import Any

import pytest

from bot.domain.diagnosis import diagnose
from bot.domain.signals import Failure, Finding, MistralApi, Verdict
from bot.errors import NotConfigured
from bot.ports import Exchange
from bot.probes.mistral_api import PROBE
from tests.fakes import NOW, FakeHttp, probe_run
from tests.upstreams import BAD_BODIES, answering, found_over_the_wire

KEY = "k9+planted/0123456789abcdef"
LISTED = json.dumps({"object": "list", "data": [{"id": "mistral-small-2506", "aliases": ["mistral-small-latest"]}]})


def signal_of(finding: Finding) -> MistralApi:
    assert isinstance(finding.signal, MistralApi)
    return finding.signal


async def found(status: int | None = 200, body: Any = LISTED, *, key: str = KEY, **more: Any) -> Finding:
    text = body if isinstance(body, str) else json.dumps(body)
    exchange = Exchange(status=status, body=text.encode(), latency_ms=305, first_byte_ms=300, **more)
    return await PROBE.check(probe_run(key=key, http=FakeHttp({"/v1/models": exchange})))


async def test_models_that_are_listed_are_ok_and_told_by_number() -> None:
    finding = await found(headers={"x-ratelimit-remaining-req-minute": "359", "server": "x"})
    signal = signal_of(finding)
    assert (finding.verdict, finding.summary) == (Verdict.OK, "200 with 1 models after 305 ms")
    assert signal.models[0].aliases == ("mistral-small-latest",)
    assert finding.data == {
        "status": 200,
        "headers": {"x-ratelimit-remaining-req-minute": "359"},
        "first_byte_ms": 300,
        "latency_ms": 305,
        "key_source": "environment",
        "key_length": 27,
        "key_prefix": "k9+p",
    }


async def test_the_key_is_sent_to_the_models_of_the_address_that_is_set() -> None:
    http = FakeHttp()
    environ = {"MISTRAL_API_URL": "http://mistral.test/eu/"}
    await PROBE.check(probe_run(key=KEY, http=http, environ=environ, timeout_s=2.0))
    (asked,) = http.asked
    assert (asked.method, asked.url, asked.timeout_s) == ("GET", "http://mistral.test/eu/v1/models", 2.0)
    assert asked.headers == {"Authorization": f"Bearer {KEY}"}


async def test_without_a_key_it_is_not_configured() -> None:
    http = FakeHttp()
    with pytest.raises(NotConfigured, match="no Mistral key in MISTRAL_API_KEY nor in the service's Secret"):
        await PROBE.check(probe_run(key=None, http=http))
    assert http.asked == []


@pytest.mark.parametrize(
    ("status", "body", "summary"),
    [
        (401, {"detail": "Invalid API Key"}, "401 after 305 ms"),
        (401, {"message": "Unauthorized", "request_id": "1"}, "401 after 305 ms"),
        (402, {"detail": "Payment required"}, "402 after 305 ms"),
        (403, {"code": 1910, "type": "tier_not_allowed"}, "403 tier_not_allowed (code 1910) after 305 ms"),
        (429, {"code": "1300", "type": "rate_limited"}, "429 rate_limited (code 1300) after 305 ms"),
        (429, {"code": 999999, "message": {"detail": [{"msg": "x"}]}}, "429 (code 999999) after 305 ms"),
        (500, {"code": [], "type": {}, "message": 5}, "500 after 305 ms"),
        (503, {"code": "1100"}, "503 (code 1100) after 305 ms"),
        (418, "a teapot", "418 after 305 ms"),
    ],
)
async def test_every_status_but_2xx_counts_as_itself_with_its_code_and_type(
    status: int, body: Any, summary: str
) -> None:
    finding = await found(status, body)
    assert (finding.verdict, finding.summary) == (Verdict.BAD, summary)
    assert (signal_of(finding).status, signal_of(finding).failure) == (status, None)


@pytest.mark.parametrize(("failure", "told"), [(failure, f"{failure}: ") for failure in Failure])
async def test_how_it_failed_is_told_by_the_stage(failure: Failure, told: str) -> None:
    finding = await found(None, "", failure=failure)
    assert finding.verdict is Verdict.BAD
    assert finding.summary.startswith(told)
    assert signal_of(finding).failure is failure


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_200_with_another_body_than_mistrals_is_garbage(body: bytes) -> None:
    async with answering(200, body) as url:
        finding = await found_over_the_wire(PROBE, environ={"MISTRAL_API_URL": url})
    signal = signal_of(finding)
    assert (finding.verdict, signal.failure, signal.status, signal.models) == (Verdict.BAD, Failure.GARBAGE, 200, ())


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_503_is_a_503_whatever_its_body(body: bytes) -> None:
    async with answering(503, body) as url:
        finding = await found_over_the_wire(PROBE, environ={"MISTRAL_API_URL": url})
    signal = signal_of(finding)
    assert (signal.failure, signal.status, signal.message) == (None, 503, None)


@pytest.mark.parametrize(
    ("headers", "none_left"),
    [
        ({"x-ratelimit-limit-req-minute": "0"}, True),
        ({"x-ratelimit-limit-req-minute": "00"}, True),
        ({"x-ratelimit-remaining-tokens-month": "0"}, True),
        ({"X-RateLimitBySize-Remaining-Month": "0"}, True),
        ({"x-ratelimit-limit-req-minute": "360", "x-ratelimit-remaining-req-minute": "0"}, False),
        ({"x-ratelimit-limit-req-minute": "none"}, False),
        ({"x-ratelimit-limit-req-minute": ""}, False),
        ({"ratelimitbysize-remaining": "0"}, False),
        ({}, False),
    ],
    ids=str,
)
async def test_a_429_tells_by_its_headers_whether_there_is_any_allowance(
    headers: dict[str, str], none_left: bool
) -> None:
    async with answering(429, b"{}", headers) as url:
        finding = await found_over_the_wire(PROBE, environ={"MISTRAL_API_URL": url})
    signal = signal_of(finding)
    assert signal.has_no_allowance is none_left
    assert signal.headers == {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_a_key_that_the_api_quotes_is_nowhere_in_the_finding(status: int) -> None:
    said = {
        "message": f"no {KEY}",
        "type": KEY,
        "code": f"code-{KEY}",
        "data": [{"id": KEY, "deprecation": "2026-07-02", "deprecation_replacement_model": KEY}],
    }
    finding = await found(status, said, headers={"mistral-correlation-id": KEY, "retry-after": f"{KEY} s"})
    assert "planted" not in finding.summary + json.dumps(finding.data) + repr(finding.signal)


@pytest.mark.parametrize(
    ("date", "warned"),
    [
        ("2026-07-02", True),
        ("2026-07-31T12:00:00Z", True),
        ("2026-07-31T14:00:00+02:00", True),
        ("2026-07-31T12:00:01Z", False),
        ("2026-06-30", False),
        ("9999-12-31T23:59:59-23:59", False),
        ("0001-01-01T00:00:00+23:59", False),
        ("in July", False),
        (None, False),
    ],
)
async def test_a_model_that_is_deprecated_within_30_days_is_warned_of_on_its_day(
    date: str | None, warned: bool
) -> None:
    row = {"id": "old", "deprecation": date, "deprecation_replacement_model": "new"}
    finding = await found(body={"data": [row]})
    warning = f"old will be deprecated on {date[:10]}; move to new" if date else ""
    assert diagnose([finding], NOW).warnings == ((warning,) if warned else ())


async def test_a_short_key_does_not_show_a_large_part_of_itself() -> None:
    signal = signal_of(await found(key="abcdefghijk"))
    assert (signal.key_length, signal.key_prefix) == (11, None)
