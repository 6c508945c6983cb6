"""What the world panel shows: clock, errors, cluster, status page, what the bot asked, and what to try next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.sandbox import kubernetes_objects as objects
from bot.sandbox.play import Play
from bot.sandbox.story import Spell
from bot.sandbox.world import SeenRequest, World

_MINUTES = 30
_REQUESTS = 40
# The service's own switches, which remedies set.
_SWITCHES = ("RATE_LIMIT_MODE", "MAX_CONCURRENT_REQUESTS", "MISTRAL_FALLBACK", "MISTRAL_TIMEOUT", "MISTRAL_MODEL")
# For so long errors count in what the bot reads.
_COUNTS_S = 300


@dataclass(frozen=True)
class Switch:
    """A variable of the deployment; ``changed``: it is not as the story began."""

    name: str
    value: str
    changed: bool


@dataclass(frozen=True)
class Revision:
    """``pods``: each one's state, in a word."""

    number: str
    image: str
    pods: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """``ratios``: the share of failed requests in each of the last thirty minutes, the oldest first."""

    now: float
    hint: str
    ratios: Sequence[float]
    switches: Sequence[Switch]
    revisions: Sequence[Revision]
    requests: Sequence[SeenRequest]
    counts: Mapping[str, int]

    @property
    def line(self) -> str:
        """``ratios`` as the points of an SVG polyline, 100 wide and 30 high, as high as the worst of them."""
        last, worst = len(self.ratios) - 1, max(*self.ratios, 0.01)
        return " ".join(f"{100 * at / last:.1f},{29 - 28 * ratio / worst:.1f}" for at, ratio in enumerate(self.ratios))


def panel(play: Play) -> Panel:
    """As it is now."""
    world = play.sandbox.world
    counts: dict[str, int] = {}
    for one in world.requests:
        counts[one.upstream] = counts.get(one.upstream, 0) + 1
    return Panel(
        now=world.now,
        hint=_hint(play),
        ratios=[_ratio(world, 60.0 * (_MINUTES - minute)) for minute in range(_MINUTES + 1)],
        switches=_switches(world),
        revisions=_revisions(world),
        requests=list(world.requests)[: -_REQUESTS - 1 : -1],
        counts=counts,
    )


def _ratio(world: World, age_s: float) -> float:
    spec = world.scenario.prometheus
    if spec is None or not spec.requests:
        return 0.0
    spell = next((one for one in world.spells or () if _covers(one, age_s)), None)
    if spell is None:
        return 0.0
    return min(1.0, sum(spec.errors.values()) * spell.share / spec.requests) if spell.ratio is None else spell.ratio


def _covers(spell: Spell, age_s: float) -> bool:
    return spell.ended_s <= age_s < spell.began_s or (age_s == spell.ended_s == 0.0)


def _hint(play: Play) -> str:
    world = play.sandbox.world
    telling = world.telling
    if telling is None:
        return "Type /mistral triage."
    if play.drill is not None:
        return "A drill is on: find out what is wrong, keep people informed, and mend it. Nobody gives hints."
    if play.sandbox.slack.down:
        return "Slack is away. The bot keeps what it has to say until Slack is back."
    if telling.over(world.now) and telling.story.cures:
        return "It is over by itself. Take back what is in place, and resolve the incident."
    if telling.uncured < 1 and telling.story.cures:
        if telling.uncured > 0:
            return "A remedy that helps is being rolled out, pod by pod."
        if world.now - telling.marks[-1].at < _COUNTS_S:
            return "The remedy helps. Errors of the last five minutes still count: move the clock on."
        return "The service is well. Resolve the incident; what is temporary wants to be taken back first."
    return telling.story.first


def _container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    held: Mapping[str, Any] = template["spec"]["containers"][0]
    return held


def _env(template: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: str(one["value"]) for one in _container(template).get("env") or [] if "value" in one}


def _switches(world: World) -> list[Switch]:
    held = world.cluster.held if world.cluster else {}
    deployment = held.get("deployments", {}).get(objects.DEPLOYMENT)
    if deployment is None:
        return []
    before = _env(objects.template(world.cluster_spec, world.service_key))
    now = _env(deployment["spec"]["template"])
    return [Switch(name, now.get(name, "unset"), now.get(name) != before.get(name)) for name in _SWITCHES]


def _revisions(world: World) -> list[Revision]:
    held = world.cluster.held if world.cluster else {}
    sets = sorted(held.get("replicasets", {}).values(), key=lambda one: -int(_number(one)))
    pods = list(held.get("pods", {}).values())
    return [
        Revision(
            _number(one),
            _container(one["spec"]["template"])["image"].rpartition("/")[2],
            tuple(_state(pod) for pod in pods if _owner(pod) == one["metadata"]["name"]),
        )
        for one in sets
    ]


def _number(replica_set: Mapping[str, Any]) -> str:
    return str(replica_set["metadata"]["annotations"][objects.REVISION])


def _owner(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["name"])


def _state(pod: Mapping[str, Any]) -> str:
    status = pod["status"]["containerStatuses"][0]
    if status["ready"]:
        return "ready"
    return str(status["state"].get("waiting", {}).get("reason", "not ready"))
