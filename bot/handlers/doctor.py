"""``mistral-bot doctor``: asks every system that is configured, live, and says how to mend what fails."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bot.errors import UpstreamError
from bot.handlers.probing import Prober
from bot.ports import Check, CheckResult
from bot.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One system of one target; no results: it is not configured."""

    system: str
    target: str
    results: tuple[CheckResult, ...]


async def examine(prober: Prober, checks: Sequence[Check], settings: Settings) -> AsyncIterator[Examined]:
    """What each check finds, one after the other; a check that cannot be made is a result that is not ok."""
    for check in checks:
        for target in settings.targets if check.per_target else settings.targets[:1]:
            run = prober.run_of(target.name, check.name)
            try:
                results = tuple(await check.check(run, settings))
            except UpstreamError as error:
                mend = f"Check what is set for {check.name}."
                results = (CheckResult(what="all", ok=False, detail=str(error), mend=mend),)
            yield Examined(system=check.name, target=target.name, results=results)
