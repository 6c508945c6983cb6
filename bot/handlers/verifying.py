"""Watches a mitigation roll out, and asks the probes whether it helps; what fails or makes it worse is taken back."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain import mitigation
from bot.domain.changes import template_hash
from bot.domain.incident import BOT
from bot.domain.objects import within
from bot.domain.policy import Mitigations
from bot.domain.remedies import RemedyName
from bot.domain.rollout import RolloutStatus, status
from bot.domain.runs import REVERT, Outcome, Plan, Run, RunChange
from bot.domain.signals import Finding, ProbeName, Verdict
from bot.domain.workload import template
from bot.errors import NotFound, UpstreamError
from bot.handlers.planning import seen
from bot.handlers.probing import Prober
from bot.handlers.reverting import note_reverted
from bot.handlers.rotation import PUT_BACK, Rotation
from bot.ports import Probe, ProbeRun, Remedy, Store

# What a mitigation can break that was well before.
_OWN = frozenset({ProbeName.HEALTH, ProbeName.PROMETHEUS, ProbeName.PODS})
_INSTEAD: Mapping[str, str] = {
    RemedyName.FALLBACK: "The service may have no fallback: serve cached answers or a clear error page."
}
_TAKEN_BACK = frozenset({Outcome.WORSE, Outcome.FAILED})

Show = Callable[[Run, str], Awaitable[Run]]


@dataclass(frozen=True, kw_only=True)
class Verifier:
    prober: Prober
    probes: Sequence[Probe]
    remedies: Mapping[str, Remedy]
    store: Store
    policy: Mitigations
    rotation: Rotation
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def watch(self, run: Run, show: Show) -> RunChange:
        """Until the rollout is done or has failed, as ``kubectl rollout status`` sees it, and earlier than that."""
        plan, asks = _plan(run), self.prober.run_of(run.target, "mitigation")
        if run.remedy == REVERT:
            await note_reverted(self.store, run, self._now())
        until = (run.applied_at or self._now()) + self.policy.rollout_within
        silent = ""
        while True:
            try:
                found = await self._rollout(plan, asks)
            except NotFound:
                return await self._over(run, Outcome.INTERRUPTED, "The deployment was deleted while it rolled out.")
            except UpstreamError as error:
                silent = f" {error}."
            else:
                silent = ""
                if found is None:
                    return await self._over(
                        run, Outcome.INTERRUPTED, "The deployment was changed by somebody else while it rolled out."
                    )
                if found.failed:
                    return await self._over(run, Outcome.FAILED, found.failed)
                if found.done:
                    return await self._rolled_out(run)
                run = await show(run, found.said)
            if self._now() >= until:
                minutes = self.policy.rollout_within.total_seconds() / 60
                outcome = Outcome.INTERRUPTED if silent else Outcome.FAILED
                return await self._over(run, outcome, f"It was not rolled out within {minutes:g} minutes.{silent}")
            await self.pause(self.policy.look_every.total_seconds())

    async def verify(self, run: Run, show: Show) -> RunChange:
        """Until the probes were well so often in a row as policy says, or things are worse, or the time is over."""
        plan, until = _plan(run), self._now() + self.policy.verify_within
        if run.applied_at is not None:
            # whoever takes it over does not begin anew
            until = min(until, run.applied_at + self.policy.rollout_within + self.policy.verify_within)
        if not plan.found_by:
            return await self._over(
                run, Outcome.NO_EFFECT, "Nothing can tell whether it helps: no probe is configured."
            )
        names = {*plan.found_by, *_OWN}
        probes = [probe for probe in self.probes if probe.name in names]
        well = worse = 0
        bad: list[Finding] = []
        while True:
            findings = await self.prober.run(probes, run.target, lambda _: None)
            bad = [one for one in findings if one.verdict is Verdict.BAD]
            well = well + 1 if _are_well(findings, plan.found_by) else 0
            broken = [one for one in bad if one.probe in _OWN and one.probe not in plan.baseline]
            worse = worse + 1 if broken else 0
            if well >= self.policy.successes:
                return await self._over(run, Outcome.FIXED, f"{_told(findings, plan.found_by)}.")
            if worse >= self.policy.successes:
                return await self._over(run, Outcome.WORSE, f"Was well before: {'; '.join(map(_said, broken))}.")
            if not well and self._now() >= until:
                minutes = self.policy.verify_within.total_seconds() / 60
                still = "; ".join(map(_said, bad)) or "no probe can tell"
                instead = _INSTEAD.get(run.remedy, "")
                return await self._over(
                    run, Outcome.NO_EFFECT, f"After {minutes:g} minutes: {still}. {instead}".strip()
                )
            run = await show(run, f"{well} of {self.policy.successes} looks in a row were good")
            await self.pause(self.policy.verify_every.total_seconds())

    async def _rollout(self, plan: Plan, asks: ProbeRun) -> RolloutStatus | None:
        """None: the deployment is not as the mitigation left it."""
        if asks.cluster is None:
            raise UpstreamError("the cluster is not configured any more")
        held = await seen(asks, asks.cluster)
        if str(within(held.deployment, "metadata").get("uid")) != plan.uid:
            return None
        # what consumes a new key is restarted whatever else it was changed to
        if template_hash(template(held.deployment)) != plan.after and not plan.secret_pin:
            return None
        return status(held.deployment, held.replica_sets, held.pods)

    async def _rolled_out(self, run: Run) -> RunChange:
        if run.remedy == REVERT:
            return mitigation.ended(run, Outcome.DONE, "It is as it was before.", self._now())
        return mitigation.rolled_out(run, self._now())

    async def _over(self, run: Run, outcome: Outcome, said: str) -> RunChange:
        """The end, and what follows of itself: the old key put back, or the bot's own revert."""
        plan = _plan(run)
        if plan.secret_pin:
            asks = self.prober.run_of(run.target, "mitigation")
            settled = await self.rotation.settled(run, plan, asks, back=outcome in _TAKEN_BACK)
            # the Secret alone changes no pod that runs
            then = (
                " Pods that have the new one still use it: `/mistral mitigate restart`." if settled == PUT_BACK else ""
            )
            said = f"{said} {settled}{then}".strip()
        change = mitigation.ended(run, outcome, said, self._now())
        remedy = self.remedies.get(run.remedy)
        if outcome not in _TAKEN_BACK or remedy is None or not remedy.reverts_itself:
            return change
        why = f"the bot takes it back: {outcome}"
        back = mitigation.revert_of(change.run, uuid.uuid4().hex, BOT, why, self._now(), automatic=True)
        more = mitigation.asked(back)
        return replace(
            change, events=(*change.events, *more.events), messages=(*change.messages, *more.messages), more=(back,)
        )

    def _now(self) -> datetime:
        return self.prober.clock.now()


def _plan(run: Run) -> Plan:
    if run.plan is None:
        raise UpstreamError("The preview of this mitigation was lost; look at the cluster.")
    return run.plan


def _are_well(findings: Sequence[Finding], names: Sequence[str]) -> bool:
    """A probe that there is no finding of, such as one that a new release of the bot has not, is not well."""
    return {one.probe for one in findings if one.verdict is Verdict.OK} >= set(names)


def _told(findings: Sequence[Finding], names: Sequence[str]) -> str:
    return "; ".join(_said(one) for one in findings if one.probe in names)


def _said(finding: Finding) -> str:
    return f"{str(finding.probe).replace('_', ' ')}: {finding.summary}"
