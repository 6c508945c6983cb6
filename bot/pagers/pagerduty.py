"""PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2): one alert follows one incident."""

from dataclasses import dataclass

from bot.domain.causes import Severity
from bot.domain.incident import Incident
from bot.errors import BadAnswer, Forbidden, Unreachable
from bot.ports import Http, Pager
from bot.settings import Settings
from bot.variables import Secret

_TIMEOUT_S = 10.0
_SEVERITIES = {Severity.P1: "critical", Severity.P2: "error", Severity.P3: "warning", Severity.P4: "info"}
_SUMMARY_CHARS = 1024


@dataclass(frozen=True, kw_only=True)
class PagerDuty:
    http: Http
    url: str
    routing_key: Secret
    name: str = "pagerduty"

    async def page(self, action: str, incident: Incident) -> None:
        event = {
            "routing_key": self.routing_key.reveal(),
            "event_action": action,
            "dedup_key": dedup_key(incident),
            "client": "mistral-incident-bot",
            "payload": {
                "summary": f"{incident.severity} {incident.name}: {incident.title}"[:_SUMMARY_CHARS],
                "source": incident.target,
                "severity": _SEVERITIES[incident.severity],
                "timestamp": incident.declared_at.isoformat(),
            },
        }
        exchange = await self.http.fetch("POST", self.url, timeout_s=_TIMEOUT_S, json=event)
        # with a status it has been answered, whatever became of the answer's text
        if exchange.status is None:
            raise Unreachable("PagerDuty cannot be reached")
        if exchange.status == 429 or exchange.status >= 500:
            raise BadAnswer(f"PagerDuty cannot take the page just now ({exchange.status})")
        if exchange.status >= 300:
            raise Forbidden(f"PagerDuty refuses the page ({exchange.status}): check PAGERDUTY_ROUTING_KEY")


def dedup_key(incident: Incident) -> str:
    """The same for all events of an incident, and another for that of another installation."""
    return f"mistral-bot-{incident.declared_at:%Y%m%dT%H%M%S}-{incident.id}"


def _make(settings: Settings, http: Http) -> Pager | None:
    key = settings.pagerduty_routing_key
    return None if key is None else PagerDuty(http=http, url=settings.pagerduty_events_url, routing_key=key)


PAGER = _make
