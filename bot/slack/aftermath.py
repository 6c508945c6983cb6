"""What people ask for after an incident, by command, button and form: evidence, postmortem, action items, figures."""

from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.slack import parse
from bot.slack.evidence import SlackEvidence
from bot.slack.place import Place

BUTTONS: tuple[str, ...] = ()
FORMS: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    evidence: SlackEvidence

    async def command(self, place: Place, asked: parse.Afterwards, request: str) -> None:
        match asked.verb:
            case "evidence":
                await self.evidence.command(place, asked, request)

    async def click(self, place: Place, name: str, value: str, request: str) -> None:
        """A button of BUTTONS."""

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form of FORMS."""
        await ack()
