"""Is the bot itself on the network: any HTTP answer of Slack's ``api.test`` shows it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.clients import mistral
from bot.domain.signals import Control, Finding, ProbeName, Verdict
from bot.ports import ProbeRun


@dataclass(frozen=True)
class ControlProbe:
    name: ProbeName = ProbeName.CONTROL
    answers_when_late: bool = True

    async def check(self, run: ProbeRun) -> Finding:
        """Asks once; what the answer holds does not matter."""
        exchange = await run.http.fetch("GET", f"{run.slack_api_url}api.test", timeout_s=run.timeout_s)
        answered = exchange.status is not None
        signal = Control(
            status=exchange.status,
            failure=None if answered else exchange.failure,
            first_byte_ms=exchange.first_byte_ms,
            latency_ms=exchange.latency_ms,
        )
        return Finding(
            probe=self.name,
            verdict=Verdict.OK if answered else Verdict.BAD,
            summary=f"Slack: {mistral.described(signal, urlsplit(run.slack_api_url).hostname or 'Slack')}",
            signal=signal,
        )


PROBE = ControlProbe()
