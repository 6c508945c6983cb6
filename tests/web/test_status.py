"""The public status page over real HTTP, from a real store: what is published shows at once, and nothing else does."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot.clients.http import HttpClient
from bot.domain.publication import ComponentState, Impact, PublicIncident, PublicStatus, PublicView
from bot.domain.signals import ProviderStatus, Verdict
from bot.probes.provider_status import PROBE
from bot.settings import Limits, Network, StatusPageSettings
from bot.site.pages import Places, Site
from bot.store.sql import SqlStore
from bot.web import status_cache
from bot.web.routes import Readiness, application
from bot.web.status import StatusRoutes
from bot.web.status_cache import FRESH_S
from tests.databases import copy_of, store_at
from tests.fakes import FakeClock, probe_run
from tests.public import COMPONENTS, published

PAGE = StatusPageSettings(name="Acme Status", logo="https://logos.acme.example/one.svg")
API = [f"/api/v2/{name}.json" for name in ("summary", "status", "components", "incidents", "incidents/unresolved")]
KIND_OF = {
    "/status": "text/html; charset=utf-8",
    "/status/history": "text/html; charset=utf-8",
    "/status/style.css": "text/css; charset=utf-8",
    "/status/feed.atom": "application/atom+xml; charset=utf-8",
    **dict.fromkeys(API, "application/json; charset=utf-8"),
}


class Counted(SqlStore):
    """Counts what the page asks of the database."""

    versions = readings = 0

    async def public_version(self) -> tuple[int, int]:
        self.versions += 1
        return await super().public_version()

    async def public_incidents(
        self, *, open_only: bool = False, limit: int, since: PublicIncident | None = None
    ) -> Sequence[PublicIncident]:
        self.readings += 1
        return await super().public_incidents(open_only=open_only, limit=limit, since=since)


class Looker:
    """Somebody who looks at one bot's page, whose clock only this moves: a machine that stands still ages nothing."""

    def __init__(self, session: aiohttp.ClientSession, server: TestServer, clock: FakeClock) -> None:
        self.session, self.server, self.clock = session, server, clock

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.server.make_url(path), headers=told) as answer:
            return answer, await answer.text()

    async def json(self, path: str) -> Any:
        return json.loads((await self.get(path))[1])

    async def sees(self, text: str, path: str = "/status") -> None:
        """Looks a second later."""
        self.clock.advance(1)
        assert text in (await self.get(path))[1], f"{path} does not show {text}"


