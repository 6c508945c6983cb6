"""The public status page over HTTP: pages, feed, and Statuspage's API v2; no cookies, no scripts, nothing internal."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bot.domain.publication import PublicIncident, PublicView
from bot.errors import StoreError, TemplateError
from bot.handlers.public import LISTED, public_view
from bot.ports import Publications
from bot.settings import StatusPageSettings
from bot.site.api import StatusApi
from bot.site.pages import Places, Site
from bot.web.status_cache import Answer, Rendered, StatusCache

logger = logging.getLogger(__name__)

_HTML, _ATOM, _JSON, _CSS = "text/html", "application/atom+xml", "application/json", "text/css"
_SLUG = re.compile("[0-9a-f]{12}")
# Accepted, and not with a weight of nothing.
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")
# Incidents that are looked up by their slugs at once: whoever asks for many that are not there, as anybody can, must
# not take the database from what the bot does meanwhile.
_LOOKUPS = 2
# Browsers and caches on the way may hold it so long, and longer while the bot is away.
_CACHING = "public, max-age=0, s-maxage=1, stale-while-revalidate=10, stale-if-error=3600"
_HOME = Places(
    home="status",
    style="status/style.css",
    feed="status/feed.atom",
    incident="status/incidents/{}",
    older="status/history",
)
_INCIDENT = Places(home="../../status", style="../style.css", feed="../feed.atom", incident="{}")
_HISTORY = Places(home="../status", style="style.css", feed="feed.atom", incident="incidents/{}")
_FEED = Places(home="../status", style="style.css", feed="feed.atom", incident="incidents/{}")
_API = ("summary", "status", "components", "incidents", "unresolved")


class StatusRoutes:
    """``components``: what the page lists; ``folder`` of templates is looked in first."""

    def __init__(
        self,
        store: Publications,
        page: StatusPageSettings,
        components: Sequence[str],
        folder: Path | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._page, self._components = store, page, components
        self._site = Site(page=page, folder=folder)
        self._cache = StatusCache(store, monotonic=monotonic)
        self._view: tuple[tuple[int, int] | None, PublicView] | None = None
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._headers = {kind: _headers(kind, page) for kind in (_HTML, _ATOM, _JSON, _CSS)}

    def add_to(self, routes: web.Application) -> None:
        add = routes.router.add_get
        add("/status", self._answering(_HTML, self._index))
        add("/status/", _moved)
        add("/status/history", self._answering(_HTML, self._history))
        add("/status/incidents/{slug}", self._answering(_HTML, self._incident))
        add("/status/style.css", self._answering(_CSS, self._style))
        add("/status/feed.atom", self._answering(_ATOM, self._feed))
        for name in _API:
            path = "incidents/unresolved" if name == "unresolved" else name
            add(f"/api/v2/{path}.json", self._answering(_JSON, self._api(name)))

    def _answering(
        self, kind: str, make: Callable[[web.Request], Awaitable[Rendered]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        headers = self._headers[kind]

        async def answer(request: web.Request) -> web.StreamResponse:
            key = _key(request)
            held = self._cache.held(key)
            if held is None:
                try:
                    held = await self._cache.get(key, lambda: make(request))
                except StoreError:
                    return _sorry(503, "The status page cannot be read just now; try again in a minute.\n")
                except TemplateError as error:
                    logger.error("the status page is not shown: %s", error)
                    return _sorry(500, "The status page cannot be shown; its operator's log says why.\n")
            return _response(request, held, headers)

        return answer

    async def _index(self, _: web.Request) -> Rendered:
        view = await self._seen()
        places = _HOME if len(_ended(view.incidents)) == LISTED else _without_older(_HOME)
        return await _rendered(self._site.index, view, places)

    async def _history(self, request: web.Request) -> Rendered:
        """The ended incidents before the one that ``before`` names, else before the first page's."""
        before = request.query.get("before", "")
        if before:
            since = await self._called(before)
            if since is None:
                return await self._missing(_HISTORY)
        else:
            since = next(reversed(_ended((await self._seen()).incidents)), None)
        held = [] if since is None else await self._store.public_incidents(limit=LISTED, since=since)
        older = f"history?before={held[-1].slug}" if len(held) == LISTED else None
        places = Places(**{**vars(_HISTORY), "older": older})
        return await _rendered(self._site.history, _ended(held), places)

    async def _incident(self, request: web.Request) -> Rendered:
        found = await self._called(request.match_info["slug"])
        if found is None:
            return await self._missing(_INCIDENT)
        return await _rendered(self._site.incident, found, _INCIDENT)

    async def _style(self, _: web.Request) -> Rendered:
        return await _rendered(self._site.style)

    async def _feed(self, _: web.Request) -> Rendered:
        # a reader keeps what it has fetched, far from the page: where the page's address is known, it is whole
        base = self._page.url
        places = _FEED if base is None else _absolute(base)
        return await _rendered(self._site.feed, await self._seen(), places)

    def _api(self, name: str) -> Callable[[web.Request], Awaitable[Rendered]]:
        async def make(_: web.Request) -> Rendered:
            api = StatusApi(self._page, await self._seen())
            return await _rendered(lambda: json.dumps(getattr(api, name)(), ensure_ascii=False))

        return make

    async def _missing(self, places: Places) -> Rendered:
        page = await _rendered(self._site.missing, places)
        return Rendered(text=page.text, status=404)

    async def _called(self, slug: str) -> PublicIncident | None:
        if not _SLUG.fullmatch(slug):
            return None
        held = next((one for one in (await self._seen()).incidents if one.slug == slug), None)
        if held is not None:
            return held
        async with self._lookups:
            return await self._store.public_called(slug)

    async def _seen(self) -> PublicView:
        """One reading for all the pages that are rendered after a change."""
        version = self._cache.version
        if self._view is None or version is None or self._view[0] != version:
            self._view = (version, await public_view(self._store, self._components))
        return self._view[1]


