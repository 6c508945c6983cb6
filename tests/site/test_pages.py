"""The public pages as text: what they say, valid HTML and Atom, and whatever anybody wrote is text in them."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.publication import ComponentState, Impact, PublicIncident, PublicStatus, PublicUpdate
from bot.errors import TemplateError
from bot.settings import StatusPageSettings
from bot.site.api import StatusApi
from bot.site.pages import Places, Site
from tests.fakes import NOW
from tests.needed import fail_or_skip
from tests.public import a_view, an_incident

PAGE = StatusPageSettings(
    name="Acme Status",
    url="https://status.acme.example",
    logo="https://acme.example/logo.svg",
    links=(("Support", "https://acme.example/help?a=1&b=2"),),
)
PLACES = Places(home="status", style="status/style.css", feed="status/feed.atom", incident="status/incidents/{}")
SITE = Site(page=PAGE)
OPEN, PAST = an_incident(2), an_incident(1, ended=True, began=NOW - timedelta(days=40))
HOSTILE = "<script>alert(1)</script> \"'&amp; ]]> <!-- {{ 7*7 }} \x00\x1b[31m\u202e http://evil.example <!channel> {}"


def hostile(number: int = 3) -> PublicIncident:
    update = PublicUpdate(number=1, status=PublicStatus.IDENTIFIED, text=HOSTILE, workaround=HOSTILE, at=NOW)
    return replace(an_incident(number), title=HOSTILE, components={HOSTILE: ComponentState.MAJOR}, updates=(update,))


RENDERED: dict[str, Callable[[PublicIncident], str]] = {
    "index": lambda one: SITE.index(a_view(one, PAST), PLACES),
    "incident": lambda one: SITE.incident(one, PLACES),
    "history": lambda one: SITE.history([one, PAST], replace(PLACES, older="status/history?before=1")),
    "missing": lambda _: SITE.missing(PLACES),
}
INCIDENTS = {"usual": OPEN, "hostile": hostile(), "ended": PAST}


def tidy(html: str) -> str:
    """What HTML Tidy has to say of a page; empty: nothing."""
    if shutil.which("tidy") is None:
        fail_or_skip("HTML Tidy is needed: apt-get install tidy")
    asked = ["tidy", "-quiet", "-errors", "-utf8", "--show-body-only", "no"]
    return subprocess.run(asked, input=html.encode(), capture_output=True, check=False).stderr.decode()


@pytest.mark.parametrize("incident", INCIDENTS.values(), ids=INCIDENTS)
@pytest.mark.parametrize("page", RENDERED)
def test_every_page_is_valid_html(page: str, incident: PublicIncident) -> None:
    assert tidy(RENDERED[page](incident)) == ""


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("<h2", "<li>loose</li><h2"), ("<main", "<maim"), ("</h1>", ""), (' lang="en"', " lang"), ("<title>", "<tittle>")],
)
def test_what_is_not_valid_is_found(was: str, becomes: str) -> None:
    page = RENDERED["index"](OPEN)
    assert was in page
    assert tidy(page.replace(was, becomes, 1)) != ""


def xmllint(text: str, folder: Path) -> str:
    """What is wrong with the feed by RFC 4287, as far as it uses it; empty: nothing."""
    if shutil.which("xmllint") is None:
        fail_or_skip("xmllint is needed: apt-get install libxml2-utils")
    path = folder / "feed.atom"
    path.write_text(text)
    schema = Path(__file__).with_name("atom.rng")
    asked = ["xmllint", "--noout", "--nonet", "--relaxng", str(schema), str(path)]
    ran = subprocess.run(asked, capture_output=True, check=False)
    return "" if ran.returncode == 0 else ran.stderr.decode()


FEEDS = {
    "usual": a_view(OPEN, PAST),
    "hostile": a_view(hostile()),
    "empty": a_view(),
    "many": a_view(*[an_incident(number) for number in range(80)]),
}


@pytest.mark.parametrize("view", FEEDS.values(), ids=FEEDS)
def test_the_feed_is_valid_atom(view: object, tmp_path: Path) -> None:
    assert xmllint(SITE.feed(view, PLACES), tmp_path) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "without", ["<id>tag:.*?</id>", "<title>Acme.*?</title>", "<author>.*?</author>", "<updated>.*?</updated>"]
)
def test_a_feed_that_lacks_what_the_rfc_asks_for_is_found(without: str, tmp_path: Path) -> None:
    feed, count = re.subn(without, "", SITE.feed(a_view(OPEN), PLACES), count=1, flags=re.DOTALL)
    assert count == 1
    assert xmllint(feed, tmp_path) != ""


@pytest.mark.parametrize("page", [*RENDERED, "feed"])
def test_what_anybody_wrote_is_text(page: str) -> None:
    text = SITE.feed(a_view(hostile()), PLACES) if page == "feed" else RENDERED[page](hostile())
    assert "<script" not in text
    assert "alert(1)" in text or page == "missing"
    assert "{{ 7*7 }}" in text or page == "missing"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert '"http://evil.example' not in text, "no link is made of what people write"


def test_settings_are_text_too() -> None:
    page = StatusPageSettings(name='<b>"&', links=(("<i>", "https://a.example/?a=1&b=2"),), logo="https://a.example/'x")
    html = Site(page=page).index(a_view(OPEN), PLACES)
    assert "<b>" not in html
    assert "<i>" not in html
    assert tidy(html) == ""


@pytest.mark.parametrize(
    ("incidents", "banner"),
    [
        ((), "Everything is working"),
        ((PAST,), "Everything is working"),
        ((OPEN,), "Some services are partly down"),
        ((replace(OPEN, components={}),), "There is an incident"),
        ((replace(OPEN, components={"Chat": ComponentState.MAJOR}), OPEN), "Some services are down"),
        ((replace(OPEN, components={"Chat": ComponentState.MAINTENANCE}),), "Maintenance is under way"),
        ((replace(OPEN, components={"Chat": ComponentState.DEGRADED}),), "Some services are degraded"),
    ],
)
def test_the_banner_says_how_it_is(incidents: tuple[PublicIncident, ...], banner: str) -> None:
    html = SITE.index(a_view(*incidents), PLACES)
    assert re.search(rf"<h1[^>]*>{banner}</h1>", html)
    assert f"<title>{banner} - Acme Status</title>" in html


def test_the_first_page_tells_open_incidents_whole_and_past_ones_by_month() -> None:
    older = an_incident(4, ended=True, began=NOW - timedelta(days=45), title="Search was away")
    html = SITE.index(a_view(OPEN, PAST, older), PLACES)
    assert html.index("We know why.") < html.index("Some answers take longer"), "the newest first"
    assert "Workaround:</strong> Ask again after a minute." in html
    assert '<time datetime="2026-07-01T12:14:00Z">1 July 2026, 12:14 UTC</time>' in html
    assert re.findall(r"<h3>(\w+ \d{4})</h3>", html) == ["May 2026"]
    assert html.index("Slow answers in chat", html.index("May 2026")) < html.index("Search was away")
    assert 'href="status/incidents/000000000004"' in html
    assert "21 min" in html


def test_two_hundred_incidents_of_history_are_at_most_150_kb() -> None:
    title = "Answers in chat and search took much longer than usual for customers in Europe, or failed for some"
    held = [
        an_incident(number, ended=True, began=NOW - number * timedelta(days=2), title=f"{title} {number}")
        for number in range(1, 201)
    ]
    assert len(title) > 90
    html = SITE.index(a_view(OPEN, *held), PLACES)
    assert html.count("/incidents/") == 201
    assert len(html.encode()) <= 150_000


def test_a_folder_of_templates_is_looked_in_first_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    own = tmp_path / "statuspage"
    own.mkdir()
    (own / "missing.html").write_text("<p>Ours: {{ page.name }}</p>")
    (own / "style.css").write_text("body { color: {{ nothing }} }")
    site = Site(page=PAGE, folder=tmp_path)
    assert site.missing(PLACES) == "<p>Ours: Acme Status</p>"
    with pytest.raises(TemplateError, match=r"statuspage/style\.css"):
        site.style()


def typed(value: object) -> object:
    """The shape of a JSON value: its keys, and its types at the leaves; of a list that of what is in it."""
    if isinstance(value, dict):
        return {key: typed(held) for key, held in value.items()}
    if isinstance(value, list):
        return [typed(held) for held in value[:1]]
    return type(value).__name__


PAGE_SHAPE = dict.fromkeys(["id", "name", "url", "time_zone", "updated_at"], "str")
COMPONENT = {
    **dict.fromkeys(["id", "name", "status", "created_at", "updated_at", "page_id"], "str"),
    **dict.fromkeys(["description", "start_date", "group_id"], "NoneType"),
    **dict.fromkeys(["showcase", "group", "only_show_if_degraded"], "bool"),
    "position": "int",
}
UPDATE = {
    **dict.fromkeys(["id", "status", "body", "incident_id", "created_at", "updated_at", "display_at"], "str"),
    **dict.fromkeys(["custom_tweet", "tweet_id"], "NoneType"),
    "affected_components": [],
    "deliver_notifications": "bool",
}
INCIDENT = {
    **dict.fromkeys(["id", "name", "status", "created_at", "updated_at", "impact", "shortlink", "started_at"], "str"),
    "page_id": "str",
    "monitoring_at": "NoneType",
    "resolved_at": "NoneType",
    "incident_updates": [UPDATE],
    "components": [COMPONENT],
}
STATUS = {"indicator": "str", "description": "str"}
SHAPES = {
    "status": {"page": PAGE_SHAPE, "status": STATUS},
    "components": {"page": PAGE_SHAPE, "components": [COMPONENT]},
    "incidents": {"page": PAGE_SHAPE, "incidents": [INCIDENT]},
    "unresolved": {"page": PAGE_SHAPE, "incidents": [INCIDENT]},
    "summary": {
        "page": PAGE_SHAPE,
        "components": [COMPONENT],
        "incidents": [INCIDENT],
        "scheduled_maintenances": [],
        "status": STATUS,
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_json_has_the_shape_that_statuspages_documentation_gives(name: str) -> None:
    made = getattr(StatusApi(PAGE, a_view(OPEN, PAST)), name)()
    assert typed(json.loads(json.dumps(made))) == SHAPES[name]


def test_the_json_tells_moments_states_and_updates() -> None:
    watched = replace(
        OPEN,
        status=PublicStatus.MONITORING,
        updates=(
            *OPEN.updates,
            PublicUpdate(number=3, status=PublicStatus.MONITORING, text="Better", workaround="", at=NOW),
        ),
    )
    api = StatusApi(PAGE, a_view(watched, PAST))
    listed, unresolved = api.incidents()["incidents"], api.unresolved()["incidents"]
    assert [one["id"] for one in listed] == [watched.slug, PAST.slug]
    assert [one["id"] for one in unresolved] == [watched.slug]
    assert listed[0]["monitoring_at"] == "2026-07-01T12:00:00.000Z"
    assert listed[1]["resolved_at"] is not None
    assert [one["status"] for one in listed[0]["incident_updates"]] == ["monitoring", "identified", "investigating"]
    assert listed[0]["incident_updates"][1]["body"].endswith("Workaround: Ask again after a minute.")
    states = {one["name"]: one["status"] for one in api.components()["components"]}
    assert states == {"Chat": "degraded_performance", "Search": "partial_outage", "Summaries": "operational"}
    assert [one["name"] for one in listed[0]["components"]] == ["Chat", "Search"]
    ids = {one["id"] for one in api.components()["components"]}
    assert len(ids) == 3
    assert ids == {one["id"] for one in StatusApi(PAGE, a_view()).components()["components"]}, "they stay the same"


@pytest.mark.parametrize(
    ("impact", "state", "indicator"),
    [
        (Impact.NONE, ComponentState.OPERATIONAL, "none"),
        (Impact.MINOR, ComponentState.OPERATIONAL, "minor"),
        (Impact.NONE, ComponentState.DEGRADED, "minor"),
        (Impact.MAJOR, ComponentState.DEGRADED, "major"),
        (Impact.MINOR, ComponentState.MAJOR, "critical"),
        (Impact.NONE, ComponentState.MAINTENANCE, "maintenance"),
    ],
)
def test_the_indicator_is_that_of_the_worst(impact: Impact, state: ComponentState, indicator: str) -> None:
    view = a_view(replace(OPEN, impact=impact, components={"Chat": state}))
    assert StatusApi(PAGE, view).status()["status"]["indicator"] == indicator
    assert StatusApi(PAGE, a_view(PAST)).status()["status"]["description"] == "All Systems Operational"
