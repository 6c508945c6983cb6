"""The files of a postmortem: its Markdown, and the charts that it shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bot.domain.drafting import Draft, begun, ended
from bot.domain.incident import Incident
from bot.domain.traffic import history
from bot.errors import BotError, UpstreamError
from bot.handlers.postmortem import PostmortemHandler
from bot.markdown import rendered
from bot.ports import Charts, File

# What is shown before it began and after it ended.
_AROUND = timedelta(minutes=15)
_POINTS, _QUERY_S = 240, 20.0


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """``templates``: a folder that is looked in first."""

    handler: PostmortemHandler
    charts: Charts
    templates: Path | None

    async def files(self, incident: Incident, version: int) -> Sequence[File]:
        """The Markdown and its charts; raises BotError."""
        drafted = await self.handler.draft(incident.id, version)
        pictures = await self._pictures(drafted)
        shown = replace(drafted, pictures=[one.name for one in pictures])
        name = f"{incident.name}-postmortem.md" if not version else f"{incident.name}-postmortem-v{version}.md"
        title = f"Postmortem of {incident.name}"
        return [File(name=name, title=title, content=self.markdown(shown).encode()), *pictures]

    def markdown(self, drafted: Draft) -> str:
        """Raises TemplateError."""
        return rendered("postmortem.md", {"draft": drafted, "incident": drafted.incident}, folder=self.templates)

    async def _pictures(self, drafted: Draft) -> list[File]:
        """None where Prometheus has nothing to draw: a postmortem does not wait for it."""
        incident, world = drafted.incident, self.handler.prober.worlds.get(drafted.incident.target)
        if world is None or world.metrics is None:
            return []
        start = begun(incident) - _AROUND
        end = min((ended(incident) or self.handler.clock.now()) + _AROUND, self.handler.clock.now())
        step_s = max(30.0, (end - start).total_seconds() / _POINTS)
        settings = world.target.prometheus
        try:
            series = [
                await world.metrics.query_range(
                    f"sum(rate({counter}[5m]))", start=start, end=end, step_s=step_s, timeout_s=_QUERY_S
                )
                for counter in (settings.errors, settings.requests)
            ]
            errors, requests = ([point for one in held for point in one.points] for held in series)
            shares = [(point.at, 100 * point.ratio) for point in history(errors, requests)]
            if not shares:
                return []
            marks = [(at, milestone.value) for milestone, at in incident.milestones.items()]
            png = await self.charts.lines("Requests that fail", {"": shares}, unit="%", marks=marks)
        except (UpstreamError, BotError):
            return []
        name = f"{incident.name}-share-of-errors.png"
        return [File(name=name, title="Requests that fail", content=png)]
