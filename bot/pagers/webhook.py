"""A plain webhook: posts ``{action, id, title, severity, status, target, declared_at}`` to PAGER_WEBHOOK_URL."""

from dataclasses import dataclass

from bot.domain.incident import Incident
from bot.errors import BadAnswer, Forbidden, Unreachable
from bot.ports import Http, Pager
from bot.settings import Settings
from bot.variables import Secret

_TIMEOUT_S = 10.0
_LATER = (408, 425, 429)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    http: Http
    url: Secret
    name: str = "webhook"

    async def page(self, action: str, incident: Incident) -> None:
        told = {
            "action": action,
            "id": incident.id,
            "title": incident.title,
            "severity": incident.severity,
            "status": incident.status,
            "target": incident.target,
            "declared_at": incident.declared_at.isoformat(),
        }
        exchange = await self.http.fetch("POST", self.url.reveal(), timeout_s=_TIMEOUT_S, json=told)
        if exchange.status is None:
            raise Unreachable("the pager's webhook cannot be reached")
        if exchange.status in _LATER or exchange.status >= 500:
            raise BadAnswer(f"the pager's webhook cannot take the page just now ({exchange.status})")
        if not 200 <= exchange.status <= 299:
            raise Forbidden(f"the pager's webhook refuses the page ({exchange.status}): check PAGER_WEBHOOK_URL")


def _make(settings: Settings, http: Http) -> Pager | None:
    url = settings.pager_webhook_url
    return None if url is None else Webhook(http=http, url=url)


PAGER = _make
