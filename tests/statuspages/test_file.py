"""The site as files: whole at every moment, its links lead to files, and a folder that does not take it is told."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain.publication import PublicIncident, PublicStatus, PublicView
from bot.errors import Forbidden, Unreachable
from bot.settings import StatusPageSettings
from bot.site.pages import Site
from bot.statuspages import status_pages
from bot.statuspages.file import Folder
from tests.fakes import FakeHttp
from tests.public import a_view, an_incident

PAGE = StatusPageSettings(name="Acme Status", links=(("Acme", "https://acme.example"),))
OPEN, PAST = an_incident(2), an_incident(1, ended=True)
FILES = {
    "index.html",
    "style.css",
    "feed.atom",
    "incidents/000000000001.html",
    "incidents/000000000002.html",
    *(f"api/v2/{name}.json" for name in ("summary", "status", "components", "incidents", "incidents/unresolved")),
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written_at(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder)}


def tell(folder: Path, incident: PublicIncident, view: PublicView, page: StatusPageSettings = PAGE) -> str:
    return asyncio.run(Folder(site=Site(page=page), folder=folder).publish(incident, view, known=None))


def test_the_whole_site_is_written_and_its_links_lead_to_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "if needed"
    assert tell(folder, OPEN, a_view(OPEN, PAST)) == OPEN.slug
    held = files(folder)
    assert set(held) == FILES
    for name in ("index.html", *(one for one in held if one.startswith("incidents/")), "feed.atom"):
        links = re.findall(r'(?:href|src)="([^"#]+)"', held[name].decode())
        assert links, name
        for link in links:
            assert link.startswith("https://acme.example") or (folder / name).parent.joinpath(link).is_file(), link
    summary = json.loads(held["api/v2/summary.json"])
    assert [one["name"] for one in summary["incidents"]] == ["Slow answers in chat"]


def test_what_is_as_it_was_is_not_written_again(tmp_path: Path) -> None:
    tell(tmp_path, OPEN, a_view(OPEN, PAST))
    before = written_at(tmp_path)
    tell(tmp_path, OPEN, a_view(OPEN, PAST))
    assert written_at(tmp_path) == before
    ended = replace(an_incident(2, ended=True), slug=OPEN.slug)
    tell(tmp_path, ended, a_view(ended, PAST))
    changed = {name for name, at in written_at(tmp_path).items() if at != before[name]}
    assert changed == FILES - {"style.css", "incidents/000000000001.html"}
    assert files(tmp_path)["incidents/000000000002.html"].count(b"Answers are as fast as ever.") == 1


def test_an_incident_that_is_too_old_for_the_first_page_keeps_a_page_of_its_own(tmp_path: Path) -> None:
    told = replace(PAST, status=PublicStatus.POSTMORTEM)
    tell(tmp_path, told, a_view(OPEN))
    assert "incidents/000000000001.html" in files(tmp_path)


def test_where_an_incidents_page_cannot_be_written_the_first_page_stays_as_it_was(tmp_path: Path) -> None:
    tell(tmp_path, PAST, a_view(PAST))
    before = files(tmp_path)
    (tmp_path / "incidents/000000000002.html").mkdir()
    with pytest.raises(Unreachable, match="the status page cannot be written"):
        tell(tmp_path, OPEN, a_view(OPEN, PAST))
    assert files(tmp_path) == before, "nothing half, and nothing left over"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_is_not_ours_is_given_up_with_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o500)
    with as_nobody(), pytest.raises(Forbidden, match="the folder of the status page cannot be written to"):
        tell(folder, OPEN, a_view(OPEN))


def test_a_folder_that_is_a_file_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("in the way")
    with pytest.raises(Unreachable):
        tell(tmp_path / "site", OPEN, a_view(OPEN))


@pytest.mark.parametrize("builtin", [True, False])
def test_it_links_to_the_bots_own_page_only_where_there_is_one(builtin: bool, tmp_path: Path) -> None:
    config = tmp_path / "bot.yaml"
    told = {"builtin": builtin, "url": "https://status.acme.example", "folder": str(tmp_path / "site")}
    config.write_text(json.dumps({"status_page": told}))
    pages = {one.name: one for one in status_pages(load({"MISTRAL_BOT_CONFIG": str(config)}), FakeHttp())}
    assert set(pages) == ({"builtin", "file"} if builtin else {"file"})
    asyncio.run(pages["file"].publish(OPEN, a_view(OPEN), known=None))
    assert ("status.acme.example/status" in files(tmp_path / "site")["api/v2/summary.json"].decode()) is builtin
