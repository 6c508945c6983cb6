"""The files of a postmortem: its Markdown, and the charts that it shows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bot.domain.drafting import SECTIONS, Draft, begun, ended
from bot.domain.incident import Incident
from bot.domain.traffic import history
from bot.errors import BotError, UpstreamError
from bot.handlers.postmortem import PostmortemHandler
from bot.markdown import rendered, unescaped
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
        # at once: one after the other, a Prometheus that hangs would take longer than there is to publish it
        drafted, pictures = await asyncio.gather(self.handler.draft(incident.id, version), self._pictures(incident))
        shown = replace(drafted, pictures=[one.name for one in pictures])
        name = f"{incident.name}-postmortem.md" if not version else f"{incident.name}-postmortem-v{version}.md"
        title = f"Postmortem of {incident.name}"
        return [File(name=name, title=title, content=self.markdown(shown).encode()), *pictures]

    def markdown(self, drafted: Draft) -> str:
        """Raises TemplateError."""
        return rendered("postmortem.md", {"draft": drafted, "incident": drafted.incident}, folder=self.templates)

    async def _pictures(self, incident: Incident) -> list[File]:
        """None where Prometheus has nothing to draw: a postmortem does not wait for it."""
        world = self.handler.prober.worlds.get(incident.target)
        if world is None or world.metrics is None:
            return []
        start = begun(incident) - _AROUND
        end = min((ended(incident) or self.handler.clock.now()) + _AROUND, self.handler.clock.now())
        step_s = max(30.0, (end - start).total_seconds() / _POINTS)
        settings = world.target.prometheus
        try:
            series = await asyncio.gather(
                *(
                    world.metrics.query_range(
                        f"sum(rate({counter}[5m]))", start=start, end=end, step_s=step_s, timeout_s=_QUERY_S
                    )
                    for counter in (settings.errors, settings.requests)
                )
            )
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


def sections_of(edited: str, shown: str) -> dict[str, str]:
    """What somebody has changed in the file that ``shown`` was, by section: the texts beneath its headings.

    Raises BotError where the file has none of the headings.
    """
    theirs, ours = _beneath(edited), _beneath(shown)
    if not theirs:
        raise BotError("the file has none of the postmortem's headings, such as ### Summary; nothing was taken from it")
    return {key: text for key, text in theirs.items() if text != ours.get(key)}


def _beneath(markdown: str) -> dict[str, str]:
    """The texts of the sections, as text; what the bot says of the root cause itself is none."""
    found: dict[str, list[str]] = {}
    key: str | None = None
    for line in markdown.splitlines():
        if line.startswith("### "):
            key = _KEYS.get(line[4:].strip().lower())
            if key is not None:
                found[key] = []
            continue
        bullet = next((one for one in _BULLETS if line.startswith(f"- {one}:")), None)
        if bullet is not None:
            found[_BULLETS[bullet]] = [line[len(bullet) + 3 :].strip()]
        elif key is not None:
            found[key].append(line)
    return {name: unescaped("\n".join(lines)) for name, lines in found.items()}


_KEYS = {SECTIONS[key].lower(): key for key in ("summary", "root_cause", "detection", "resolution", "notes")}
_BULLETS = {SECTIONS[key]: key for key in ("users", "revenue", "went_well", "improve", "lucky")}
