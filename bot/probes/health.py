"""The company's own health endpoint, and what it says of Mistral (``services.mistral``)."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bot.clients import mistral
from bot.domain.redaction import mask
from bot.domain.signals import Finding, Health, ProbeName, Verdict
from bot.errors import NotConfigured
from bot.ports import ProbeRun

_GOOD = frozenset(
    [
        "ok",
        "okay",
        "healthy",
        "up",
        "true",
        "pass",
        "passing",
        "passed",
        "good",
        "fine",
        "green",
        "operational",
        "available",
        "reachable",
        "connected",
        "online",
        "ready",
        "running",
        "normal",
        "alive",
        "serving",
        "success",
        "active",
    ]
)
_STATE_KEYS = ("status", "state", "health", "ok", "healthy", "up", "available", "reachable", "connected")
_WORD_CHARS = 80


@dataclass(frozen=True)
class HealthProbe:
    name: ProbeName = ProbeName.HEALTH
    answers_when_late: bool = True

    async def check(self, run: ProbeRun) -> Finding:
        """Asks once; raises NotConfigured where SERVICE_HEALTH_URL is not set."""
        url = run.target.service_health_url
        if url is None:
            raise NotConfigured("not configured: SERVICE_HEALTH_URL is not set")
        exchange = await run.http.fetch("GET", url, timeout_s=run.timeout_s)
        answered = exchange.failure is None and exchange.status is not None and 200 <= exchange.status <= 299
        said, says_well = _of_mistral(mistral.parse_json(exchange.body)) if answered else (None, True)
        if said is not None:
            key = await run.service_key()
            # before it is cut: half a key would not be found
            said = mask(said, [] if key is None else [key.value])[:_WORD_CHARS]
        signal = Health(
            ok=answered and says_well,
            mistral=said,
            status=exchange.status,
            failure=exchange.failure,
            first_byte_ms=exchange.first_byte_ms,
            latency_ms=exchange.latency_ms,
        )
        summary = mistral.described(signal, urlsplit(url).hostname or "the service")
        if said is not None:
            summary = f"{summary}; services.mistral is {said!r}"
        return Finding(
            probe=self.name, verdict=Verdict.OK if signal.ok else Verdict.BAD, summary=summary, signal=signal
        )


def _of_mistral(document: Any) -> tuple[str | None, bool]:
    """(what ``services.mistral`` says, whether that is well); (None, True) where it is not there."""
    services = document.get("services") if isinstance(document, dict) else None
    state = services.get("mistral") if isinstance(services, dict) else None
    while isinstance(state, dict):
        state = next((state[key] for key in _STATE_KEYS if state.get(key) is not None), None)
    if isinstance(state, bool):
        return str(state).lower(), state
    if isinstance(state, int | float):
        return str(state), state == 1 or 200 <= state <= 299
    if isinstance(state, str) and state.strip():
        word = " ".join(state.split())
        return word, word.lower() in _GOOD
    return None, True


PROBE = HealthProbe()
