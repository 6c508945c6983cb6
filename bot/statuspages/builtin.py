"""The bot's own page, which is read from the database: what is stored is published."""

from dataclasses import dataclass

from bot.domain.publication import PublicIncident, PublicView
from bot.ports import Http, StatusPage
from bot.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Builtin:
    """``url``: the page as the public reaches it; None: it is not known."""

    url: str | None
    name: str = "builtin"

    async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
        return incident.slug

    def link(self, incident: PublicIncident, known: str | None) -> str | None:
        return None if self.url is None else f"{self.url}/status/incidents/{incident.slug}"


def _make(settings: Settings, http: Http) -> StatusPage | None:
    return Builtin(url=settings.status_page.url) if settings.status_page.builtin else None


STATUS_PAGE = _make