async def _rendered(make: Callable[..., str], *given: Any) -> Rendered:
    """Beside the loop: the largest page takes some hundredths of a second."""
    return Rendered(text=await asyncio.to_thread(make, *given))


def _response(request: web.Request, held: Answer, headers: Mapping[str, str]) -> web.Response:
    packed = held.packed is not None and bool(_GZIP.search(request.headers.get("Accept-Encoding", "")))
    etag = f'"{held.etag}-gz"' if packed else f'"{held.etag}"'
    if held.status == 200 and etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={**headers, "ETag": etag})
    told = {**headers, "ETag": etag}
    if packed:
        told["Content-Encoding"] = "gzip"
    return web.Response(body=held.packed if packed else held.body, status=held.status, headers=told)


def _headers(kind: str, page: StatusPageSettings) -> Mapping[str, str]:
    images = "'self'"
    if page.logo is not None:
        parts = urlsplit(page.logo)
        images += f" {parts.scheme}://{parts.netloc}"
    told = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Cache-Control": _CACHING,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'self'; img-src {images}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    }
    if kind in (_JSON, _ATOM):
        told["Access-Control-Allow-Origin"] = "*"
    return told


def _key(request: web.Request) -> str:
    """What tells one answer from another: of a query, which may hold anything, what the history is asked for."""
    before = request.query.get("before") if request.path == "/status/history" else None
    return f"{request.path}?before={before}" if before else request.path


def _sorry(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=sentence, headers={"Cache-Control": "no-store", "Retry-After": "30"})


async def _moved(_: web.Request) -> web.StreamResponse:
    return web.Response(status=301, headers={"Location": "../status"})


def _ended(incidents: Sequence[PublicIncident]) -> list[PublicIncident]:
    return [one for one in incidents if not one.open]


def _without_older(places: Places) -> Places:
    return Places(**{**vars(places), "older": None})


def _absolute(base: str) -> Places:
    whole = f"{base}/status"
    return Places(
        home=whole, style=f"{whole}/style.css", feed=f"{whole}/feed.atom", incident=f"{whole}/incidents/" + "{}"
    )
