"""The rollout probe: when the newest was, and what it changed, in one line."""

import pytest

from bot.domain.signals import Rollout, Verdict
from bot.probes.rollout import PROBE
from tests.fakes import FakeCluster, probe_run
from tests.objects import Object, container, deployment, replica_set, variable


async def checked(*sets: Object) -> tuple[str, Rollout]:
    cluster = FakeCluster(objects={"Deployment": [deployment()], "ReplicaSet": sets})
    finding = await PROBE.check(probe_run(cluster=cluster))
    assert finding.verdict is Verdict.OK, "a rollout alone is nothing bad"
    assert isinstance(finding.signal, Rollout)
    return finding.summary, finding.signal


@pytest.mark.parametrize(
    ("minutes", "age"),
    [(0, "0 min"), (8, "8 min"), (119, "119 min"), (121, "2 h"), (2870, "48 h"), (2890, "2 days")],
    ids=str,
)
async def test_the_age_is_told_as_people_do(minutes: float, age: str) -> None:
    assert (await checked(replica_set("5", replicas=3, minutes=minutes)))[0] == f"revision 5, {age} ago"


async def test_the_first_three_changes_are_told_and_the_others_counted() -> None:
    old, new = (container("app", *(variable(f"V{n}", value) for n in range(5)), image=value) for value in ("a", "b"))
    summary, rollout = await checked(replica_set("1", old), replica_set("2", new, replicas=3))
    assert summary == "revision 2, 60 min ago: V0: a → b; V1: a → b; V2: a → b and 3 more changes"
    assert len(rollout.changes) == 6


async def test_a_secret_that_was_replaced_is_told_without_it() -> None:
    old, new = (container("app", variable("MISTRAL_API_KEY", f"planted-{n}")) for n in "12")
    summary, rollout = await checked(replica_set("1", old), replica_set("2", new, replicas=3))
    assert summary.endswith("MISTRAL_API_KEY: changed (***)")
    assert "planted" not in repr(rollout)


async def test_without_a_second_revision_there_is_none() -> None:
    assert await checked(replica_set("1", replicas=3)) == ("no rollout since the first", Rollout())


async def test_a_rollout_without_a_time_is_told_as_such() -> None:
    held = replica_set("2", replicas=3)
    held["metadata"]["creationTimestamp"] = None
    summary, rollout = await checked(held)
    assert (summary, rollout.created) == ("revision 2, at an unknown time", None)
