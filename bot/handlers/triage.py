"""``/mistral triage`` and ``/mistral health``: ask everything at once, say what is wrong, how bad, and what to do.

Triages of the same target that overlap share one run, so that two hundred people asking ask Mistral once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.diagnosis import diagnose
from bot.domain.report import TriageReport
from bot.domain.signals import Finding, Logs, ProbeName, Traffic, Verdict
from bot.errors import BotError
from bot.handlers.probing import Prober
from bot.measures import DIAGNOSES
from bot.ports import Charts, File, Probe, Reply
from bot.settings import DEFAULT_TARGET

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class TriageRun:
    """One triage under way: what has been found so far, and the report once it is done."""

    target: str
    started: datetime
    probes: tuple[ProbeName, ...]
    findings: list[Finding] = field(default_factory=list)
    tick: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by a new one, whenever something changes."""
    report: "asyncio.Future[TriageReport]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def changed(self) -> None:
        self.tick, past = asyncio.Event(), self.tick
        past.set()

    @property
    def waiting(self) -> tuple[ProbeName, ...]:
        found = {finding.probe for finding in self.findings}
        return tuple(name for name in self.probes if name not in found)


@dataclass(frozen=True, kw_only=True)
class TriageHandler:
    """Triages by target. ``charts`` None: no chart; ``log_excerpts`` False: no log line leaves the bot."""

    prober: Prober
    probes: Sequence[Probe]
    charts: Charts | None = None
    log_excerpts: bool = True
    _under_way: dict[str, tuple[TriageRun, "asyncio.Task[None]"]] = field(default_factory=dict)

    def start(self, target: str) -> TriageRun:
        """The run of ``target`` that is under way, else a new one."""
        if target in self._under_way:
            return self._under_way[target][0]
        names = tuple(probe.name for probe in self.probes)
        run = TriageRun(target=target, started=self.prober.clock.now(), probes=names)
        task = asyncio.create_task(self._work(run), name=f"triage of {target}")
        self._under_way[target] = (run, task)
        return run

    async def run(self, target: str, on_finding: Callable[[Finding], None] = lambda _: None) -> TriageReport:
        """One whole triage by itself, for the terminal; ``on_finding`` is told of each finding as it arrives."""
        began = self.prober.clock.monotonic()
        started = self.prober.clock.now()
        findings = await self.prober.run(self.probes, target, on_finding)
        report = TriageReport(
            target=target,
            started=started,
            duration_ms=round((self.prober.clock.monotonic() - began) * 1000),
            findings=findings,
            diagnosis=diagnose(findings, self.prober.clock.now()),
        )
        DIAGNOSES.labels(report.diagnosis.cause).inc()
        return report

    async def cards(self, target: str, *, pace_s: float = 1.0) -> AsyncIterator[Reply]:
        """The card as it grows: ``triage_running`` at once and as findings arrive, at last ``triage`` without delay.

        There are ``pace_s`` seconds at least between two of the former.
        """
        run = self.start(target)
        while not run.report.done():
            tick = run.tick
            shown = self.prober.clock.monotonic()
            yield _running(run)
            await tick.wait()
            await asyncio.wait([run.report], timeout=max(0.0, shown + pace_s - self.prober.clock.monotonic()))
        yield self._final(await run.report)

    async def files(self, report: TriageReport) -> tuple[File, ...]:
        """The chart of the error rate, where there is anything to draw; takes a second or two."""
        traffic = _signal(report, ProbeName.PROMETHEUS)
        if self.charts is None or not isinstance(traffic, Traffic) or len(traffic.history) < 2:
            return ()
        rollout = getattr(_signal(report, ProbeName.ROLLOUT), "created", None)
        points = [(point.at, point.ratio) for point in traffic.history]
        try:
            png = await self.charts.error_rate(
                points, onset=traffic.onset, rollouts=[] if rollout is None else [rollout]
            )
        except BotError as error:
            logger.warning("the chart was not drawn: %s", error)
            return ()
        return (File(name="error-rate.png", title="Share of failed requests over two hours", content=png),)

    async def _work(self, run: TriageRun) -> None:
        def on_finding(finding: Finding) -> None:
            run.findings.append(finding)
            run.changed()

        try:
            report = await self.run(run.target, on_finding)
        except BaseException as error:
            run.report.set_exception(error if isinstance(error, Exception) else BotError("the triage was interrupted"))
            run.report.exception()  # told to whoever waits; nobody may be waiting
            raise
        else:
            run.report.set_result(report)
        finally:
            del self._under_way[run.target]
            run.changed()

    def _final(self, report: TriageReport) -> Reply:
        return Reply(
            template="triage",
            context={
                "target": _shown(report.target),
                "diagnosis": report.diagnosis,
                "findings": report.findings,
                "duration_ms": report.duration_ms,
                "way": report.diagnosis.way,
                "report": report,
            },
            thread=tuple(self._thread(report)),
        )

    def _thread(self, report: TriageReport) -> list[Reply]:
        replies = []
        traffic, logs = _signal(report, ProbeName.PROMETHEUS), _signal(report, ProbeName.LOGS)
        if isinstance(traffic, Traffic) and traffic.by_code:
            replies.append(Reply(template="triage_codes", context={"traffic": traffic}))
        if self.log_excerpts and isinstance(logs, Logs) and logs.error_lines:
            replies.append(Reply(template="triage_logs", context={"logs": logs}))
        return replies


async def check_health(prober: Prober, probe: Probe, target: str) -> Reply:
    """The runbook's one-line check: the models probe alone."""
    (finding,) = await prober.run([probe], target, lambda _: None)
    return Reply(
        template="health",
        context={
            "target": _shown(target),
            "healthy": finding.verdict is Verdict.OK,
            "sentence": finding.summary,
            "status": getattr(finding.signal, "status", None),
        },
    )


def _running(run: TriageRun) -> Reply:
    order = {name: place for place, name in enumerate(run.probes)}
    return Reply(
        template="triage_running",
        context={
            "target": _shown(run.target),
            "findings": sorted(run.findings, key=lambda finding: order[finding.probe]),
            "waiting": run.waiting,
            "started": run.started,
        },
    )


def _shown(target: str) -> str:
    return "" if target == DEFAULT_TARGET else target


def _signal(report: TriageReport, probe: ProbeName) -> object:
    return next((finding.signal for finding in report.findings if finding.probe == probe), None)
