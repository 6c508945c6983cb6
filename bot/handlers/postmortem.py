"""Postmortems: drafted from the record whenever they are shown, written and published by people, reminded of."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.drafting import SECTIONS, Draft, Facts, Failed, begun, draft, ended, wrote
from bot.domain.incident import FILES, FOLDER, HOME, Incident, Outgoing, Priority, Refusal, Role
from bot.domain.policy import Policy
from bot.domain.postmortem import Postmortem, PostmortemState, Version
from bot.domain.reminding import after_working_days
from bot.errors import AlreadyDone, UpstreamError
from bot.handlers.probing import Prober
from bot.ports import Clock, Record, Store

_BATCH = 100
_QUERY_S = 20.0


@dataclass(frozen=True, kw_only=True)
class PostmortemHandler:
    """``prober``: the ways to ask Prometheus; ``wake`` is called when there is something to send."""

    store: Store
    clock: Clock
    policy: Policy
    prober: Prober
    wake: Callable[[], None] = lambda: None

    async def draft(self, number: int, version: int | None = None, *, counted: bool = True) -> Draft:
        """As it reads now, or as that version was written; raises Refusal, StoreError.

        ``counted`` False: without what Prometheus counted, which may take long.
        """
        record = await self.store.record(number)
        if record is None:
            raise Refusal(f"There is no INC-{number}.")
        held = await self.store.postmortem(number)
        written = None if held is None else held.newest
        if version is not None:
            written = await self.store.postmortem_version(number, version)
        failed = await self._failed(record.incident) if counted else Failed(why="not asked")
        return draft(self._facts(record, failed), self.policy, written)

    async def write(
        self,
        number: int,
        after: int,
        told: Mapping[str, str],
        *,
        confirmed: bool,
        user: str,
        request: str,
    ) -> Postmortem:
        """A version that follows the one numbered ``after``, with what ``told`` changes; empty: as it is drafted.

        Raises Refusal, Conflict, AlreadyDone.
        """
        held = await self._one(number)
        before = held.newest
        kept = {} if before is None else dict(before.written)
        changed = {key: wrote(text) for key, text in told.items() if key in SECTIONS}
        by = user if confirmed else None
        if confirmed and before is not None and before.confirmed_by is not None:
            by = before.confirmed_by
        version = Version(
            incident=number,
            number=after + 1,
            at=self.clock.now(),
            by=user,
            written={key: text for key, text in {**kept, **changed}.items() if text},
            confirmed_by=by,
        )
        done = await self.store.write_postmortem(version, now=self.clock.now(), request=request)
        self.wake()
        return done

    async def publish(self, number: int, user: str, request: str) -> Postmortem:
        """The newest version, with its files to the channel and the folder; raises Refusal, StoreError."""
        held = await self._one(number)
        version = 0 if held.newest is None else held.newest.number
        if held.published == version:
            raise Refusal(f"Version {version} of the postmortem of INC-{number} is published already.")
        places = [FILES] if self.policy.afterwards.folder is None else [FILES, FOLDER]
        messages = [
            Outgoing(
                kind="file",
                to=to,
                template="postmortem",
                context={"version": version, "by": user},
                priority=Priority.REST,
            )
            for to in places
        ]
        try:
            done = await self.store.publish_postmortem(
                number, version, by=user, now=self.clock.now(), request=request, messages=messages
            )
        except AlreadyDone:
            return await self._one(number)
        self.wake()
        return done

    async def _one(self, number: int) -> Postmortem:
        held = await self.store.postmortem(number)
        if held is None:
            if await self.store.incident(number) is None:
                raise Refusal(f"There is no INC-{number}.")
            raise Refusal(f"INC-{number} is not resolved yet; its postmortem is drafted when it is.")
        return held

    async def tick(self) -> None:
        """Sends the reminders that are due."""
        now = self.clock.now()
        while done := await self.store.tick_postmortems(
            now, lambda incident, held: reminded(incident, held, now, self.policy), limit=_BATCH
        ):
            self.wake()
            if done < _BATCH:
                return

    def _facts(self, record: Record, failed: Failed) -> Facts:
        return Facts(
            incident=record.incident,
            entries=record.entries,
            triages=[(at, report) for _, at, report in record.triages],
            runs=record.runs,
            alerts=record.alerts,
            actions=record.actions,
            failed=failed,
            now=self.clock.now(),
        )

    async def _failed(self, incident: Incident) -> Failed:
        """What Prometheus counted while it lasted."""
        world = self.prober.worlds.get(incident.target)
        metrics = None if world is None else world.metrics
        if world is None or metrics is None:
            return Failed(why="Prometheus is not configured")
        start, end = begun(incident), ended(incident) or self.clock.now()
        lasted_s = max(60.0, (end - start).total_seconds())
        settings, objective = world.target.prometheus, self.policy.afterwards.objective

        asked = [(settings.requests, lasted_s), (settings.errors, lasted_s)]
        if objective is not None:
            asked.append((settings.requests, objective.window.total_seconds()))

        async def counted(counter: str, span_s: float) -> float | None:
            query = f"sum(increase({counter}[{round(span_s)}s]))"
            found = await metrics.query_range(query, start=end, end=end, step_s=60, timeout_s=_QUERY_S)
            return next((value for series in found for _, value in series.points if value == value), None)

        try:
            # at once: one after the other, those that hang would take longer than there is to publish it
            requests, errors, *window = await asyncio.gather(*(counted(*one) for one in asked))
        except UpstreamError as error:
            return Failed(why=str(error))
        if requests is None:
            return Failed(why="Prometheus has nothing of that time any more")
        # a counter that nothing was counted in is not there
        return Failed(requests=requests, errors=errors or 0.0, window_requests=window[0] if window else None)


def reminded(
    incident: Incident, held: Postmortem, now: datetime, policy: Policy
) -> tuple[Postmortem, Sequence[Outgoing]]:
    """What a look at an unwritten postmortem makes of it: the first shows its card, the others remind."""
    days, over = policy.afterwards.remind_after, incident.resolved_at
    wanted = not incident.open and incident.severity in policy.afterwards.postmortems
    if not wanted or over is None or held.state is PostmortemState.PUBLISHED:
        return replace(held, remind_at=None), ()
    looked = held.reminders
    due = [after_working_days(over, count, policy.calendar) for count in days]
    if looked == 0:
        following = due[0] if due else None
        return replace(held, reminders=1, remind_at=following), (CARD,)
    # after a pause the ones that were missed are one
    passed = sum(at <= now for at in due)
    following = due[passed] if passed < len(due) else None
    owner = incident.roles.get(Role.POSTMORTEM) or incident.commander
    last = following is None
    to = [owner] if owner is not None else []
    if last or owner is None:
        to.append(HOME)
    context = {"days": days[max(0, passed - 1)], "last": last, "owner": owner, "state": held.state.value}
    posts = [
        Outgoing(kind="post", to=one, template="postmortem_due", context=context, priority=Priority.REST) for one in to
    ]
    return replace(held, reminders=looked + 1, remind_at=following), posts


CARD = Outgoing(kind="postmortem", to=HOME)
