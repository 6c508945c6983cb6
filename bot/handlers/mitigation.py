"""What people do to mitigations: ask, approve, reject, revert, keep, freeze; ``driving`` carries them out.

Each act is one read, one decision of the domain, and one write that only the first of two that meet can make.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain import acts, approvals, mitigation
from bot.domain.causes import Severity
from bot.domain.changes import Change, inverse
from bot.domain.incident import HOME, Incident, Outgoing, Refusal, plain
from bot.domain.policy import Policy
from bot.domain.redaction import mask, redact
from bot.domain.remedies import KEY_BY_FORM, RemedyName
from bot.domain.runs import REVERT, Approval, Plan, Run, RunChange, State
from bot.domain.workload import KeyReference
from bot.errors import AlreadyDone, Conflict
from bot.handlers.probing import Prober
from bot.handlers.rotation import Rotation
from bot.ports import Clock, Frozen, Remedy, Store
from bot.settings import Target

_ATTEMPTS = 8
_LONGEST_REASON = 1000
_READ = 100
_OURS = uuid.UUID("5a4b1c1e-5f0e-4c43-9c0a-6f2d5f7d9a11")

Step = Callable[[Run, datetime], RunChange]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody has filled in. ``never``: why the diagnosis says not to, where they have confirmed to know."""

    incident: int
    target: str
    remedy: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    severity: Severity
    user: str
    reason: str
    never: str = ""


