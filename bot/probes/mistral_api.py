"""Mistral's API: is it reached, is the service's key accepted, and which models does it list."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.clients import mistral
from bot.domain.signals import Finding, MistralApi, ProbeName, Verdict, key_prefix
from bot.errors import NotConfigured
from bot.ports import ProbeRun


@dataclass(frozen=True)
class MistralApiProbe:
    name: ProbeName = ProbeName.MISTRAL_API
    answers_when_late: bool = True

    async def check(self, run: ProbeRun) -> Finding:
        """Asks for the models with the service's key; raises NotConfigured where there is none."""
        key = await run.service_key()
        if key is None:
            raise NotConfigured("not configured: no Mistral key in MISTRAL_API_KEY nor in the service's Secret")
        base = run.target.mistral.api_url
        exchange = await run.http.fetch(
            "GET", f"{base}/v1/models", timeout_s=run.timeout_s, headers={"Authorization": f"Bearer {key.value}"}
        )
        models = mistral.models_of(mistral.parse_json(exchange.body), key.value) if exchange.status == 200 else None
        signal = MistralApi(
            **mistral.answer(exchange, expected=models is not None, key=key.value),
            models=models or (),
            key_source=key.source,
            key_length=len(key.value),
            key_prefix=key_prefix(key.value),
        )
        summary = mistral.described(signal, urlsplit(base).hostname or base)
        if signal.ok:
            summary = f"200 with {len(signal.models)} models after {signal.latency_ms} ms"
        return Finding(
            probe=self.name, verdict=Verdict.OK if signal.ok else Verdict.BAD, summary=summary, signal=signal
        )


PROBE = MistralApiProbe()
