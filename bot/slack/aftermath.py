"""What people ask for after an incident, by command, button and form: evidence, postmortem, action items, figures."""

from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.slack import actions, parse, postmortem
from bot.slack.actions import SlackActions
from bot.slack.evidence import SlackEvidence
from bot.slack.metrics import SlackMetrics
from bot.slack.place import Place
from bot.slack.postmortem import SlackPostmortem

BUTTONS = ("postmortem", "publish_postmortem", "action", "action_done", "action_edit")
FORMS = (postmortem.FORM, actions.FORM)


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    evidence: SlackEvidence
    postmortem: SlackPostmortem
    actions: SlackActions
    metrics: SlackMetrics

    async def command(self, place: Place, asked: parse.Afterwards, request: str) -> None:
        match asked.verb:
            case "evidence":
                await self.evidence.command(place, asked, request)
            case "postmortem":
                await self.postmortem.command(place, asked)
            case "action":
                about = await self.postmortem.meant(place, asked)
                await self.actions.add(place, asked, about, request)
            case "actions":
                await self.actions.list(place, asked.number)
            case _:
                await self.metrics.show(place, asked.text)

    async def click(self, place: Place, name: str, value: str, request: str) -> None:
        """A button of BUTTONS; ``value`` is an incident's number, or an action item's."""
        number = int(value)
        match name:
            case "postmortem":
                await self.postmortem.review(place, number)
            case "publish_postmortem":
                await self.postmortem.publish(place, number, request)
            case "action":
                await self.actions.open_new(place, number)
            case "action_done":
                await self.actions.done(place, number, request)
            case _:
                await self.actions.open_one(place, number)

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form of FORMS."""
        form = self.postmortem if view["callback_id"] == postmortem.FORM else self.actions
        await form.submitted(ack, body, view)
