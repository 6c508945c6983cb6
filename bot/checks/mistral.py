"""Mistral's API: is it reached, and is the service's key accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.signals import key_prefix
from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings

_MEND = {
    "401": "Check the key in console.mistral.ai and put a working one into the Secret or MISTRAL_API_KEY.",
    "dns": "Check MISTRAL_API_URL and name resolution.",
    "connect": "Check MISTRAL_API_URL, HTTPS_PROXY and the way out (TCP port 443).",
    "tls": "Check the certificates that are trusted (SSL_CERT_FILE) and any proxy that opens TLS.",
}


@dataclass(frozen=True)
class MistralCheck:
    name: str = "Mistral API"
    per_target: bool = True

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        key = await run.service_key()
        if key is None:
            return ()
        url = f"{run.target.mistral.api_url}/v1/models"
        headers = {"Authorization": f"Bearer {key.value}"}
        answer = await run.http.fetch("GET", url, timeout_s=run.timeout_s, headers=headers)
        outcome = str(answer.failure or answer.status)
        begins = f", begins with {key_prefix(key.value)}" if key_prefix(key.value) else ""
        described = f"{len(key.value)} characters{begins}, from the {key.source}"
        ok = outcome == "200"
        return (
            CheckResult(
                what="key",
                ok=ok,
                detail=f"{'is accepted' if ok else f'GET /v1/models: {outcome}'} ({described})",
                mend="" if ok else _MEND.get(outcome, "Run `mistral-bot triage`, which says more."),
            ),
        )


CHECK = MistralCheck()
