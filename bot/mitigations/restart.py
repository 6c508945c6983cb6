"""New pods of the same template, one after the other, as ``kubectl rollout restart`` makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.changes import RESTARTED_AT, AnnotationChange, Change
from bot.domain.objects import within
from bot.domain.remedies import RemedyName
from bot.domain.workload import KeyReference, template
from bot.mitigations._kubectl import line, lines, watched
from bot.mitigations._rollout import filled_in, must_roll_out
from bot.ports import NOTHING_ASKED, Argument, Ask


def restart(ask: Ask) -> AnnotationChange:
    """The change that makes the deployment's pods anew."""
    held = within(template(ask.deployment), "metadata", "annotations").get(RESTARTED_AT)
    return AnnotationChange(name=RESTARTED_AT, before=None if held is None else str(held), after=ask.stamp)


@dataclass(frozen=True, kw_only=True)
class Restart:
    name: str = RemedyName.RESTART
    what: str = "makes the pods anew, one after the other"
    temporary: bool = False
    reverts_itself: bool = False
    shields: bool = False
    arguments: Sequence[Argument] = ()

    def temporary_with(self, arguments: Mapping[str, str]) -> bool:
        return False

    def checked(self, arguments: Mapping[str, str]) -> Mapping[str, str]:
        return filled_in(self.name, arguments)

    async def plan(self, ask: Ask) -> Sequence[Change]:
        must_roll_out(ask)
        self.checked(ask.arguments)
        return (restart(ask),)

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
        return (
            line(namespace, "rollout", "restart", f"deployment/{deployment}"),
            watched(namespace, deployment),
        )


MITIGATION = Restart()
