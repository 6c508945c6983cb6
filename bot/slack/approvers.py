"""Approvals by people in Slack: which user groups somebody is in is looked up where a rule names groups."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.domain.approvals import rule_for
from bot.domain.incident import Refusal
from bot.domain.runs import Run, State
from bot.errors import MessageError
from bot.handlers.mitigation import MitigationHandler
from bot.slack.messenger import SlackMessenger

logger = logging.getLogger(__name__)

# Whoever joins or leaves a group is known to be in it, or not, after so long.
_KNOWN_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Approvers:
    """Who cannot be looked up is in no group."""

    handler: MitigationHandler
    messenger: SlackMessenger
    monotonic: Callable[[], float] = time.monotonic
    _members: dict[str, tuple[frozenset[str], float]] = field(default_factory=dict)
    """By group: who is in it, and when that was asked."""

    async def approve(self, run: str, user: str, request: str, *, glass: str | None = None) -> Run:
        """Raises Refusal, which also says so where ``user`` might be in a group that could not be looked up."""
        groups, unknown = await self.groups_of(user)
        try:
            return await self.handler.approve(run, user, groups, request, glass=glass)
        except Refusal as refusal:
            if unknown and await self._hangs_on(run, user, unknown):
                raise Refusal(f"{refusal} Slack could not be asked who is in the group; try again soon.") from refusal
            raise

    async def may(self, run: Run, user: str) -> bool:
        """Whether a rule names ``user``, or a group of theirs, as somebody who approves ``run``."""
        rule = rule_for(run, self.handler.policy.mitigations)
        if rule is None:
            return False
        groups, _ = await self.groups_of(user)
        return user in rule.users or bool(groups & rule.groups)

    async def groups_of(self, user: str) -> tuple[frozenset[str], frozenset[str]]:
        """(the groups that ``user`` is in, those that could not be looked up), of those that any rule names."""
        named = sorted({group for rule in self.handler.policy.mitigations.approvers for group in rule.groups})
        found = dict(zip(named, await asyncio.gather(*map(self._of, named)), strict=True))
        held = frozenset(group for group, members in found.items() if members is not None and user in members)
        return held, frozenset(group for group, members in found.items() if members is None)

    async def _of(self, group: str) -> frozenset[str] | None:
        known = self._members.get(group)
        if known is not None and self.monotonic() - known[1] < _KNOWN_S:
            return known[0]
        try:
            members = await self.messenger.group_members(group)
        except MessageError as error:
            logger.warning("who is in the user group %s could not be looked up: %s", group, error)
            return None
        self._members[group] = (members, self.monotonic())
        return members

    async def _hangs_on(self, identity: str, user: str, groups: frozenset[str]) -> bool:
        """Whether being in one of ``groups`` would have let ``user``."""
        run = await self.handler.one(identity)
        rule = rule_for(run, self.handler.policy.mitigations)
        return (
            run.state is State.PROPOSED and rule is not None and user not in rule.users and bool(groups & rule.groups)
        )
