"""The company's own service: does its health endpoint answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings


@dataclass(frozen=True)
class ServiceCheck:
    name: str = "Service"
    per_target: bool = True

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        if run.target.service_health_url is None:
            return ()
        answer = await run.http.fetch("GET", run.target.service_health_url, timeout_s=run.timeout_s)
        ok = answer.failure is None and answer.status is not None and 200 <= answer.status <= 299
        return (
            CheckResult(
                what="health endpoint",
                ok=ok,
                detail=f"no usable answer ({answer.failure})" if answer.failure else f"answers {answer.status}",
                mend="" if ok else "Check SERVICE_HEALTH_URL, and whether the bot may reach it.",
            ),
        )


CHECK = ServiceCheck()
