"""Sends a mitigation's change to the cluster, once: the API server refuses what does not fit the preview any more.

The object carries the run's id from the moment at which it is changed. Whoever takes over from a process that died, or
whose answer was lost, finds it there; and a patch that names the version it was made for cannot arrive twice.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import mitigation
from bot.domain.changes import Unfitting, changed, template_hash
from bot.domain.objects import Object, within
from bot.domain.policy import Mitigations
from bot.domain.runs import Outcome, Plan, Run, RunChange
from bot.domain.workload import template
from bot.errors import BadAnswer, Changed, Forbidden, NotFound, Unreachable, UpstreamError
from bot.handlers.moved import RUN, Moved, TooLate, Unsure
from bot.handlers.planning import WHO_GRANTS, Seen, seen, sentence, template_patch
from bot.handlers.probing import Prober
from bot.handlers.rotation import Rotation
from bot.ports import Cluster, ProbeRun

# Whose answer was lost is asked again for so long; then people have to look.
_UNSURE = timedelta(minutes=1)
_PAUSE_S = 1.0
# A deployment whose status changes all the time may be read so often in a row before the bot takes breath.
_IN_A_ROW = 20
_NOT_RESTARTED = "The pods could not be restarted."

Ours = Callable[[Run], Awaitable[None]]
"""Raises Conflict where the run is another process's by now."""


@dataclass(frozen=True, kw_only=True)
class Applier:
    prober: Prober
    policy: Mitigations
    rotation: Rotation
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def apply(self, run: Run, ours: Ours) -> RunChange:
        """The run as its change has been accepted, or as it ended before anything was changed.

        ``ours`` is asked between reading the cluster and changing it: what another process that has taken the run has
        done since then, the API server sees by the version.
        """
        plan, asks = run.plan, self.prober.run_of(run.target, "mitigation")
        if plan is None or asks.cluster is None:
            return self._ended(run, Outcome.FAILED, "The cluster is not configured any more; nothing was changed.")
        try:
            if plan.secret_pin:
                return await self._rotated(run, plan, asks, asks.cluster, ours)
            await self._patched(run, plan, asks, asks.cluster, ours)
        except (Moved, Unfitting) as moved:
            return mitigation.superseded(run, str(moved), uuid.uuid4().hex, self._now())
        except TooLate as late:
            return self._ended(run, Outcome.INTERRUPTED, str(late))
        except Unreachable as error:
            said = f"{sentence(error)} Nobody knows whether the change was made: look, and go on by hand."
            if isinstance(error, Unsure):
                # what may be there is reminded of and can be taken back; a revert finds out that it is not
                run = mitigation.accepted(run, self._now(), self.policy).run
            return self._ended(run, Outcome.INTERRUPTED, f"{said} {self.rotation.left_behind(run, plan)}".strip())
        except UpstreamError as error:
            return self._ended(run, Outcome.FAILED, f"Nothing was changed. {_refused(error)}")
        return mitigation.accepted(run, self._now(), self.policy)

    async def _rotated(self, run: Run, plan: Plan, asks: ProbeRun, cluster: Cluster, ours: Ours) -> RunChange:
        """The key first, then the restart of what consumes it; without the restart the old key comes back."""
        try:
            said = await self.rotation.given_up(run, plan, asks)
            written = await self.rotation.written(run, plan, asks)
        except BadAnswer as error:
            # whoever had the run before may have written the key
            raise Unreachable(str(error)) from error
        if said:
            return self._ended(run, Outcome.FAILED, f"{_NOT_RESTARTED} {said}")
        if not written:
            _wanted(plan, await seen(asks, cluster))
            self._in_time(run)
            await self.rotation.write(run, plan, asks, annotations(run))
        try:
            await self._patched(run, plan, asks, cluster, ours, key_written=True)
        except Unreachable:
            raise
        except (UpstreamError, Moved, Unfitting) as error:
            said = f"{_NOT_RESTARTED} {_refused(error)} {await self.rotation.settled(run, plan, asks, back=True)}"
            return self._ended(run, Outcome.FAILED, said)
        return mitigation.accepted(run, self._now(), self.policy)

    async def _patched(
        self, run: Run, plan: Plan, asks: ProbeRun, cluster: Cluster, ours: Ours, *, key_written: bool = False
    ) -> None:
        """Raises Moved, TooLate, and UpstreamError where it was not done. ``key_written``: it restarts all the same."""
        unsure_until, tries = max(self._now(), run.start_by or self._now()) + _UNSURE, 0
        lost = key_written  # what may have been done already is not late
        while True:
            tries += 1
            sending = False
            try:
                held = await seen(asks, cluster)
                if within(held.deployment, "metadata", "annotations").get(RUN) == run.id:
                    return
                if _undone(run, held):
                    raise TooLate("It was applied, and somebody has undone it since; it is not applied again.")
                if not lost:
                    self._in_time(run)
                patch = template_patch(held.deployment, _wanted(plan, held, pinned=not key_written), annotations(run))
                await ours(run)
                sending = True
                await cluster.patch("Deployment", plan.deployment, patch)
            except Changed:
                lost = key_written
                if tries % _IN_A_ROW == 0:
                    await self.pause(_PAUSE_S)
            except NotFound:
                raise Moved("The deployment is not there any more.") from None
            except UpstreamError as error:
                away = isinstance(error, Unreachable)
                lost = lost or (sending and away)
                # a patch that was refused was not made; what could not be read says nothing of an earlier one
                if not away and (sending or not (lost or isinstance(error, BadAnswer))):
                    raise
                if self._now() >= unsure_until:
                    raise (Unsure if lost else Unreachable)(str(error)) from error
                await self.pause(_PAUSE_S)
            else:
                return

    def _in_time(self, run: Run) -> None:
        """Nothing begins late: a process that takes over may come long after the approval."""
        if run.start_by is not None and self._now() >= run.start_by:
            raise TooLate("It could not begin in time, and nothing was changed; ask for it again.")

    def _ended(self, run: Run, outcome: Outcome, said: str) -> RunChange:
        return mitigation.ended(run, outcome, said, self._now())

    def _now(self) -> datetime:
        return self.prober.clock.now()


