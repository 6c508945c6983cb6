"""Incidents that are published at the same moment are written into one folder, one after the other."""

import asyncio
from pathlib import Path

from bot.settings import StatusPageSettings
from bot.site.pages import Site
from bot.statuspages.file import Folder
from tests.public import a_view, an_incident


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("**/.*"))


async def test_incidents_that_are_published_at_once_do_not_write_over_each_other(tmp_path: Path) -> None:
    page = Folder(site=Site(page=StatusPageSettings()), folder=tmp_path)
    for number in range(8):
        # a title that is new each time, so that every file is written anew
        incidents = [an_incident(one, title=f"Try {number} of {one}") for one in range(1, 5)]
        view = a_view(*incidents)
        await asyncio.gather(*(page.publish(one, view, known=None) for one in incidents))
        assert f"Try {number} of 4" in (tmp_path / "index.html").read_text()
    assert left_over(tmp_path) == []
