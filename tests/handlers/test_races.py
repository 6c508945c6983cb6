"""Three replicas on one database and one cluster, and what people and the network do at once: one change is made."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.domain.incident import Refusal
from bot.domain.policy import ApprovalRule, Mitigations
from bot.domain.runs import IN_FLIGHT, REVERT, WORKED_ON, Outcome, Run, State
from bot.domain.timeline import Entry, Kind, fault
from bot.handlers import applying, driving
from bot.handlers.moved import RUN
from bot.sandbox.kubernetes import TOKEN
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import copy_of
from tests.kube_proxy import Cut, KubeProxy, variables
from tests.mitigated import ADA, QUICK, ROBIN, World, world_in

CLICKS, REPLICAS = 1000, 3
PEOPLE = tuple(f"U{number:07}" for number in range(50))
WELL, BROKEN = "all is well", "a release that does not start"
# What several people want of the same deployment at the same time, and what is then in place.
WISHES = {
    "fallback": ("MISTRAL_FALLBACK", "true"),
    "rate_limit_queue": ("RATE_LIMIT_MODE", "queue"),
    "limit_concurrency": ("MAX_CONCURRENT_REQUESTS", "7"),
}
ARGUMENTS = {"limit_concurrency": {"value": "7"}}
MOST_ROUNDS = 12


def approved_by(approvals: int, *users: str) -> Mitigations:
    rule = ApprovalRule(users=frozenset({ROBIN, ADA, *users}), approvals=approvals)
    return replace(QUICK, approvers=(rule,), per_hour=1000)


@dataclass(kw_only=True)
class Replicas:
    """Bots that share a database and a cluster; nothing of them runs by itself."""

    worlds: list[World]
    sandbox: Sandbox
    proxy: KubeProxy

    @property
    def first(self) -> World:
        return self.worlds[0]

    async def settled(self) -> None:
        """Each drives what it can get, until there is nothing to do for any but people."""
        async with asyncio.timeout(60):
            while any(run.state in WORKED_ON for run in await self.first.runs()):
                await asyncio.gather(*(world.bot.driver.claim() for world in self.worlds))
                await asyncio.gather(*(world.bot.driver.idle() for world in self.worlds))
                await asyncio.sleep(0.01)

    async def told(self) -> Counter[str]:
        """How often each text stands in the timeline, whose chain is whole."""
        return Counter(entry.event.text for entry in await self.entries())

    async def entries(self) -> list[Entry]:
        incident = await self.first.bot.incidents.one(self.first.incident)
        entries = await self.first.bot.store.timeline(incident.id)
        assert fault(entries, count=incident.entries, last_hash=incident.last_hash) is None
        return [entry for entry in entries if entry.event.kind is Kind.MITIGATION]


ReplicasOf = Callable[..., Awaitable[Replicas]]


@pytest.fixture
async def replicas_of(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ReplicasOf]:
    # whoever waits for another run looks again after a second: here that takes time alone
    monkeypatch.setattr(driving, "_NOT_YET_S", 0.02)
    async with AsyncExitStack() as stack:

        async def made(policy: Mitigations = QUICK, *, scenario: str = WELL, count: int = REPLICAS) -> Replicas:
            sandbox = Sandbox(load_scenarios()[scenario])
            sandbox.world.rollout_s = 0.05
            await sandbox.start()
            stack.push_async_callback(sandbox.close)
            proxy = await KubeProxy.started(sandbox)
            stack.push_async_callback(proxy.close)
            environ = {**sandbox.environment(), "KUBECONFIG": proxy.kubeconfig(tmp_path)}
            url = copy_of("PostgreSQL", tmp_path, request)
            worlds = [await stack.enter_async_context(world_in(environ, url, policy)) for _ in range(count)]
            return Replicas(worlds=worlds, sandbox=sandbox, proxy=proxy)

        yield made


async def ended(click: Coroutine[Any, Any, Run]) -> str:
    """What somebody was told who clicked: done, or the first words of the sentence that says no."""
    try:
        return (await click).state and "done"
    except Refusal as no:
        return str(no).split(":")[0].split(";")[0]


@pytest.mark.parametrize("approvals", [1, 2])
async def test_of_a_thousand_clicks_as_many_approve_as_are_needed_and_one_patch_is_sent(
    replicas_of: ReplicasOf, approvals: int
) -> None:
    replicas = await replicas_of(approved_by(approvals, *PEOPLE))
    run = await replicas.first.ask("rate_limit_queue")
    clicks = [
        replicas.worlds[number % REPLICAS].bot.mitigations.approve(
            # every other click is one person's
            run.id,
            ADA if number % 2 else PEOPLE[number // 2 % len(PEOPLE)],
            frozenset(),
            f"click:{number}",
        )
        for number in range(CLICKS)
    ]
    told, _ = await asyncio.gather(asyncio.gather(*map(ended, clicks)), replicas.settled())
    await replicas.settled()
    assert told.count("done") == approvals
    assert set(told) <= {"done", "Too late", "You have approved it already"}
    after = await replicas.first.bot.mitigations.one(run.id)
    assert (after.state, after.outcome) == (State.ENDED, Outcome.FIXED), after.said
    assert len({approval.user for approval in after.approvals}) == approvals
    assert (await replicas.told())["rate_limit_queue approved"] == approvals
    assert await replicas.first.changes() == len(replicas.proxy.made) == 1
    assert not replicas.proxy.refused


async def test_whatever_wins_of_approving_rejecting_and_breaking_the_glass_the_cluster_fits_it(
    replicas_of: ReplicasOf,
) -> None:
    replicas, seeded, won = await replicas_of(approved_by(2, *PEOPLE)), random.Random(4), Counter[State]()  # noqa: S311
    for turn in range(MOST_ROUNDS):
        run = await replicas.first.ask("limit_concurrency", value=str(turn + 1))
        before, made = await replicas.first.changes(), len(replicas.proxy.made)
        hows = [at % 3 for at in range(300)]
        seeded.shuffle(hows)
        if turn % 2:
            # who approves reads more before they write: alone and last, a rejection does not always come first
            hows = [*(how for how in hows if how != 1), 1]
        clicks = [mixed(replicas.worlds[at % REPLICAS], run, at, f"{turn}:{at}", how) for at, how in enumerate(hows)]
        await asyncio.gather(asyncio.gather(*map(ended, clicks)), replicas.settled())
        await replicas.settled()
        after = await replicas.first.bot.mitigations.one(run.id)
        told = Counter(
            entry.event.text.split(":")[0].split(",")[0]
            for entry in await replicas.entries()
            if entry.event.data["run"] == run.id
        )
        won[after.state] += 1
        applied = 1 if after.state is State.ENDED else 0
        assert after.state in (State.ENDED, State.REJECTED)
        assert await replicas.first.changes() - before == len(replicas.proxy.made) - made == applied
        assert told["limit_concurrency begins"] == told["limit_concurrency applied"] == applied
        assert told["limit_concurrency rejected"] == 1 - applied
        assert told["limit_concurrency approved"] == len(after.approvals)
        if len(won) == 2:
            return
    pytest.fail(f"always the same won: {won}")


def mixed(world: World, run: Run, number: int, request: str, how: int) -> Coroutine[Any, Any, Run]:
    """One of three clicks, by one of several people."""
    handler, user = world.bot.mitigations, PEOPLE[number % len(PEOPLE)]
    if how == 0:
        return handler.approve(run.id, user, frozenset(), request)
    if how == 1:
        return handler.reject(run.id, user, "it will not help", request)
    return handler.approve(run.id, user, frozenset(), request, glass="nobody else is awake now")


async def test_runs_on_one_deployment_are_never_in_flight_together(replicas_of: ReplicasOf) -> None:
    replicas = await replicas_of(approved_by(1))
    flying: list[set[str]] = []

    async def looked(patch: dict[str, Any]) -> None:
        runs = await replicas.first.runs()
        flying.append({run.id for run in runs if run.state in IN_FLIGHT} - {patch["metadata"]["annotations"][RUN]})

    replicas.proxy.hooked(looked, before=True)
    wishes = [remedy for remedy in WISHES for _ in range(2)]
    handlers = [world.bot.mitigations for world in replicas.worlds]
    await asyncio.gather(
        *(
            world.ask(remedy, **ARGUMENTS.get(remedy, {}))
            for world, remedy in zip(replicas.worlds * 2, wishes, strict=True)
        )
    )
    async with asyncio.timeout(90):
        # each is proposed again as often as another has changed the deployment before it
        while proposed := [run for run in await replicas.first.runs() if run.state is State.PROPOSED]:
            await asyncio.gather(
                *(
                    handlers[at % REPLICAS].approve(run.id, ADA, frozenset(), f"click:{run.id}")
                    for at, run in enumerate(proposed)
                )
            )
            await replicas.settled()
    runs = await replicas.first.runs()
    outcomes = Counter((run.remedy, run.outcome) for run in runs if run.state is State.ENDED)
    assert outcomes == {(remedy, Outcome.FIXED): 1 for remedy in WISHES}, "the second of each finds it so already"
    assert flying == [set()] * len(WISHES)
    assert await replicas.first.changes() == len(replicas.proxy.made) == len(WISHES)
    held = variables(await replicas.proxy.deployment())
    assert {remedy: (name, held[name]) for remedy, (name, _) in WISHES.items()} == WISHES
    assert most_at_once(await replicas.entries()) == 1
    assert any(run.state is State.SUPERSEDED for run in runs), "some had to be proposed again"


def most_at_once(entries: list[Entry]) -> int:
    """How many runs were in flight at once at most, by the timeline."""
    flying, most = set[str](), 0
    for entry in entries:
        run, state = entry.event.data["run"], entry.event.data["state"]
        flying = flying | {run} if state in IN_FLIGHT else flying - {run}
        most = max(most, len(flying))
    return most


@pytest.mark.parametrize("before", [True, False], ids=["the patch", "its answer"])
async def test_a_patch_that_is_lost_or_whose_answer_is_lost_is_made_once(replicas_of: ReplicasOf, before: bool) -> None:
    replicas = await replicas_of(count=1)
    lost: list[dict[str, Any]] = []

    async def cut(patch: dict[str, Any]) -> None:
        if not lost:
            lost.append(patch)
            raise Cut

    replicas.proxy.hooked(cut, before=before)
    run = await replicas.first.done("rate_limit_queue")
    assert (run.state, run.outcome) == (State.ENDED, Outcome.FIXED), run.said
    assert len(lost) == len(replicas.proxy.made) == await replicas.first.changes() == 1
    # the network may still deliver what it was given
    assert await sent_again(replicas, lost[0]) == 409
    assert await replicas.first.changes() == 1


async def sent_again(replicas: Replicas, patch: dict[str, Any]) -> int:
    """The status with which the API answers to the same patch."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/merge-patch+json"}
    url = f"{replicas.sandbox.urls['kubernetes']}/apis/apps/v1/namespaces/default/deployments/mistral-service"
    async with aiohttp.ClientSession() as session, session.patch(url, json=patch, headers=headers) as answer:
        return answer.status


