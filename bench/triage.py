"""How soon does the card come, beside the runbook's checks typed one after the other?"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from bench.figures import SCALE, Figure, more_at_most, ratio_at_most, scaled, taking_turns
from bench.processes import program, typed
from bench.servers import cluster, the_bot, world
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, MistralSpec, Scenario, load_scenarios
from bot.sandbox.slack import Message

# Of Mistral's API; the service takes two thirds of it, as in the goal (0.3 and 0.2 s).
UPSTREAMS_S = (0.0, 0.1, 0.3, 1.0) if SCALE >= 1 else (0.3,)
_SERVICE = 2 / 3
PODS = (1, scaled(10, least=2), scaled(100, least=3))
POD_BYTES = 20_000
ROUNDS = scaled(4)
# Promised beyond the slowest upstream, in seconds, and of the sequence's time.
MORE_S, TIMES = 0.1, 0.65
# From so many pods on it is kubectl and the API server that take the time.
_MANY = max(PODS)
# Slack takes about one message a second and channel: a channel that has been quiet so long does not wait.
QUIET_S = 1.2


async def measure() -> list[Figure]:
    figures = []
    for pods, upstream_s in itertools.product(PODS, UPSTREAMS_S):
        async with _world(pods, upstream_s) as (sandbox, script):
            rounds = ROUNDS if pods < _MANY else max(1, ROUNDS // 2)
            held = await taking_turns(
                rounds, {"bot": _Triages(sandbox).one, "runbook": typed(script, says="ERROR")}, warm=int(pods < _MANY)
            )
        figures += _rows(pods, upstream_s, held["bot"], held["runbook"])
    return figures


def _rows(pods: int, upstream_s: float, took: list[float], typed: list[float]) -> list[Figure]:
    what = f"command to card, {pods} pod{'s' if pods > 1 else ''}, upstream {upstream_s:g} s"
    the_goal = upstream_s == 0.3 and pods < _MANY
    rows = [
        Figure(
            what=what,
            values=took,
            unit="s",
            beside="the runbook's four checks, typed",
            reference=typed,
            goal=ratio_at_most(TIMES) if the_goal else None,
            headline=the_goal,
        )
    ]
    if upstream_s:
        goal = more_at_most(MORE_S) if pods < _MANY else None
        slowest = [upstream_s] * len(took)
        beside = "the slowest upstream"
        rows.append(Figure(what=what, values=took, unit="s", beside=beside, reference=slowest, goal=goal))
    return rows


@contextlib.asynccontextmanager
async def _world(pods: int, upstream_s: float) -> AsyncIterator[tuple[Sandbox, str]]:
    """(everything configured, with upstreams that take their time, and a bot; the runbook's checks of the same)"""
    async with world(_scenario(upstream_s)) as sandbox, cluster(sandbox.folder, pods, POD_BYTES) as kubeconfig:
        sandbox.configure({"KUBECONFIG": str(kubeconfig)})
        async with the_bot(sandbox):
            yield sandbox, _script(sandbox.environment(), kubeconfig)


def _scenario(upstream_s: float) -> Scenario:
    limited = load_scenarios()["rate limited under the usual traffic"]
    assert limited.mistral is not None
    late = AnswerSpec(delay_s=upstream_s)
    canary = {model: replace(spec, delay_s=upstream_s) for model, spec in limited.mistral.canary.items()}
    service = AnswerSpec(delay_s=upstream_s * _SERVICE)
    return replace(limited, mistral=MistralSpec(models=late, canary=canary), service=service)


def _script(environ: dict[str, str], kubeconfig: Path) -> str:
    """What the runbook's triage script asks, in its order."""
    curl, jq, kubectl = program("curl"), program("jq"), program("kubectl")
    # the sum of the runbook's: the sandbox answers nothing else
    query = "query?query=sum(rate(mistral_errors_total%5B5m%5D))"
    key = f"Authorization: Bearer {environ['MISTRAL_API_KEY']}"
    return "; ".join(
        (
            f"{curl} -s -o /dev/null -w '%{{http_code}}' -H '{key}' {environ['MISTRAL_API_URL']}/v1/models",
            f"{curl} -s {environ['SERVICE_HEALTH_URL']} | {jq} .services.mistral",
            f"{curl} -s '{environ['PROMETHEUS_URL']}/api/v1/{query}' | {jq} .data.result",
            f"{kubectl} --kubeconfig {kubeconfig} logs -l app=mistral-service --since=5m | grep -i error | tail -10",
        )
    )


class _Triages:
    def __init__(self, sandbox: Sandbox) -> None:
        self._slack = sandbox.slack.workspace
        self._done = 0

    async def one(self) -> float:
        """Seconds from the command to the card that says the cause."""
        self._done += 1
        began = asyncio.get_running_loop().time()
        await self._slack.command("triage")
        await self._slack.wait_for(lambda: len(self._cards()) == self._done, timeout_s=30)
        took = asyncio.get_running_loop().time() - began
        # drawn after the card: not to be in the way of the next one, and neither is the pace that Slack sets a channel
        await self._slack.wait_for(lambda: self._charts() == self._done, timeout_s=30)
        await asyncio.sleep(QUIET_S)
        return took

    def _cards(self) -> list[Message]:
        return [one for one in self._slack.messages if one.thread_ts is None and "`rate_limited`" in one.all_text]

    def _charts(self) -> int:
        return sum(bool(one.files) for one in self._slack.messages)
