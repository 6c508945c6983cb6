"""One tiny request to each canary model, all at once: does the model answer, and how soon."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.clients import mistral
from bot.domain.signals import Canary, CanaryAnswer, Finding, ProbeName, Verdict
from bot.errors import NotConfigured
from bot.ports import ProbeRun, ServiceKey


@dataclass(frozen=True)
class CanaryProbe:
    name: ProbeName = ProbeName.CANARY
    answers_when_late: bool = True

    async def check(self, run: ProbeRun) -> Finding:
        """Asks every model; raises NotConfigured for no models or no key, BadAnswer for a key that cannot be sent."""
        models = run.target.mistral.canary_models
        if not models:
            raise NotConfigured("not configured: MISTRAL_CANARY_MODELS is empty")
        key = await run.service_key()
        if key is None:
            raise NotConfigured("not configured: no Mistral key in MISTRAL_API_KEY nor in the service's Secret")
        # not a TaskGroup: it would wrap the sentence about a key that cannot be sent
        answers = tuple(await asyncio.gather(*(_ask(run, key, model) for model in models)))
        host = urlsplit(run.target.mistral.api_url).hostname or run.target.mistral.api_url
        fine = all(answer.ok and not answer.slow for answer in answers)
        return Finding(
            probe=self.name,
            verdict=Verdict.OK if fine else Verdict.BAD,
            summary="; ".join(f"{answer.model}: {_told(answer, host)}" for answer in answers),
            signal=Canary(answers=answers),
        )


async def _ask(run: ProbeRun, key: ServiceKey, model: str) -> CanaryAnswer:
    path, body = mistral.smallest_request(model)
    exchange = await run.http.fetch(
        "POST",
        f"{run.target.mistral.api_url}{path}",
        timeout_s=run.timeout_s,
        headers={"Authorization": f"Bearer {key.value}"},
        json=body,
    )
    expected = exchange.status == 200 and mistral.completes(model, mistral.parse_json(exchange.body))
    late = exchange.first_byte_ms is not None and exchange.first_byte_ms > run.target.mistral.slow_s * 1000
    return CanaryAnswer(model=model, slow=late, **mistral.answer(exchange, expected=expected, key=key.value))


def _told(answer: CanaryAnswer, host: str) -> str:
    if answer.ok and answer.slow:
        return f"slow, 200 with its first byte after {answer.first_byte_ms} ms"
    return mistral.described(answer, host)


PROBE = CanaryProbe()