def annotations(run: Run) -> Mapping[str, str]:
    """What the changed object says of who changed it, and why; holds no text that people wrote."""
    approvers = ",".join(approval.user for approval in run.approvals) or "nobody"
    cause = f"mistral-bot: {run.remedy} for INC-{run.incident}, approved by {approvers}"
    return {
        RUN: run.id,
        "mistral-bot/remedy": run.remedy,
        "mistral-bot/incident": f"INC-{run.incident}",
        "mistral-bot/approved-by": approvers,
        "kubernetes.io/change-cause": cause,
    }


def _wanted(plan: Plan, held: Seen, *, pinned: bool = True) -> Object:
    """The template to be; raises Moved and Unfitting."""
    if str(within(held.deployment, "metadata").get("uid")) != plan.uid:
        raise Moved("The deployment was deleted and made anew since the preview.")
    before = template(held.deployment)
    if pinned and template_hash(before) != plan.pin:
        raise Moved("The deployment was changed by somebody else since the preview.")
    if within(held.deployment, "spec").get("paused"):
        raise Moved("The deployment was paused since the preview.")
    return changed(before, plan.changes, held.sets)


def _undone(run: Run, held: Seen) -> bool:
    """Whether a ReplicaSet tells of the run that the deployment tells nothing of: `kubectl rollout undo` does that."""
    return any(within(one, "metadata", "annotations").get(RUN) == run.id for one in held.replica_sets)


def _refused(error: Exception) -> str:
    return f"{sentence(error)} {WHO_GRANTS}" if isinstance(error, Forbidden) else sentence(error)
