"""What every probe finds, whatever an upstream told it, goes on without the service's key."""

import asyncio
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from bot.domain.redaction import mask_within
from bot.domain.signals import (
    CanaryAnswer,
    Finding,
    LogLine,
    LogPattern,
    Logs,
    ProbeName,
    ProviderStatus,
    Verdict,
)
from bot.ports import ProbeRun, ServiceKey
from bot.settings import Target
from tests.fakes import FakeCluster
from tests.handlers.test_triage import Scripted, handler

KEY = "k9planted0123456789abcdef"


def telling(finding: Finding) -> Scripted:
    async def do(run: ProbeRun) -> Finding:
        return finding

    return Scripted(finding.probe, do)


async def found(finding: Finding, key: str) -> Finding:
    async def read_key(target: Target, cluster: object) -> ServiceKey:
        return ServiceKey(value=key, source="secret")

    report = await handler(telling(finding), read_key=read_key).run("default")
    return report.findings[0]


LINE = LogLine(pod="a", text=f"ERROR mistral refused {KEY}", at=datetime(2026, 3, 2, tzinfo=UTC))
LOGGED = Logs(
    lines=5,
    error_lines=1,
    by_kind={"401": 1},
    newest=(LINE,),
    patterns=(LogPattern(count=1, text=f"ERROR mistral refused {KEY}"),),
)


@pytest.mark.parametrize(
    "finding",
    [
        Finding(probe=ProbeName.LOGS, verdict=Verdict.BAD, summary=f"newest: {KEY}", signal=LOGGED),
        Finding(
            probe=ProbeName.PROVIDER_STATUS,
            verdict=Verdict.BAD,
            summary="",
            signal=ProviderStatus(indicator="major", incidents=(f"API refuses {KEY}",)),
        ),
    ],
    ids=["logs", "provider status"],
)
async def test_the_services_key_is_in_no_finding(finding: Finding) -> None:
    told = await found(finding, KEY)
    assert "***" in repr(told)
    assert "planted" not in repr(told)
    assert type(told.signal) is type(finding.signal)


async def test_a_finding_without_the_key_stays_as_it_is() -> None:
    finding = Finding(probe=ProbeName.LOGS, verdict=Verdict.BAD, summary="one line", signal=LOGGED)
    assert (await found(finding, "another-key-0123")).signal == LOGGED


async def test_a_word_in_place_of_a_key_takes_no_text_apart() -> None:
    finding = Finding(probe=ProbeName.LOGS, verdict=Verdict.BAD, summary="mistral refused", signal=LOGGED)
    assert (await found(finding, "mistral")).summary == "mistral refused"


def test_masking_within_values_keeps_their_kinds() -> None:
    answer = CanaryAnswer(model="m", status=401, message=f"no {KEY}", headers=MappingProxyType({"retry-after": KEY}))
    masked = mask_within((answer, [KEY], Verdict.BAD, 5, None, CanaryAnswer), [KEY])
    told = CanaryAnswer(model="m", status=401, message="no ***", headers={"retry-after": "***"})
    assert masked == (told, ["***"], Verdict.BAD, 5, None, CanaryAnswer)
    assert type(masked[2]) is Verdict


async def test_the_time_that_a_first_login_takes_is_not_the_keys() -> None:
    in_ = asyncio.Event()

    async def log_in() -> None:
        asyncio.get_running_loop().call_later(0.1, in_.set)
        await in_.wait()

    async def read_key(target: Target, cluster: object) -> ServiceKey:
        assert in_.is_set()
        return ServiceKey(value=KEY, source="secret")

    async def ask(run: ProbeRun) -> Finding:
        key = await run.service_key()
        return Finding(probe=ProbeName.CONTROL, verdict=Verdict.OK, summary=str(key and key.source))

    asking = handler(
        Scripted(ProbeName.CONTROL, ask), read_key=read_key, cluster=FakeCluster(preparing=log_in), service_key=0.05
    )
    assert (await asking.run("default")).findings[0].summary == "secret"
