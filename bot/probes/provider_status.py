"""The provider's status page: which open incidents concern what the service uses.

Three forms of page are known (Rootly's, Atlassian Statuspage's, Instatus's); all are asked at once and the first that
makes sense is taken. Most incidents of a provider concern other products of theirs, so text is matched.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.clients.mistral import parse_json
from bot.domain.redaction import redact
from bot.domain.signals import Finding, ProbeName, ProviderStatus, Verdict
from bot.errors import BadAnswer, NotConfigured, Unreachable
from bot.ports import Exchange, ProbeRun

_FORMS = (("/api/v1/status.json", "/api/v1/incidents.json"), ("/api/v2/summary.json",), ("/summary.json",))
# Le Chat is the provider's own product, not the chat completions that a service calls
_CONCERNS = re.compile(
    r"\b(apis?|(?<!le )chat|completions?|inference|embeddings?|all (models|services))\b", re.IGNORECASE
)
_VERSION = re.compile(r"-(latest|\d{4})$")
_OVER = frozenset({"resolved", "completed", "closed", "cancelled", "canceled", "postmortem", "scheduled"})
_INDICATORS = {"up": "none", "operational": "none", "hasissues": "major", "undermaintenance": "maintenance"}
_SHOWN = 10


@dataclass(frozen=True)
class ProviderStatusProbe:
    name: ProbeName = ProbeName.PROVIDER_STATUS
    answers_when_late: bool = False

    async def check(self, run: ProbeRun) -> Finding:
        """Raises NotConfigured, or Unreachable or BadAnswer where none of the forms can be read."""
        base = run.target.mistral.status_url
        if base is None:
            raise NotConfigured("not configured: MISTRAL_STATUS_URL is empty")
        indicator, incidents = await _first_that_parses(run, base.rstrip("/"))
        models = run.target.mistral.canary_models
        told = tuple(_told(one) for one in incidents if _is_open(one) and _concerns(one, models))[:_SHOWN]
        summary = f"status page says {indicator}, with no incident that concerns the API or a used model"
        if told:
            summary = f"status page says {indicator}: {'; '.join(told)}"
        return Finding(
            probe=self.name,
            verdict=Verdict.BAD if told else Verdict.OK,
            summary=summary,
            signal=ProviderStatus(indicator=indicator, incidents=told),
        )


_Page = tuple[str, Sequence[dict[str, Any]]]


async def _first_that_parses(run: ProbeRun, base: str) -> _Page:
    async def ask(path: str) -> Exchange:
        return await run.http.fetch("GET", f"{base}{path}", timeout_s=run.timeout_s)

    async def ask_form(paths: Sequence[str]) -> tuple[_Page | None, Sequence[Exchange]]:
        exchanges = await asyncio.gather(*(ask(path) for path in paths))
        good = all(one.failure is None and one.status == 200 for one in exchanges)
        return (_page([parse_json(one.body) for one in exchanges]) if good else None), exchanges

    tasks = [asyncio.create_task(ask_form(paths)) for paths in _FORMS]
    answered: list[Exchange] = []
    try:
        for finished in asyncio.as_completed(tasks):
            page, exchanges = await finished
            if page is not None:
                return page
            answered.extend(exchanges)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    outcomes = ", ".join(sorted({str(one.failure or one.status) for one in answered}))
    if all(one.status is None for one in answered):
        raise Unreachable(f"the status page {base} gives no answer ({outcomes})")
    raise BadAnswer(f"the status page {base} cannot be read: no known form of JSON ({outcomes})")


def _page(documents: Sequence[Any]) -> _Page | None:
    """(indicator, incidents) of a page in any of the forms; None where it is none of them."""
    first, last = documents[0], documents[-1]
    if not isinstance(first, dict):
        return None
    status = first.get("status")
    page = first.get("page")
    indicator = status.get("indicator") if isinstance(status, dict) else first.get("indicator")
    if indicator is None and isinstance(page, dict):
        indicator = page.get("status")
    if not isinstance(indicator, str):
        return None
    incidents = last
    if isinstance(last, dict):
        # Instatus leaves the list out where there are none
        fallback: Any = [] if isinstance(page, dict) and "status" in page else None
        incidents = next((last[key] for key in ("incidents", "activeIncidents", "data") if key in last), fallback)
    if not isinstance(incidents, list):
        return None
    word = _text(indicator, 40).lower()
    return _INDICATORS.get(word, word), [_flat(one) for one in incidents if isinstance(one, dict)]


def _flat(incident: dict[str, Any]) -> dict[str, Any]:
    inner = incident.get("attributes")
    return inner if isinstance(inner, dict) else incident


def _is_open(incident: dict[str, Any]) -> bool:
    status = incident.get("status")
    over = isinstance(status, str) and status.lower() in _OVER
    return not over and not incident.get("resolved_at") and not incident.get("resolvedAt")


def _concerns(incident: dict[str, Any], models: Sequence[str]) -> bool:
    text = " ".join([_name(incident), *_components(incident)])
    if _CONCERNS.search(text):
        return True
    plain = _plain(text)
    # mistral-small-latest and mistral-small-2506 are "Mistral Small" to people
    names = (_plain(_VERSION.sub("", model)) for model in models)
    return any(re.search(rf"\b{re.escape(name)}\b", plain) for name in names)


def _plain(text: str) -> str:
    return " ".join(re.split(r"[\W_]+", text.lower()))


def _text(told: str, most: int) -> str:
    """On one line, and masked before it is cut: what is cut off may be what a secret is known by."""
    return " ".join(redact(told).split())[:most]


def _name(incident: dict[str, Any]) -> str:
    for key in ("name", "title"):
        if isinstance(incident.get(key), str) and incident[key].strip():
            return _text(incident[key], 200)
    return ""


def _components(incident: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for key in ("components", "affected_components", "services", "functionalities"):
        held = incident.get(key)
        for one in held if isinstance(held, list) else ():
            name = one.get("name") if isinstance(one, dict) else one
            if isinstance(name, str):
                names.append(_text(name, 100))
    return names


def _told(incident: dict[str, Any]) -> str:
    name = _name(incident) or f"an incident without a name ({', '.join(_components(incident)[:3])})"
    impact = incident.get("impact", incident.get("severity"))
    return f"{name} ({_text(impact, 40).lower()})" if isinstance(impact, str) and impact else name


PROBE = ProviderStatusProbe()