@dataclass(frozen=True, kw_only=True)
class MitigationHandler:
    """Raises Refusal and StoreError, both sentences. ``wake`` sends what waits; ``drive`` goes on with runs."""

    store: Store
    clock: Clock
    policy: Policy
    remedies: Mapping[str, Remedy]
    targets: Mapping[str, Target]
    prober: Prober
    rotation: Rotation
    wake: Callable[[], None] = lambda: None
    drive: Callable[[], None] = lambda: None

    async def ask(self, asked: Asked, request: str) -> Run:
        """A run whose preview is made next; the one that the same ``request`` has made before."""
        reason = self._text(asked.reason)
        if not reason:
            raise Refusal("Say why.")
        await self.may_ask(asked.remedy, asked.target)
        remedy, arguments = self.remedies[asked.remedy], self.checked(asked.remedy, asked.arguments)
        run = Run(
            id=_id(request),
            incident=asked.incident,
            target=asked.target,
            remedy=asked.remedy,
            arguments=arguments,
            severity=asked.severity,
            requested_by=asked.user,
            reason=reason,
            requested_at=self.clock.now(),
            never=asked.never,
            temporary=remedy.temporary_with(arguments),
        )
        return await self._added(run, request)

    def checked(self, remedy: str, arguments: Mapping[str, str]) -> Mapping[str, str]:
        """What somebody has filled in, as it may be stored; raises Refusal, which quotes nothing of it.

        A key's Secret that is left out means that the key will be entered, where policy allows that.
        """
        held = {name: value for name, value in arguments.items() if value.strip()}
        if remedy == RemedyName.ROTATE_KEY and not held and self.policy.mitigations.key_by_form:
            held = {"secret": KEY_BY_FORM}
        elif held.get("secret") == KEY_BY_FORM and not self.policy.mitigations.key_by_form:
            raise Refusal("Keys are not entered in Slack here; name a Secret that holds the new one.")
        return self.remedies[remedy].checked(held)

    async def may_ask(self, remedy: str, target: str) -> None:
        """Raises Refusal where asking would, whatever else is filled in: before anything is done for it."""
        if remedy not in self.remedies:
            raise Refusal(f"There is no remedy called {remedy}; there are {', '.join(self.remedies)}.")
        if target not in self.targets:
            raise Refusal(f"There is no target “{target}”; there are {', '.join(self.targets)}.")
        if not self.targets[target].kubernetes.configured:
            raise Refusal("No cluster is configured for that target; set KUBECONFIG, or run in the cluster.")
        await self._thawed()

    async def approve(
        self, identity: str, user: str, groups: AbstractSet[str], request: str, *, glass: str | None = None
    ) -> Run:
        """``groups``: the user groups that ``user`` is in. ``glass``: why it cannot wait for others."""
        reason = "" if glass is None else approvals.glass_reason(self._text(glass))
        limits = self.policy.mitigations
        incident = await self._incident((await self.one(identity)).incident)

        def step(run: Run, now: datetime) -> RunChange:
            if not incident.open and run.remedy != REVERT:
                raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")
            # as severe as it has become since somebody asked
            rule = approvals.check(replace(run, severity=incident.severity), user, groups, limits, glass=bool(reason))
            given = Approval(user=user, at=now, reason=reason)
            return mitigation.approved(run, given, enough=approvals.enough(run, rule, given), policy=limits)

        return await self._act(identity, step, request)

    async def enter_key(self, identity: str, user: str, key: str) -> Run:
        """The new key of a rotation that has been approved; it is checked, and kept in memory until it is written."""
        run = await self.one(identity)
        self.may_enter_key(run, user)
        await self.rotation.enter(run, self.prober.run_of(run.target, "mitigation"), key)
        self.drive()
        return run

    def may_enter_key(self, run: Run, user: str) -> None:
        """Raises Refusal where ``user`` may not, or not now."""
        if not self.policy.mitigations.key_by_form or not run.key_by_form:
            raise Refusal("No key is to be entered for that.")
        if run.state is not State.APPROVED:
            raise Refusal(f"Not now: it is {run.state}.")
        if user != run.requested_by and user not in {approval.user for approval in run.approvals}:
            raise Refusal("Whoever asked for it, or approved it, enters the key.")

    async def reject(self, identity: str, user: str, reason: str, request: str) -> Run:
        return await self._act(
            identity, lambda run, now: mitigation.rejected(run, user, self._text(reason), now), request
        )

    async def keep(self, identity: str, user: str, reason: str, request: str) -> Run:
        """Leaves what is temporary in place, for a reason."""
        limits = self.policy.mitigations
        return await self._act(
            identity, lambda run, now: mitigation.keep(run, user, self._text(reason), now, limits), request
        )

    async def revert(self, identity: str, user: str, reason: str, request: str) -> Run:
        """A run that takes another one back, with a preview and approvals of its own."""
        await self._thawed()
        before = await self.one(identity)
        why = self._text(reason)
        if not why:
            raise Refusal("Say why.")
        return await self._added(mitigation.revert_of(before, _id(request), user, why, self.clock.now()), request)

    async def freeze(self, user: str, reason: str) -> bool:
        """Lets no mitigation begin; False: it was so already."""
        why = self._text(reason)
        if not why:
            raise Refusal("Say why: `/mistral freeze a deploy is going on`.")
        switch = Frozen(by=user, at=self.clock.now(), reason=why)
        turned = await self.store.freeze(switch)
        if turned:
            await self._announce(user, f"mitigations frozen: {why}", {"by": user, "reason": why, "on": True})
        return turned

    async def unfreeze(self, user: str) -> bool:
        turned = await self.store.freeze(None)
        if turned:
            await self._announce(user, "mitigations may begin again", {"by": user, "reason": "", "on": False})
        return turned

    async def one(self, identity: str) -> Run:
        """The run; raises Refusal where there is none."""
        found = await self.store.run(identity)
        if found is None:
            raise Refusal("That mitigation is not known any more.")
        return found

    async def commands(self, target: str, remedy: str, run: Run | None = None) -> tuple[str, ...]:
        """The same by kubectl, ready to paste: of a run's own plan, else as usual.

        Where a revert's target is not configured any more, the plan that it takes back knows where that was.
        """
        if run is not None and run.plan is not None:
            return run.plan.commands
        changes: Sequence[Change] = ()
        plan: Plan | None = None
        asked: Mapping[str, str] = {} if run is None or run.remedy == REVERT else run.arguments
        if run is not None and run.remedy == REVERT:
            undone = await self.one(run.arguments["of"])
            remedy, plan = undone.remedy, undone.plan
            changes = inverse(() if plan is None else plan.changes)
        held = self.remedies.get(remedy)
        if held is not None and target not in self.targets and plan is not None:
            return tuple(held.commands(plan.namespace, plan.deployment, changes))
        if held is None or target not in self.targets:
            raise Refusal("That remedy or its target is not configured any more, so its commands are not known.")
        kubernetes = self.targets[target].kubernetes
        key = KeyReference(kubernetes.secret, kubernetes.secret_key)
        return tuple(held.commands(kubernetes.namespace, kubernetes.deployment, changes, usual=key, asked=asked))

    async def tick(self) -> int:
        """Looks at all clocks that have run out; how many there were."""
        now, limits = self.clock.now(), self.policy.mitigations
        found = await self.store.tick_runs(now, lambda run: mitigation.tick(run, now, limits), limit=_READ)
        if found:
            self.wake()
        return found

    async def _incident(self, number: int) -> Incident:
        found = await self.store.incident(number)
        if found is None:
            raise Refusal(f"There is no incident INC-{number}.")
        return found

    async def _added(self, run: Run, request: str) -> Run:
        incident = await self._incident(run.incident)
        if run.remedy != REVERT and not incident.open:
            raise Refusal(f"{incident.name} is resolved; `/mistral reopen {incident.id}` opens it again.")
        try:
            added = await self.store.add_run(mitigation.asked(run), now=run.requested_at, request=request)
        except AlreadyDone:
            added = await self.one(run.id)
        self.wake()
        self.drive()
        return added

    async def _act(self, identity: str, step: Step, request: str) -> Run:
        for _ in range(_ATTEMPTS):
            before = await self.one(identity)
            now = self.clock.now()
            try:
                after = await self.store.move_run(before, step(before, now), now=now, request=request)
            except AlreadyDone:
                return before
            except Refusal:
                # what was done before is not refused because of what came after it
                if await self.store.made_by(request) is None:
                    raise
                return before
            except Conflict:
                continue
            self.wake()
            if after.state is State.APPROVED:
                self.drive()
            return after
        raise Conflict("That mitigation is being changed by others at the same time; try again.")

    def _text(self, said: str) -> str:
        """What somebody has typed, without a key or the like that was pasted into it: everybody will read it."""
        keys = [held.reveal() for one in self.targets.values() if (held := one.mistral.api_key) is not None]
        # masked before it is cut: half a secret is not recognised as one
        return redact(mask(plain(said), keys))[:_LONGEST_REASON]

    async def _thawed(self) -> None:
        frozen = await self.store.frozen()
        if frozen is not None:
            raise Refusal(f"Mitigations are frozen by <@{frozen.by}>: {frozen.reason}. `/mistral unfreeze` ends that.")

    async def _announce(self, user: str, text: str, context: Mapping[str, object]) -> None:
        """In every open incident's timeline and channel."""
        for incident in await self.store.listed(open_only=True, limit=_READ):
            await self._noted(incident, user, text, Outgoing(kind="post", to=HOME, template="frozen", context=context))
        self.wake()

    async def _noted(self, incident: Incident, user: str, text: str, message: Outgoing) -> None:
        for _ in range(_ATTEMPTS):
            now = self.clock.now()
            noted = acts.note(incident, text, user, now)
            try:
                await self.store.save(incident, acts.saying(noted, message), now=now)
            except Conflict:
                found = await self.store.incident(incident.id)
                if found is None:
                    return
                incident = found
            else:
                return


def _id(request: str) -> str:
    """The same request, delivered twice, asks for the same run."""
    return uuid.uuid5(_OURS, request).hex
