"""The form that declares an incident. What is submitted is stored before Slack is told to close the form.

So that nothing that somebody typed is lost, whatever the database does: the form stays open and says why. Submitting
twice is safe, since the form's own id is the request's key.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import TITLE_CHARS, Refusal
from bot.domain.policy import Act
from bot.errors import BotError
from bot.handlers.incident import IncidentHandler
from bot.ports import Reply
from bot.settings import DEFAULT_TARGET
from bot.slack.form_parts import SEVERITIES, kept_report, stored, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Forms:
    """``channel``: where incidents are announced; None: where they are declared."""

    handler: IncidentHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    channel: str | None
    components: tuple[str, ...]

    async def declare(self, place: Place, triage: str | None, typed: str = "") -> None:
        """Opens the form, filled in from the triage with that id, or with what was ``typed`` after the command."""
        await self.incidents.allowed(Act.DECLARE, place.user)
        report = await kept_report(self.handler.store, triage)
        impact = ""
        if report.get("severity") in ("P1", "P2", "P3"):
            impact = str(report.get("headline", ""))
        title = " ".join(typed.split()) or str(report.get("title") or report.get("headline", ""))
        if len(title) > TITLE_CHARS and typed:
            impact = typed
        context = {
            "metadata": {
                "channel": place.channel,
                "target": report.get("target", DEFAULT_TARGET),
                "cause": report.get("cause"),
                "alert_key": report.get("alert_key"),
                "first_alert": report.get("first_alert"),
            },
            "title": title[:TITLE_CHARS],
            "severity": report.get("severity"),
            "severities": SEVERITIES,
            "impact": impact,
            "action": "; ".join(str(step) for step in report.get("advice", ())[:1]),
            "commander": place.user,
            "components": list(self.components),
        }
        await self._open(place, Reply(template="incident_modal", context=context))

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form was sent: does what it says, and only then lets Slack close it."""
        told, user = values(view), str(body["user"]["id"])
        metadata = json.loads(view.get("private_metadata") or "{}")
        request = f"view:{view['id']}"
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        if sentence := await stored(ack, self._declared(told, metadata, place, request), "title"):
            await self._whisper(place, sentence)

    async def _declared(self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str) -> str:
        await self.incidents.allowed(Act.DECLARE, place.user)
        began = metadata.get("first_alert")
        declaration = Declaration(
            target=str(metadata.get("target") or DEFAULT_TARGET),
            title=str(told.get("title") or ""),
            severity=Severity(told["severity"]),
            impact=str(told.get("impact") or ""),
            action=str(told.get("action") or ""),
            commander=told.get("commander"),
            components=tuple(told.get("components") or ()),
            cause=metadata.get("cause"),
            channel=self.channel or place.channel,
            first_alert=datetime.fromisoformat(began) if began else None,
            alert_key=metadata.get("alert_key"),
        )
        made = await self.handler.declare(declaration, place.user, request)
        return f"{made.name} is declared; its card is in <#{made.home}>."

    async def _open(self, place: Place, form: Reply) -> str:
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        return await self.messenger.open_view(place.trigger_id, form)

    async def _whisper(self, place: Place, sentence: str) -> None:
        try:
            await self.messenger.tell(place, sentence)
        except BotError as error:
            logger.warning("nobody was told %r: %s", sentence, error)
