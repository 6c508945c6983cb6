"""What every remedy asks before it plans: whether a new pod template would roll out at all."""

from collections.abc import Iterable, Mapping

from bot.domain.incident import Refusal
from bot.domain.objects import within
from bot.ports import Ask


def must_roll_out(ask: Ask) -> None:
    """Raises Refusal where the deployment is paused or being deleted."""
    place = ask.run.target.kubernetes
    if within(ask.deployment, "metadata").get("deletionTimestamp"):
        raise Refusal("The deployment is being deleted; there is nothing to change any more.")
    if within(ask.deployment, "spec").get("paused"):
        raise Refusal(
            "The deployment is paused, so nothing would roll out; "
            f"`kubectl -n {place.namespace} rollout resume deployment/{place.deployment}` first."
        )


def filled_in(name: str, arguments: Mapping[str, str], known: Iterable[str] = ()) -> dict[str, str]:
    """The arguments that are not blank, without white space around them; raises Refusal for an unknown one."""
    held = {key: value.strip() for key, value in arguments.items() if value.strip()}
    if not held.keys() <= set(known):
        raise Refusal(f"{name} takes nothing more to be filled in.")
    return held
