"""Triage: all probes at once, under their time-outs and one deadline; overlapping triages share one run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.configuration import load
from bot.domain.signals import Canary, CanaryAnswer, Finding, LogPattern, Logs, MistralApi, Model, ProbeName, Verdict
from bot.errors import Forbidden, UpstreamError
from bot.handlers.probing import Prober, TargetWorld
from bot.handlers.triage import TriageHandler, check_health
from bot.ports import Cluster, ProbeRun, ServiceKey
from bot.settings import Labels, Limits, Target, Timeouts
from tests.fakes import unhurried

Check = Callable[[ProbeRun], Awaitable[Finding]]


class LoopClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class NoHttp:
    async def fetch(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing here asks over HTTP")


@dataclass
class Scripted:
    """A probe that does what a test says."""

    name: ProbeName
    do: Check
    answers_when_late: bool = False
    calls: list[ProbeRun] = field(default_factory=list)

    async def check(self, run: ProbeRun) -> Finding:
        self.calls.append(run)
        return await self.do(run)


def good(name: ProbeName, signal: Any) -> Scripted:
    async def do(run: ProbeRun) -> Finding:
        await asyncio.sleep(0)
        return Finding(probe=name, verdict=Verdict.OK, summary="fine", signal=signal)

    return Scripted(name, do)


def failing(name: ProbeName, error: Exception) -> Scripted:
    async def do(run: ProbeRun) -> Finding:
        raise error

    return Scripted(name, do)


def hanging(name: ProbeName, *, answers_when_late: bool = False) -> Scripted:
    async def do(run: ProbeRun) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    return Scripted(name, do, answers_when_late)


async def slow_key(target: Target, cluster: Cluster | None) -> ServiceKey | None:
    await asyncio.Event().wait()
    return None


async def no_key(target: Target, cluster: Cluster | None) -> ServiceKey | None:
    return None


def handler(
    *probes: Scripted, read_key: Any = no_key, cluster: Cluster | None = None, **timeouts: float
) -> TriageHandler:
    target = load({"MISTRAL_API_KEY": "from-the-settings"}).targets[0]
    prober = Prober(
        worlds={"default": TargetWorld(target=target, http=NoHttp(), metrics=None, cluster=cluster)},
        timeouts=Timeouts(**timeouts),
        limits=Limits(),
        labels=Labels(),
        slack_api_url="http://slack/api/",
        clock=LoopClock(),
        read_service_key=read_key,
    )
    return TriageHandler(prober=prober, probes=probes)


MODELS = MistralApi(status=200, models=(Model(id="m"),))
CANARY = Canary(answers=(CanaryAnswer(model="m", status=200),))


async def test_findings_come_in_the_order_of_the_probes_with_their_time() -> None:
    report = await handler(good(ProbeName.MISTRAL_API, MODELS), good(ProbeName.CANARY, CANARY)).run("default")
    assert [finding.probe for finding in report.findings] == ["mistral_api", "canary"]
    assert report.diagnosis.cause == "healthy"
    assert report.exit_status == 0


async def test_a_probe_that_cannot_know_is_unknown_with_its_sentence() -> None:
    report = await handler(failing(ProbeName.PODS, Forbidden("forbidden: list pods in prod"))).run("default")
    assert (report.findings[0].verdict, report.findings[0].summary) == ("unknown", "forbidden: list pods in prod")


async def test_a_probe_that_breaks_is_unknown_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        report = await handler(failing(ProbeName.PODS, ZeroDivisionError("secret text"))).run("default")
    assert report.findings[0].verdict == "unknown"
    assert "ZeroDivisionError" in report.findings[0].summary
    assert "secret text" not in report.findings[0].summary
    assert "the probe pods failed" in caplog.text


async def test_a_probe_that_is_late_is_unknown_after_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    report = await handler(hanging(ProbeName.PODS), pods=0.02, deadline=30).run("default")
    took_ms = (loop.time() - began) * 1000
    assert report.findings[0].summary == "no answer within 0.02 s"
    assert 15 <= report.findings[0].duration_ms <= took_ms + 1, "it is rounded"


async def test_the_deadline_cuts_off_what_keeps_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)  # the other probe is to answer before
    late = hanging(ProbeName.MISTRAL_API, answers_when_late=True)
    report = await handler(late, good(ProbeName.CANARY, CANARY), deadline=0.05).run("default")
    assert report.findings[0].summary == "cut off by the triage's deadline of 0.05 s"
    assert report.findings[1].verdict == "ok"


async def test_reads_shared_by_probes_are_made_once_and_errors_are_shared_too() -> None:
    reads = []

    async def read() -> str:
        reads.append(1)
        await asyncio.sleep(0)
        raise UpstreamError("the cluster is away")

    async def do(run: ProbeRun) -> Finding:
        return await run.once("deployment", read)  # type: ignore[no-any-return]

    probes = (Scripted(ProbeName.PODS, do), Scripted(ProbeName.ROLLOUT, do))
    report = await handler(*probes).run("default")
    assert len(reads) == 1
    assert [finding.summary for finding in report.findings] == ["the cluster is away"] * 2


async def test_a_probe_that_gives_up_does_not_take_a_shared_read_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unhurried(monkeypatch)  # the other's own time is not to be over
    arrived = asyncio.Event()

    async def read() -> str:
        await arrived.wait()
        return "deployment"

    async def impatient(run: ProbeRun) -> Finding:
        await run.once("deployment", read)
        raise AssertionError("unreachable")

    async def patient(run: ProbeRun) -> Finding:
        asyncio.get_running_loop().call_later(0.05, arrived.set)
        summary = await run.once("deployment", read)
        return Finding(probe=ProbeName.ROLLOUT, verdict=Verdict.OK, summary=summary)

    probes = (Scripted(ProbeName.PODS, impatient), Scripted(ProbeName.ROLLOUT, patient))
    report = await handler(*probes, pods=0.01).run("default")
    assert [finding.summary for finding in report.findings] == ["no answer within 0.01 s", "deployment"]


async def test_a_slow_cluster_does_not_hold_up_the_key_of_the_settings() -> None:
    keys = []

    async def do(run: ProbeRun) -> Finding:
        keys.append(await run.service_key())
        return Finding(probe=ProbeName.MISTRAL_API, verdict=Verdict.OK, summary="fine", signal=MODELS)

    await handler(Scripted(ProbeName.MISTRAL_API, do), read_key=slow_key, service_key=0.01).run("default")
    assert keys == [ServiceKey(value="from-the-settings", source="environment")]
    assert "from-the-settings" not in repr(keys)


async def test_two_hundred_triages_at_once_share_one_run() -> None:
    probe = good(ProbeName.MISTRAL_API, MODELS)
    shared = handler(probe)

    async def last() -> Any:
        return [reply async for reply in shared.cards("default")][-1]

    finals = await asyncio.gather(*(last() for _ in range(200)))
    assert len(probe.calls) == 1
    assert {reply.template for reply in finals} == {"triage"}
    await last()
    assert len(probe.calls) == 2, "a triage after the first one asks anew"


async def test_the_card_grows_with_each_finding_and_ends_with_the_diagnosis() -> None:
    gate = asyncio.Event()

    async def gated(run: ProbeRun) -> Finding:
        await gate.wait()
        return Finding(probe=ProbeName.CANARY, verdict=Verdict.OK, summary="fine", signal=CANARY)

    replies = []
    growing = handler(good(ProbeName.MISTRAL_API, MODELS), Scripted(ProbeName.CANARY, gated))
    async for reply in growing.cards("default", pace_s=0):
        replies.append(reply)
        if [finding.probe for finding in reply.context["findings"]] == ["mistral_api"]:
            assert reply.context["waiting"] == ("canary",)
            gate.set()
    assert [reply.template for reply in replies][:2] == ["triage_running", "triage_running"]
    assert replies[-1].template == "triage"
    assert replies[-1].context["diagnosis"].cause == "healthy"


@pytest.mark.parametrize("excerpts", [True, False])
async def test_log_excerpts_go_to_the_thread_unless_switched_off(excerpts: bool) -> None:
    logs = Logs(lines=40, error_lines=30, by_kind={"429": 30}, patterns=(LogPattern(count=30, text="429"),))
    base = handler(good(ProbeName.LOGS, logs))
    asked = TriageHandler(prober=base.prober, probes=base.probes, log_excerpts=excerpts)
    final = [reply async for reply in asked.cards("default")][-1]
    assert [reply.template for reply in final.thread] == (["triage_logs"] if excerpts else [])


@pytest.mark.parametrize(("verdict", "healthy"), [(Verdict.OK, True), (Verdict.BAD, False), (Verdict.UNKNOWN, False)])
async def test_health_asks_the_models_probe_alone(verdict: Verdict, healthy: bool) -> None:
    async def do(run: ProbeRun) -> Finding:
        return Finding(probe=ProbeName.MISTRAL_API, verdict=verdict, summary="as said")

    base = handler()
    reply = await check_health(base.prober, Scripted(ProbeName.MISTRAL_API, do), "default")
    assert (reply.template, reply.context["healthy"], reply.context["sentence"]) == ("health", healthy, "as said")
