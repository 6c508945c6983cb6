"""Mistral's API: is it reached, is the service's key accepted, and are the canaries' models there."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.clients.mistral import models_of, parse_json
from bot.domain.signals import Model, key_prefix
from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings

_MEND = {
    "401": "Check the key in console.mistral.ai and put a working one into the Secret or MISTRAL_API_KEY.",
    "402": "Check the billing and the spend cap of the workspace in console.mistral.ai.",
    "429": "Ask less often, or ask for a higher limit in console.mistral.ai.",
    "dns": "Check MISTRAL_API_URL and name resolution.",
    "connect": "Check MISTRAL_API_URL, HTTPS_PROXY and the way out (TCP port 443).",
    "tls": "Check the certificates that are trusted (SSL_CERT_FILE) and any proxy that opens TLS.",
    "timeout": "Check MISTRAL_API_URL, HTTPS_PROXY and Mistral's status page.",
    "garbage": "Something else answers in Mistral's place: check MISTRAL_API_URL and HTTPS_PROXY.",
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
        outcome, models = str(answer.failure or answer.status), None
        if outcome == "200":
            models = models_of(parse_json(answer.body))
            outcome = "200" if models is not None else "garbage"
        begins = f", begins with {key_prefix(key.value)}" if key_prefix(key.value) else ""
        described = f"{len(key.value)} characters{begins}, from the {key.source}"
        accepted = CheckResult(
            what="key",
            ok=models is not None,
            detail=f"{f'GET /v1/models: {outcome}' if models is None else 'is accepted'} ({described})",
            mend="" if models is not None else _MEND.get(outcome, "Run `mistral-bot triage`, which says more."),
        )
        wanted = run.target.mistral.canary_models
        return (accepted,) if models is None or not wanted else (accepted, _canaries(wanted, models))


def _canaries(wanted: Sequence[str], models: Sequence[Model]) -> CheckResult:
    listed = {name for model in models for name in (model.id, *model.aliases)}
    missing = [name for name in wanted if name not in listed]
    return CheckResult(
        what="canary models",
        ok=not missing,
        detail=f"not among the API's models: {', '.join(missing)}" if missing else ", ".join(wanted),
        mend="Set MISTRAL_CANARY_MODELS to models that your service uses and the API lists." if missing else "",
    )


CHECK = MistralCheck()