@asynccontextmanager
async def looking(
    store: SqlStore, page: StatusPageSettings | None = PAGE, folder: Path | None = None
) -> AsyncIterator[Looker]:
    """``page`` None: it is switched off."""
    clock = FakeClock()
    status = None if page is None else StatusRoutes(store, page, COMPONENTS, folder, monotonic=clock.monotonic)
    server = TestServer(application(Readiness(), None, None, status))
    await server.start_server()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=250)) as session:
            yield Looker(session, server, clock)
    finally:
        await server.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database on a machine that stands still is waited for: who is shown what there was would see no update."""
    monkeypatch.setattr(status_cache, "_PATIENCE_S", 30)


@pytest.fixture
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Counted]:
    held = Counted(store_at(copy_of("SQLite", tmp_path, request)).engine)
    yield held
    await held.close()


@pytest.fixture
async def looker(store: Counted) -> AsyncIterator[Looker]:
    async with looking(store) as held:
        yield held


async def slug_of(store: SqlStore) -> str:
    return (await store.public_incidents(limit=1))[0].slug


@pytest.mark.parametrize("path", KIND_OF)
async def test_everything_is_served_to_anybody_with_no_cookie_and_no_script(looker: Looker, path: str) -> None:
    answer, text = await looker.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, KIND_OF[path])
    assert "Set-Cookie" not in answer.headers
    assert "<script" not in text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' https://logos.acme.example",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    shared = answer.headers.get("Access-Control-Allow-Origin")
    assert shared == ("*" if path in API or path.endswith("atom") else None)


async def test_what_is_published_shows_in_all_forms_and_so_does_its_end(store: Counted, looker: Looker) -> None:
    assert "Everything is working" in (await looker.get("/status"))[1]
    incident = await published(store, title="Slow answers", text="One line.\nAnother.", workaround="Ask again.")
    slug = await slug_of(store)
    for path in ("/status", f"/status/incidents/{slug}", "/status/feed.atom", "/api/v2/summary.json"):
        await looker.sees("Slow answers", path)
        await looker.sees("Ask again.", path)
    summary = await looker.json("/api/v2/summary.json")
    assert summary["status"]["indicator"] == "minor"
    assert [one["status"] for one in summary["components"] if one["name"] == "Chat"] == ["degraded_performance"]
    assert [one["id"] for one in (await looker.json("/api/v2/incidents/unresolved.json"))["incidents"]] == [slug]
    await published(store, title="Slow answers", text="Over.", status=PublicStatus.RESOLVED, incident=incident)
    await looker.sees('"incidents": []', "/api/v2/incidents/unresolved.json")
    assert (await looker.json("/api/v2/status.json"))["status"]["indicator"] == "none"
    text = (await looker.get("/status"))[1]
    assert "Everything is working" in text
    assert f"incidents/{slug}" in text, "it is in the history"


async def test_a_postmortem_and_all_updates_before_it_are_on_the_incidents_page(store: Counted, looker: Looker) -> None:
    incident = None
    for status in PublicStatus:
        incident = await published(store, text=f"This is {status}.", status=status, incident=incident)
    text = (await looker.get(f"/status/incidents/{await slug_of(store)}"))[1]
    places = [text.index(f"This is {status}.") for status in PublicStatus]
    assert places == sorted(places, reverse=True), "the newest first"


async def test_nothing_internal_is_on_any_page(store: Counted, looker: Looker) -> None:
    incident = await published(store)
    await published(store, status=PublicStatus.RESOLVED, incident=incident)
    slug = await slug_of(store)
    for path in (*KIND_OF, f"/status/incidents/{slug}", f"/status/history?before={slug}"):
        answer, text = await looker.get(path)
        assert answer.status == 200
        for planted in ("INTERNAL", "U0", "C0", "Completions fail", incident.name):
            assert planted not in text, path


async def test_a_browser_that_has_the_page_is_told_so_until_there_is_an_update(store: Counted, looker: Looker) -> None:
    for encoding in ("identity", "gzip"):
        first, text = await looker.get("/status", Accept_Encoding=encoding)
        etag = first.headers["ETag"]
        assert not etag.startswith("W/")
        again, nothing = await looker.get("/status", Accept_Encoding=encoding, If_None_Match=f'"other", {etag}')
        assert (again.status, nothing, again.headers["ETag"]) == (304, "", etag)
        await published(store, title=f"Seen by {encoding}")
        await looker.sees(f"Seen by {encoding}")
        changed, text = await looker.get("/status", Accept_Encoding=encoding, If_None_Match=etag)
        assert changed.status == 200
        assert f"Seen by {encoding}" in text
        assert changed.headers["ETag"] != etag


async def test_gzip_and_plain_are_the_same_page_with_an_etag_each(store: Counted, looker: Looker) -> None:
    await published(store)
    plain, text = await looker.get("/status", Accept_Encoding="identity")
    packed, unpacked = await looker.get("/status", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert text == unpacked
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("br, gzip;q=0.8", True),
        ("gzip;q=0.01, *", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, identity", False),
    ],
)
async def test_what_the_browser_does_not_take_is_not_sent(
    store: Counted, looker: Looker, accepted: str, packed: bool
) -> None:
    await published(store)
    assert ("Content-Encoding" in (await looker.get("/status", Accept_Encoding=accepted))[0].headers) is packed


@pytest.mark.parametrize("url", ["https://acme.example", "https://acme.example/some/where", "https://acme.example/{a}"])
async def test_the_feed_leads_to_the_page_as_the_public_reaches_it(store: Counted, url: str) -> None:
    await published(store)
    async with looking(store, replace(PAGE, url=url)) as looker:
        answer, text = await looker.get("/status/feed.atom")
        links = set(re.findall('href="([^"]+)"', text))
        slug = await slug_of(store)
        assert answer.status == 200
        assert links == {f"{url}/status{end}" for end in ("", "/feed.atom", f"/incidents/{slug}")}


@pytest.mark.parametrize("path", KIND_OF)
async def test_head_tells_the_same_as_get_without_a_body(looker: Looker, path: str) -> None:
    got, text = await looker.get(path)
    head, nothing = await looker.get(path, method="HEAD")
    assert (head.status, nothing) == (200, "")
    held = [dict(one.headers) for one in (got, head)]
    for one in held:
        del one["Date"]
    assert held[0] == held[1]
    assert text


@pytest.mark.parametrize("slug", ["0123456789ab", "1", "..%2f..%2fetc", "%00", "x" * 5000, "<script>"])
async def test_an_incident_that_never_was_is_not_found(looker: Looker, slug: str) -> None:
    answer, text = await looker.get(f"/status/incidents/{slug}")
    assert answer.status == 404
    assert "There is nothing here" in text
    assert "<script" not in text


async def test_switched_off_there_is_nothing(store: Counted) -> None:
    async with looking(store, None) as looker:
        for path in KIND_OF:
            assert (await looker.get(path))[0].status == 404


async def test_two_hundred_who_look_at_once_after_an_update_cost_one_rendering(
    store: Counted, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = 0
    render = Site.index

    def counted(site: Site, view: PublicView, places: Places) -> str:
        nonlocal rendered
        rendered += 1
        return render(site, view, places)

    monkeypatch.setattr(Site, "index", counted)
    await looker.get("/status")
    await published(store, title="Everybody looks")
    looker.clock.advance(FRESH_S)
    store.readings = store.versions = rendered = 0
    seen = await asyncio.gather(*(looker.get("/status") for _ in range(200)))
    assert all("Everybody looks" in text for _, text in seen)
    assert rendered == 1
    # what is open, and what is over
    assert store.readings == 2
    assert store.versions == 1


async def test_an_operators_template_that_is_wrong_is_told_in_the_log_and_to_nobody_else(
    store: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mine" / "statuspage"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("{{ secret_of_mine.value }}")
    (folder / "style.css").write_text("body { color: rebeccapurple }")
    async with looking(store, PAGE, folder.parent) as looker:
        answer, text = await looker.get("/status")
        assert answer.status == 500
        assert text == "The status page cannot be shown; its operator's log says why.\n"
        assert "secret_of_mine" in caplog.text
        assert (await looker.get("/status/style.css"))[1] == "body { color: rebeccapurple }"
        assert (await looker.get("/status/history"))[0].status == 200


async def test_a_client_that_reads_statuspage_reads_ours(store: Counted, looker: Looker) -> None:
    """The bot's own probe of a provider's page."""
    usual, http = probe_run().target, HttpClient(Network(), Limits().response_bytes)
    mistral = replace(usual.mistral, status_url=str(looker.server.make_url("")).rstrip("/"))
    run = probe_run(target=replace(usual, mistral=mistral), http=http)
    try:
        before = await PROBE.check(run)
        await published(store, title="API errors", impact=Impact.CRITICAL, components={"Search": ComponentState.MAJOR})
        await looker.sees("API errors", "/api/v2/summary.json")
        after = await PROBE.check(run)
    finally:
        await http.close()
    assert (before.verdict, before.signal) == (Verdict.OK, ProviderStatus(indicator="none", incidents=()))
    assert after.verdict is Verdict.BAD
    assert after.signal == ProviderStatus(indicator="critical", incidents=("API errors (critical)",))
