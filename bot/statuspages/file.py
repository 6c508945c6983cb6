"""The pages as files in a folder, for any web server or bucket: each is written whole, or not at all."""

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.domain.publication import PublicIncident, PublicView
from bot.errors import Forbidden, Unreachable
from bot.ports import Http, StatusPage
from bot.settings import Settings
from bot.site.api import StatusApi
from bot.site.pages import Places, Site

_INDEX = Places(home="index.html", style="style.css", feed="feed.atom", incident="incidents/{}.html")
_INCIDENT = Places(home="../index.html", style="../style.css", feed="../feed.atom", incident="{}.html")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Writes ``site`` into ``folder``, which is made where it is not there."""

    site: Site
    folder: Path
    name: str = "file"
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
        """Raises Unreachable where the disk does not take it just now, Forbidden where the folder is not ours."""
        try:
            # incidents that are published at once write the same files
            async with self.turn:
                await asyncio.to_thread(self._write, incident, view)
        except PermissionError as error:
            told = "let the bot write there, then `mistral-bot deliveries retry`"
            raise Forbidden(f"the folder of the status page cannot be written to: {error.strerror}; {told}") from error
        except OSError as error:
            raise Unreachable(f"the status page cannot be written: {error.strerror}") from error
        return incident.slug

    def link(self, incident: PublicIncident, known: str | None) -> str | None:
        return None

    def _write(self, incident: PublicIncident, view: PublicView) -> None:
        for name, text in self._files(incident, view):
            _put(self.folder / name, text.encode())

    def _files(self, incident: PublicIncident, view: PublicView) -> Iterator[tuple[str, str]]:
        """What a page links to comes before it. An incident whose file is missing, as after a move, is written too."""
        yield "style.css", self.site.style()
        for one in view.incidents:
            name = f"incidents/{one.slug}.html"
            if one.slug == incident.slug or not (self.folder / name).exists():
                yield name, self.site.incident(one, _INCIDENT)
        if incident not in view.incidents:
            yield f"incidents/{incident.slug}.html", self.site.incident(incident, _INCIDENT)
        yield "feed.atom", self.site.feed(view, _INDEX)
        api = StatusApi(self.site.page, view)
        for name, made in (
            ("summary", api.summary),
            ("status", api.status),
            ("components", api.components),
            ("incidents", api.incidents),
            ("incidents/unresolved", api.unresolved),
        ):
            yield f"api/v2/{name}.json", json.dumps(made(), ensure_ascii=False)
        yield "index.html", self.site.index(view, _INDEX)


def _put(path: Path, content: bytes) -> None:
    """Whoever reads it meanwhile finds the old file or the new one."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # in containers that share a folder the processes' numbers are the same
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _make(settings: Settings, http: Http) -> StatusPage | None:
    page = settings.status_page
    if page.folder is None:
        return None
    # the URL is that of the bot's own page, which is not there
    shown = page if page.builtin else replace(page, url=None)
    return Folder(site=Site(page=shown, folder=settings.templates_dir), folder=page.folder)


STATUS_PAGE = _make