async def test_a_cluster_that_stays_away_after_a_patch_is_asked_for_a_minute_and_then_people_are_told(
    replicas_of: ReplicasOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_UNSURE", -QUICK.start_within)
    replicas = await replicas_of(count=1)

    async def cut(_: dict[str, Any]) -> None:
        raise Cut

    replicas.proxy.hooked(cut, before=True)
    run = await replicas.first.done("rate_limit_queue")
    assert (run.state, run.outcome) == (State.ENDED, Outcome.INTERRUPTED)
    assert "Nobody knows whether the change was made" in run.said
    assert await replicas.first.changes() == 0


async def test_a_deployment_whose_status_changes_all_the_time_is_changed_once(replicas_of: ReplicasOf) -> None:
    replicas = await replicas_of(scenario=BROKEN)
    moved = Counter[str]()

    async def restarts(patch: dict[str, Any]) -> None:
        """As a pod that ends again does: the object is another version each time a patch comes."""
        run = patch["metadata"]["annotations"][RUN]
        moved[run] += 1
        if moved[run] <= 25:
            await replicas.proxy.by_hand({"metadata": {"annotations": {"restarts": str(moved.total())}}})

    replicas.proxy.hooked(restarts, before=True)
    run = await replicas.first.ask("fallback")
    await replicas.first.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    await replicas.settled()
    ended_run, back = await replicas.first.runs()
    assert (ended_run.outcome, back.remedy) == (Outcome.FAILED, REVERT)
    assert [patch["metadata"]["annotations"][RUN] for patch in replicas.proxy.made] == [run.id, back.id]
    assert (len(replicas.proxy.refused), await replicas.first.changes()) == (50, 2)


async def test_a_replica_that_is_told_to_end_as_it_sends_leaves_the_run_to_another(replicas_of: ReplicasOf) -> None:
    """Its patch arrives when the other one has made the change."""
    replicas = await replicas_of(count=2)
    first, second = replicas.worlds
    run = await first.ask("rate_limit_queue")
    arrived, let_go = asyncio.Event(), asyncio.Event()

    async def hold(_: dict[str, Any]) -> None:
        if not arrived.is_set():
            arrived.set()
            await let_go.wait()

    replicas.proxy.hooked(hold, before=True)
    working = asyncio.create_task(first.bot.driver.work())
    await first.bot.mitigations.approve(run.id, ADA, frozenset(), "click:1")
    async with asyncio.timeout(20):
        await arrived.wait()
        first.bot.driver.end()
        await working
        after = await second.settled(run)
        assert (after.state, after.outcome) == (State.ENDED, Outcome.FIXED), after.said
        let_go.set()
        while not replicas.proxy.refused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(replicas.proxy.made) == await first.changes() == 1
    assert (await replicas.told())["rate_limit_queue applied"] == 1
