"""One triage's probes: all at once, each under its own time-out, all under one deadline; none can break the triage."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.domain.redaction import mask_within, redact
from bot.domain.signals import Finding, Verdict
from bot.errors import NotConfigured, UpstreamError
from bot.measures import PROBES
from bot.ports import Clock, Cluster, Http, Metrics, Probe, ProbeRun, ServiceKey
from bot.settings import Labels, Limits, Target, Timeouts

logger = logging.getLogger(__name__)

_HEAD_START_S = 0.05
# a word of the language, put where a key belongs, is no secret, and masking it would take text apart
_SHORTEST_KEY = 8


@dataclass(frozen=True, kw_only=True)
class TargetWorld:
    """One target and the ways to ask it; None: that part is not configured."""

    target: Target
    http: Http
    metrics: Metrics | None
    cluster: Cluster | None


@dataclass(frozen=True, kw_only=True)
class Prober:
    """Runs probes against targets. ``read_service_key`` gives the service's key, slowly where the cluster is slow.

    The cluster is made ready before: a first login takes long on a busy machine, and is not the cluster's slowness.
    """

    worlds: Mapping[str, TargetWorld]
    timeouts: Timeouts
    limits: Limits
    labels: Labels
    slack_api_url: str
    clock: Clock
    read_service_key: Callable[[Target, Cluster | None], Awaitable[ServiceKey | None]]

    def run_of(self, target: str, name: str) -> ProbeRun:
        """What something called ``name`` has to work with by itself, outside a triage. Raises NotConfigured."""
        return self._runs(target, [name], _OncePerTriage())[name]

    def _runs(self, target: str, names: Sequence[str], once: "_OncePerTriage") -> dict[str, ProbeRun]:
        """What each of the probes called ``names`` has to work with in one triage."""
        world = self.worlds.get(target)
        if world is None:
            raise NotConfigured(f"the target “{target}” is not configured any more; put it back under that name")

        async def service_key() -> ServiceKey | None:
            key: ServiceKey | None = await once("service key", lambda: self._service_key(world))
            return key

        return {
            name: ProbeRun(
                target=world.target,
                timeout_s=self.timeouts.of(name),
                limits=self.limits,
                labels=self.labels,
                slack_api_url=self.slack_api_url,
                clock=self.clock,
                http=world.http,
                metrics=world.metrics,
                cluster=world.cluster,
                service_key=service_key,
                once=once,
            )
            for name in names
        }

    async def _service_key(self, world: TargetWorld) -> ServiceKey | None:
        """The Secret's key where it can be read in time, else the one in the settings."""
        if world.cluster is not None:
            await world.cluster.prepare()
        try:
            async with asyncio.timeout(self.timeouts.service_key):
                return await self.read_service_key(world.target, world.cluster)
        except TimeoutError:
            key = world.target.mistral.api_key
            return None if key is None else ServiceKey(value=key.reveal(), source="environment")

    async def run(
        self, probes: Sequence[Probe], target: str, on_finding: Callable[[Finding], None]
    ) -> tuple[Finding, ...]:
        """The findings in the order of ``probes``; ``on_finding`` is told of each as it arrives.

        Raises NotConfigured where the settings have no such target any more.
        """
        once = _OncePerTriage()
        runs = self._runs(target, [probe.name for probe in probes], once)
        began = self.clock.monotonic()
        await _head_start(next(iter(runs.values())))
        tasks = {asyncio.create_task(self._check(probe, runs[probe.name])): probe for probe in probes}
        findings: dict[str, Finding] = {}

        def note(probe: Probe, finding: Finding) -> None:
            findings[probe.name] = finding
            PROBES.labels(probe.name, finding.verdict).observe(finding.duration_ms / 1000)
            on_finding(finding)

        try:
            async with asyncio.timeout(self.timeouts.deadline):
                for task in asyncio.as_completed(tasks):
                    finding = await task
                    note(next(probe for probe in probes if probe.name == finding.probe), finding)
        except TimeoutError:
            late = f"cut off by the triage's deadline of {self.timeouts.deadline:g} s"
            spent = round((self.clock.monotonic() - began) * 1000)
            for probe in tasks.values():
                if probe.name not in findings:
                    note(probe, _unknown(probe, late, spent))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await once.close()
        return tuple(findings[probe.name] for probe in probes)

    async def _check(self, probe: Probe, run: ProbeRun) -> Finding:
        began = self.clock.monotonic()
        own_time = None if probe.answers_when_late else run.timeout_s
        try:
            async with asyncio.timeout(own_time):
                finding = await probe.check(run)
            finding = await _without_the_key(finding, run)
        except UpstreamError as error:
            finding = _unknown(probe, str(error))
        except TimeoutError:
            finding = _unknown(probe, f"no answer within {run.timeout_s:g} s")
        except Exception as error:
            logger.exception("the probe %s failed", probe.name)
            finding = _unknown(probe, f"the probe itself failed ({type(error).__name__}); the bot's log has more")
        # whatever an upstream said, a summary is shown everywhere
        spent_ms = round((self.clock.monotonic() - began) * 1000)
        return replace(finding, summary=redact(finding.summary), duration_ms=spent_ms)


async def _without_the_key(finding: Finding, run: ProbeRun) -> Finding:
    """A key of Mistral's looks like nothing in particular: only who knows it finds it in a log line."""
    masked: Finding = mask_within(finding, await known_keys(run))
    return masked


async def known_keys(run: ProbeRun) -> list[str]:
    """Mistral's keys that may stand in what upstreams say: the service's, and the settings', perhaps an older one."""
    service, own = await run.service_key(), run.target.mistral.api_key
    held = {*([] if service is None else [service.value]), *([] if own is None else [own.reveal()])}
    return [key for key in held if len(key) >= _SHORTEST_KEY]


async def _head_start(run: ProbeRun) -> None:
    """Lets the service's key be read before all else: the slowest upstream, Mistral, is asked with it.

    All at once, the other probes' work would stand between that read and its answer.
    """
    reading = asyncio.ensure_future(run.service_key())
    reading.add_done_callback(lambda read: read.cancelled() or read.exception())  # told to the probes that need it
    await asyncio.wait([reading], timeout=_HEAD_START_S)


def _unknown(probe: Probe, why: str, duration_ms: int = 0) -> Finding:
    return Finding(probe=probe.name, verdict=Verdict.UNKNOWN, summary=why, duration_ms=duration_ms)


@dataclass(frozen=True)
class _OncePerTriage:
    """Reads that several probes share: made once; a probe that gives up does not take the read from the others."""

    tasks: dict[str, "asyncio.Task[Any]"] = field(default_factory=dict)

    async def __call__(self, what: str, read: Callable[[], Awaitable[Any]]) -> Any:
        if what not in self.tasks:
            self.tasks[what] = asyncio.ensure_future(_awaited(read))
        return await asyncio.shield(self.tasks[what])

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def _awaited(read: Callable[[], Awaitable[Any]]) -> Any:
    return await read()
