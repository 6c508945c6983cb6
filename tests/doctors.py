"""One check of the doctor, with the real clients, as the settings in an environment say."""

from collections.abc import Mapping, Sequence

from bot.configuration import load
from bot.ports import Check, CheckResult
from bot.sandbox.scenario import load_scenarios
from bot.worlds import prober

WELL = load_scenarios()["all is well"]


async def examined(check: Check, environ: Mapping[str, str]) -> Sequence[CheckResult]:
    """The results for the target ``default``; every one that is not ok says how to mend it."""
    settings = load(environ)
    async with prober(settings) as asks:
        results = await check.check(asks.run_of("default", check.name), settings)
    for result in results:
        assert result.ok == (result.mend == "")
        assert result.detail
    return results


def lines(results: Sequence[CheckResult]) -> list[tuple[bool, str]]:
    """(ok, what it says) of each."""
    return [(result.ok, f"{result.what}: {result.detail}") for result in results]
