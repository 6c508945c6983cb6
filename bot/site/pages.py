"""The public pages and their feed: HTML and Atom from ``templates/statuspage``, in which every value is text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, StrictUndefined, TemplateError
from markupsafe import Markup, escape

from bot import errors
from bot.domain.publication import ComponentState, PublicIncident, PublicView
from bot.filters import duration
from bot.render import environment_for, loader
from bot.settings import StatusPageSettings

# What XML 1.0 cannot hold, and the marks that turn the direction of text around.
_UNSEEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_WORDS: Mapping[ComponentState, str] = {
    ComponentState.OPERATIONAL: "Working",
    ComponentState.MAINTENANCE: "Under maintenance",
    ComponentState.DEGRADED: "Degraded",
    ComponentState.PARTIAL: "Partly down",
    ComponentState.MAJOR: "Down",
}
_BANNERS: Mapping[ComponentState, str] = {
    ComponentState.OPERATIONAL: "Everything is working",
    ComponentState.MAINTENANCE: "Maintenance is under way",
    ComponentState.DEGRADED: "Some services are degraded",
    ComponentState.PARTIAL: "Some services are partly down",
    ComponentState.MAJOR: "Some services are down",
}
# A feed tells what is new; whoever wants all of it has the pages.
_FED = 50


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things stand as seen from one page, so that it works behind any prefix and as a file.

    ``incident`` holds ``{}`` where the slug goes; ``older`` None: there is no page of older incidents.
    """

    home: str
    style: str
    feed: str
    incident: str
    older: str | None = None


@dataclass(frozen=True, kw_only=True)
class Site:
    """The pages by the settings; ``folder`` of templates is looked in first. Raises TemplateError of bot.errors."""

    page: StatusPageSettings
    folder: Path | None = None

    def index(self, view: PublicView, places: Places) -> str:
        """The page that everybody looks at."""
        held = [one for one in view.incidents if one.open]
        worst = max(view.states.values(), key=_ORDER.index, default=ComponentState.OPERATIONAL)
        banner = "There is an incident" if held and worst is ComponentState.OPERATIONAL else _BANNERS[worst]
        context = {
            "banner": banner,
            "worst": worst,
            "states": view.states,
            "open": held,
            "months": months(one for one in view.incidents if not one.open),
        }
        return self._render("index.html", places, context)

    def history(self, incidents: Sequence[PublicIncident], places: Places) -> str:
        """Older incidents by month."""
        return self._render("history.html", places, {"months": months(incidents)})

    def incident(self, incident: PublicIncident, places: Places) -> str:
        return self._render("incident.html", places, {"incident": incident})

    def missing(self, places: Places) -> str:
        """The page for what is not there."""
        return self._render("missing.html", places, {})

    def feed(self, view: PublicView, places: Places) -> str:
        """Atom, RFC 4287: an entry an incident, the newest first."""
        held = sorted(view.incidents, key=lambda one: one.updated_at, reverse=True)[:_FED]
        host = urlsplit(self.page.url or "").hostname or "status.invalid"
        context = {"incidents": held, "updated": held[0].updated_at if held else None, "authority": host}
        return self._render("feed.xml", places, context)

    def style(self) -> str:
        return self._render("style.css", None, {})

    def _render(self, name: str, places: Places | None, context: Mapping[str, Any]) -> str:
        known = {"page": self.page, "places": places, "words": _WORDS}
        try:
            return environment(self.folder).get_template(f"statuspage/{name}").render({**known, **context})
        except (TemplateError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise errors.TemplateError(f"the template statuspage/{name} cannot be rendered: {error}") from error


_ORDER = list(ComponentState)


@cache
def environment(folder: Path | None) -> Environment:
    """Made when the first page is asked for: a bot that is idle serves none."""
    made = environment_for(folder)(
        loader=loader(folder),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=_when, day=_day, iso=_iso, duration=duration, slot=_slot)
    return made


def months(incidents: Iterable[PublicIncident]) -> list[tuple[str, list[PublicIncident]]]:
    """Incidents by the month in which they began, such as ``July 2026``, in the order in which they come."""
    return [(name, list(held)) for name, held in groupby(incidents, lambda one: f"{one.began_at:%B %Y}")]


def _seen(value: object) -> object:
    """Text without characters that nobody sees."""
    if isinstance(value, Markup):
        return value
    return _UNSEEN.sub("\u00b7", value.replace("\r\n", "\n")) if isinstance(value, str) else value


def _when(at: datetime) -> Markup:
    """A moment for people and programs."""
    shown = f"{at.day} {at:%B %Y, %H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(escape(_iso(at)), shown)


def _day(at: datetime) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%d}", f"{at.day} {at:%B}")


def _iso(at: datetime) -> str:
    """RFC 3339, to the second."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _slot(pattern: str, slug: str) -> str:
    # not format: an address may hold braces of its own
    return pattern.replace("{}", slug)
