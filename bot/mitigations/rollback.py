"""The pod template of an earlier revision, as ``kubectl rollout undo`` puts it back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.changes import Change, RevisionChange
from bot.domain.incident import Refusal
from bot.domain.objects import Object, within
from bot.domain.remedies import RemedyName
from bot.domain.rollout import newest_set
from bot.domain.workload import KeyReference, revisions
from bot.mitigations._kubectl import line, lines, watched
from bot.mitigations._rollout import filled_in, must_roll_out
from bot.ports import NOTHING_ASKED, Argument, Ask

_REVISION = "revision"
# No revision has more digits, which Kubernetes counts in 64 bits.
_DIGITS = 18
_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class Rollback:
    name: str = RemedyName.ROLLBACK
    what: str = "puts an earlier revision of the deployment back"
    temporary: bool = False
    reverts_itself: bool = True
    shields: bool = False
    arguments: Sequence[Argument] = (
        Argument(name=_REVISION, label="Revision", hint="a number of `kubectl rollout history`; empty: the one before"),
    )

    def temporary_with(self, arguments: Mapping[str, str]) -> bool:
        return False

    def checked(self, arguments: Mapping[str, str]) -> Mapping[str, str]:
        held = filled_in(self.name, arguments, [_REVISION])
        asked = held.get(_REVISION)
        if asked is None:
            return {}
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= _DIGITS and int(asked)):
            raise Refusal("A revision is a whole number above 0, as `kubectl rollout history` lists them.")
        return {_REVISION: str(int(asked))}

    async def plan(self, ask: Ask) -> Sequence[Change]:
        must_roll_out(ask)
        asked = self.checked(ask.arguments).get(_REVISION)
        held = revisions(ask.deployment, ask.replica_sets)
        running = _name(newest_set(ask.deployment, held.values()))
        now = max((number for number, one in held.items() if running and _name(one) == running), default=None)
        if now is None:
            raise Refusal(
                "The deployment was changed a moment ago and its new revision is not there yet; "
                "ask again in a few seconds."
            )
        there = _told(held, now)
        earlier = max((number for number in held if number < now), default=None)
        wanted = earlier if asked is None else int(asked)
        if wanted is None:
            raise Refusal(f"There is no earlier revision to go back to: {there}.")
        if wanted == now:
            raise Refusal(f"Revision {now} is the one that runs; {there}.")
        if wanted not in held:
            raise Refusal(f"There is no revision {wanted}; {there}.")
        return (RevisionChange(before=now, before_set=running, after=wanted, after_set=_name(held[wanted])),)

    def commands(
        self,
        namespace: str,
        deployment: str,
        changes: Sequence[Change],
        *,
        usual: KeyReference | None = None,
        asked: Mapping[str, str] = NOTHING_ASKED,
    ) -> Sequence[str]:
        if changes:
            return lines(namespace, deployment, changes)
        revision = self.checked(asked).get(_REVISION)
        chosen = () if revision is None else (f"--to-revision={revision}",)
        return (
            line(namespace, "rollout", "history", f"deployment/{deployment}"),
            line(namespace, "rollout", "undo", f"deployment/{deployment}", *chosen),
            watched(namespace, deployment),
        )


def _name(held: Object) -> str:
    return str(within(held, "metadata").get("name") or "")


def _told(numbers: Iterable[int], now: int) -> str:
    """Which there are, the newest last."""
    ordered = sorted(numbers)
    kept = [f"{number} (runs)" if number == now else str(number) for number in ordered[-_TOLD:]]
    more = f"{len(ordered) - _TOLD} older ones, " if len(ordered) > _TOLD else ""
    return f"the cluster keeps {more}{', '.join(kept)}"


MITIGATION = Rollback()
