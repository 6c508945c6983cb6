"""Who is in the groups that approve: looked up in the sandbox's Slack, kept for five minutes, never guessed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain.policy import ApprovalRule, Mitigations, Policy
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack.faults import Fault, rate_limited, refused, server_error
from bot.serve import wired
from bot.slack.approvers import Approvers
from bot.worlds import prober
from tests.databases import copy_of, store_at
from tests.fakes import FakeClock

ADA, EVE, ROBIN = "U0APPROVER", "U0GUEST", "U0REQUESTER"
ON_CALL, ADMINS = "S0ONCALL", "S0ADMINS"
RULES = (
    ApprovalRule(remedies=frozenset({"rotate_key"}), groups=frozenset({ADMINS})),
    ApprovalRule(users=frozenset({EVE}), groups=frozenset({ON_CALL})),
)


@dataclass
class Office:
    sandbox: Sandbox
    clock: FakeClock
    approvers: Approvers

    async def groups_of(self, user: str) -> tuple[set[str], set[str]]:
        """(those that the user is in, those that could not be looked up)."""
        held, unknown = await self.approvers.groups_of(user)
        return set(held), set(unknown)

    def looked_up(self) -> list[str]:
        calls = self.sandbox.slack.workspace.calls
        return sorted(str(one.arguments["usergroup"]) for one in calls if one.method == "usergroups.users.list")


@pytest.fixture
def rules() -> tuple[ApprovalRule, ...]:
    return RULES


@pytest.fixture
async def office(
    tmp_path: Path, request: pytest.FixtureRequest, rules: tuple[ApprovalRule, ...]
) -> AsyncIterator[Office]:
    sandbox = Sandbox(load_scenarios()["all is well"])
    await sandbox.start()
    sandbox.slack.workspace.usergroups[ADMINS] = "admins"
    sandbox.slack.workspace.usergroup_members[ADMINS] = [EVE]
    policy = Policy(mitigations=Mitigations(approvers=rules))
    settings, clock = replace(load(sandbox.environment()), policy=policy), FakeClock()
    store = store_at(copy_of("SQLite", tmp_path, request))
    async with prober(settings) as asks:
        bot = wired(settings, asks, store)
        held = bot.slack.listeners.mitigations.approvers
        impatient = replace(held.messenger, patience_s=0.0)
        yield Office(sandbox, clock, replace(held, messenger=impatient, monotonic=clock.monotonic))
        await bot.tasks.drain(20)
    await store.close()
    await sandbox.close()


async def test_every_group_that_a_rule_names_is_looked_up_once_in_five_minutes(office: Office) -> None:
    assert await office.groups_of(ADA) == ({ON_CALL}, set())
    assert await office.groups_of(EVE) == ({ADMINS}, set())
    assert office.looked_up() == [ADMINS, ON_CALL]
    office.sandbox.slack.workspace.usergroup_members[ON_CALL] = [ROBIN]
    office.clock.advance(299)
    assert await office.groups_of(ADA) == ({ON_CALL}, set())
    office.clock.advance(1)
    assert await office.groups_of(ADA) == (set(), set())
    assert await office.groups_of(ROBIN) == ({ON_CALL}, set())
    assert office.looked_up() == [ADMINS, ADMINS, ON_CALL, ON_CALL]


@pytest.mark.parametrize(
    "fault", [server_error(), rate_limited(60), refused("no_such_subteam")], ids=["500", "429", "refused"]
)
async def test_a_group_that_cannot_be_looked_up_is_said_to_be_unknown_and_asked_for_again(
    office: Office, fault: Fault
) -> None:
    office.sandbox.slack.faults.add("usergroups.users.list", fault, fault)
    assert await office.groups_of(ADA) == (set(), {ADMINS, ON_CALL})
    assert await office.groups_of(ADA) == ({ON_CALL}, set())


async def test_who_was_in_a_group_long_ago_is_not_taken_to_be_in_it_while_slack_is_away(office: Office) -> None:
    assert await office.groups_of(ADA) == ({ON_CALL}, set())
    office.clock.advance(301)
    office.sandbox.slack.faults.add("usergroups.users.list", server_error(), server_error())
    assert await office.groups_of(ADA) == (set(), {ADMINS, ON_CALL})


@pytest.mark.parametrize("rules", [(ApprovalRule(users=frozenset({ADA})),)], ids=["users alone"])
async def test_where_rules_name_no_group_slack_is_not_asked(office: Office) -> None:
    assert await office.groups_of(ADA) == (set(), set())
    assert office.looked_up() == []
