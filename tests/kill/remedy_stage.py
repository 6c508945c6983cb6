"""Where the mitigations' story is played: Slack, the cluster and the database, and what must be true after each act."""

import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.domain.runs import Outcome, State
from bot.domain.timeline import Kind, fault
from bot.handlers.moved import RUN
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, load_scenarios
from bot.store.sql import SqlStore
from tests.databases import store_at
from tests.kill.remedy import ACTS, CHANNEL, play
from tests.kill.stage import Killed, Player, emptied
from tests.kill.story import At, Told
from tests.kube_proxy import Cut, KubeProxy, variables

# The service runs this image; pods of it do not start where the variable has that value.
_FATAL = {"image": "registry.example.com/mistral-service:1.4.0", "MAX_CONCURRENT_REQUESTS": "1"}
_CLUSTER = ClusterSpec(desired=2, ready=2, revision=4, waiting="CrashLoopBackOff")
SCENARIO = replace(load_scenarios()["all is well"], prometheus=None, provider_status=None, cluster=_CLUSTER)
_OVER = re.compile(r"(?:(revert) of )?`(\w+)` of \*INC-\d+\*: \*([^*]+)\*")
_HOW = re.compile(r"(?:`(\w+)`) for \*INC-\d+\*: \*([^*]+)\*")


@dataclass
class RemedyStage:
    """``environ``: what the bot is given; ``store``: the same database, looked at from outside."""

    sandbox: Sandbox
    proxy: KubeProxy
    environ: dict[str, str]
    store: SqlStore
    playing: Player = field(init=False)
    players: list[Player] = field(default_factory=list)

    @classmethod
    async def made(cls, sandbox: Sandbox, url: str, folder: Path) -> "RemedyStage":
        proxy = await KubeProxy.started(sandbox)
        config = proxy.kubeconfig(folder)
        environ = {**sandbox.environment(), "DATABASE_URL": url, "KUBECONFIG": config}
        return cls(sandbox, proxy, environ, store_at(url))

    async def close(self) -> None:
        for player in self.players:
            await player.kill()
        await self.proxy.close()
        await self.store.close()

    async def clear(self) -> None:
        """Everything as before the story, and nobody plays."""
        for player in self.players:
            await player.kill()
        self.players.clear()
        await emptied(self.store, self.sandbox.slack.workspace)
        self.sandbox.world.rollout_s = 0.02
        self.sandbox.world.scenario = replace(SCENARIO)
        await self.proxy.deployment()  # the cluster is made anew when it is next looked at; from then on it keeps
        object.__setattr__(self.sandbox.world.scenario, "cluster", replace(_CLUSTER, ready=0, changes=_FATAL))
        self.proxy.made.clear()

    def player(self, *, alone: bool = True, without: str = "") -> Player:
        self.players.append(Player(self.environ, alone=alone, without=without, entry=play))
        return self.players[-1]

    def kills_once(self, *, before: bool) -> Callable[[dict[str, Any]], Awaitable[None]]:
        """A hook of the proxy's: whoever sends a run's first patch is killed, just before or after it is made."""
        known = set[str]()

        async def kill(patch: dict[str, Any]) -> None:
            run = patch["metadata"]["annotations"][RUN]
            if run not in known:
                known.add(run)
                self.playing.signal(signal.SIGKILL)
                if before:
                    raise Cut

        return kill

    async def played(
        self, die_at: Callable[[int], int | At | None] = lambda _: None, *, without: str = ""
    ) -> list[Told | None]:
        """As :meth:`tests.kill.stage.Stage.played`; may be killed more than once in an act."""
        await self.clear()
        told, number = list[Told | None](), 0
        self.playing = self.player(without=without)
        for index in range(len(ACTS)):
            point = die_at(index)
            told.append(await self.act(index, number, point, without=without))
            number = number or await self.number()
            wrong = await self.wrong(index, number)
            assert not wrong, f"{wrong} after act {index}, killed at {point}"
        return told

    async def act(self, index: int, number: int, point: int | At | None = None, *, without: str = "") -> Told | None:
        """Another process follows whoever is killed, and is told the same; None: somebody was killed."""
        try:
            return await self.playing.act(index, number, point)
        except Killed:
            self.playing = self.player(without=without)
            await self.act(index, number, without=without)
            return None

    async def begun(self, count: int) -> int:
        """The first ``count`` acts of a new story; the incident's number."""
        await self.clear()
        self.playing, number = self.player(), 0
        for index in range(count):
            await self.act(index, number)
            number = number or await self.number()
        return number

    async def number(self) -> int:
        """The incident's."""
        return (await self.store.listed(open_only=False, limit=1))[0].id

    async def wrong(self, index: int, number: int) -> dict[str, Any]:
        """What is not as it must be after the act with that index: ``{what: (as it is, as it must be)}``."""
        acts, act = ACTS[: index + 1], ACTS[index]
        incident, entries = await self.store.incident(number), await self.store.timeline(number)
        assert incident is not None
        runs, deployment = await self.store.runs(number), await self.proxy.deployment()
        changed = [run.id for run in runs if run.applied_at is not None]
        annotation = deployment["metadata"].get("annotations", {}).get(RUN)
        notes = [entry.event.text for entry in entries if entry.event.kind is Kind.MITIGATION]
        meant = [note for one in acts for note in one.notes]
        said = [one for one in self.sandbox.slack.workspace.messages if one.only_for is None]
        incidents = [one for one in said if "*Incident commander*" in one.all_text]
        over, cards = ([found for one in said if (found := how.search(one.all_text))] for how in (_OVER, _HOW))
        seen_and_meant: dict[str, tuple[Any, Any]] = {
            "incidents": (len(await self.store.listed(open_only=False, limit=10)), 1),
            "runs": ([(run.remedy, run.state, run.outcome) for run in runs], list(act.runs)),
            "patches": ([one["metadata"]["annotations"][RUN] for one in self.proxy.made], changed),
            "changes": (len(changed), act.patches),
            "generation": (deployment["metadata"]["generation"], 1 + act.patches),
            "annotation": (annotation, changed[-1] if changed else None),
            "variables": (variables(deployment).items() >= act.env.items(), True),
            "chain": (fault(entries, count=incident.entries, last_hash=incident.last_hash), None),
            "timeline": ([_beginning(note, meant) for note in notes], meant),
            "waiting": (dict(await self.store.waiting()), {}),
            "cards": ([found[2] for found in cards], [_shown(*run) for run in act.runs]),
            "told as over": (
                [(found[1] or found[2], found[3]) for found in over],
                [one for held in acts for one in held.ended],
            ),
            "messages": (len(said), len(incidents) + len(cards) + len(over)),
            "channels": ({one.channel for one in said}, {CHANNEL}),
            "cards of incidents": (len(incidents), 1),
        }
        return {what: pair for what, pair in seen_and_meant.items() if pair[0] != pair[1]}


def _beginning(note: str, meant: list[str]) -> str:
    """As it is meant, where it begins so."""
    return next((one for one in meant if note.startswith(one)), note)


def _shown(remedy: str, state: State, outcome: Outcome | None) -> str:
    """How a run's card says that it stands."""
    return str(outcome) if outcome else {State.PROPOSED: "waits for approval"}[state]
