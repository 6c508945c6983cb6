"""Whether Mistral's API takes a key, before the service is made to use it."""

from http.client import FORBIDDEN, PAYMENT_REQUIRED, TOO_MANY_REQUESTS, UNAUTHORIZED
from urllib.parse import urlsplit

from bot.clients import mistral
from bot.domain.signals import Answer
from bot.ports import ProbeRun


async def refused(run: ProbeRun, key: str) -> str | None:
    """Why ``key`` should not be used, as a sentence that does not hold it; None: the API takes it.

    Asks ``GET /v1/models`` once, within ``run.timeout_s``.
    """
    base = run.target.mistral.api_url
    exchange = await run.http.fetch(
        "GET", f"{base}/v1/models", timeout_s=run.timeout_s, headers={"Authorization": f"Bearer {key}"}
    )
    models = mistral.models_of(mistral.parse_json(exchange.body), key) if exchange.status == 200 else None
    told = Answer(**mistral.answer(exchange, expected=models is not None, key=key))
    if told.failure is None and told.status == 200:
        return None
    how = mistral.described(told, urlsplit(base).hostname or base)
    match told.status:
        case code if told.failure is None and code in (UNAUTHORIZED, FORBIDDEN):
            return (
                f"Mistral refuses the new key, too ({how}): it is wrong or revoked, or its workspace has no allowance "
                "left, which may look the same; see console.mistral.ai."
            )
        case code if told.failure is None and code in (PAYMENT_REQUIRED, TOO_MANY_REQUESTS):
            return f"The new key would not help ({how}): its workspace is at its limit; see console.mistral.ai."
    return f"The new key cannot be checked ({how}), so it is not put in place; ask again when Mistral's API answers."
