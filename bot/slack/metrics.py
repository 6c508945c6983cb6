"""``/mistral metrics``: a table of what the last incidents say together, with a chart in its thread."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from bot.domain.incident import Refusal
from bot.domain.insight import SPANS
from bot.domain.spans import span_of
from bot.errors import BotError
from bot.handlers.insight import InsightHandler
from bot.ports import Charts, File, Reply
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)

_USUAL, _MOST = timedelta(days=30), timedelta(days=3660)


@dataclass(frozen=True, kw_only=True)
class SlackMetrics:
    handler: InsightHandler
    incidents: SlackIncidents
    charts: Charts
    messenger: SlackMessenger

    async def show(self, place: Place, text: str) -> None:
        """In the channel, where others read it too."""
        await self.incidents.may_read(place.user)
        span = span_of(text, _MOST) if text else _USUAL
        if span is None or span < timedelta(days=1):
            raise Refusal("Say over how long: `/mistral metrics 30d`, 12w or 1y.")
        held = await self.handler.over(span)
        context = {
            "insight": held,
            "days": span.days,
            "spans": [(name, f"from {first} to {then}", held.spans[name]) for name, (first, then) in SPANS.items()],
        }
        message = await self.messenger.post(place.channel, Reply(template="metrics", context=context))
        if not held.incidents:
            return
        stacks = {name: [week[name] for week in held.by_week.values()] for name in held.by_severity}
        labels = [day[5:] for day in held.by_week]
        try:
            png = await self.charts.bars("Incidents by the week in which they began", labels, stacks)
            await self.messenger.upload(message, File(name="incidents.png", title="Incidents by week", content=png))
        except BotError as error:
            logger.warning("the chart of the metrics was not shown: %s", error)
