"""The control: any HTTP answer shows that the bot is on the network; else, at which stage it is not."""

import pytest

from bot.domain.evidence import Evidence
from bot.domain.signals import Control, Failure, Finding, Verdict
from bot.ports import Exchange
from bot.probes.control import PROBE
from tests.fakes import NOW, FakeHttp, probe_run
from tests.upstreams import BAD_BODIES, answering, found_over_the_wire


async def found(exchange: Exchange) -> Finding:
    return await PROBE.check(probe_run(http=FakeHttp({"/api.test": exchange})))


def signal_of(finding: Finding) -> Control:
    assert isinstance(finding.signal, Control)
    return finding.signal


@pytest.mark.parametrize("base", ["https://slack.test/api", "https://slack.test/api/"])
async def test_api_test_is_asked_below_the_address_that_is_set(base: str) -> None:
    http = FakeHttp()
    from_settings = base.rstrip("/") + "/"
    await PROBE.check(probe_run(http=http, environ={"SLACK_API_URL": base}))
    (asked,) = http.asked
    assert (asked.method, asked.url, asked.headers) == ("GET", f"{from_settings}api.test", {})


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 407, 429, 500, 503])
async def test_any_status_is_an_answer(status: int) -> None:
    finding = await found(Exchange(status=status, latency_ms=7))
    assert (finding.verdict, finding.summary) == (Verdict.OK, f"Slack: {status} after 7 ms")
    assert signal_of(finding).failure is None


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_any_body_is_an_answer(body: bytes) -> None:
    async with answering(200, body) as url:
        finding = await found_over_the_wire(PROBE, environ={"SLACK_API_URL": url})
    assert (finding.verdict, signal_of(finding).status, signal_of(finding).failure) == (Verdict.OK, 200, None)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with answering(302, b"", {"Location": "http://slack.invalid/"}) as url:
        finding = await found_over_the_wire(PROBE, environ={"SLACK_API_URL": url})
    assert (finding.verdict, signal_of(finding).status) == (Verdict.OK, 302)


@pytest.mark.parametrize(
    ("failure", "off_network", "resolves"),
    [
        (Failure.DNS, True, False),
        (Failure.CONNECT, True, True),
        (Failure.TLS, False, True),
        (Failure.TIMEOUT, False, True),
        (Failure.GARBAGE, False, True),
    ],
)
async def test_the_stage_of_a_failure_says_whether_names_resolve(
    failure: Failure, off_network: bool, resolves: bool
) -> None:
    finding = await found(Exchange(failure=failure, latency_ms=7))
    assert finding.verdict is Verdict.BAD
    assert finding.summary.startswith(f"Slack: {failure}: ")
    evidence = Evidence.of([finding], NOW)
    assert (evidence.control_off_network, evidence.control_resolves) == (off_network, resolves)


async def test_a_name_that_does_not_exist_fails_by_dns_on_the_wire() -> None:
    finding = await found_over_the_wire(PROBE, environ={"SLACK_API_URL": "http://slack.invalid/api/"})
    assert signal_of(finding).failure is Failure.DNS
    assert finding.summary.startswith("Slack: dns: the name slack.invalid did not resolve after ")
