"""The chart, drawn by the real child process, and what becomes of one that fails."""

import asyncio
import os
import struct
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.clients.charts import ChartProcess
from bot.errors import BotError
from tests.fakes import NOW

POINTS = [(NOW - timedelta(minutes=minute), 0.4 if minute < 20 else 0.0) for minute in range(120, -1, -1)]


async def refused(charts: ChartProcess, points: list[tuple[datetime, float]] | None = None) -> str:
    with pytest.raises(BotError) as raised:
        await charts.error_rate(points or POINTS, onset=None, rollouts=[])
    return str(raised.value)


async def test_the_chart_is_a_png_and_its_marks_show() -> None:
    charts = ChartProcess()
    plain = await charts.error_rate(POINTS, onset=None, rollouts=[])
    marked = await charts.error_rate(POINTS, onset=NOW - timedelta(minutes=20), rollouts=[NOW - timedelta(minutes=25)])
    assert struct.unpack(">II", marked[16:24]) == (1600, 600)
    assert len(marked) > len(plain) + 1000


@pytest.mark.parametrize("points", [[], POINTS[:1]], ids=["none", "one"])
async def test_few_points_make_a_chart_too(points: list[tuple[datetime, float]]) -> None:
    png = await ChartProcess().error_rate(points, onset=NOW, rollouts=[NOW])
    assert png.startswith(b"\x89PNG")


async def test_points_that_are_no_numbers_are_left_out() -> None:
    points = [*POINTS, (NOW, float("inf")), (NOW, float("nan"))]
    png = await ChartProcess().error_rate(points, onset=None, rollouts=())
    assert png.startswith(b"\x89PNG")


async def test_several_series_with_any_names_are_drawn_with_a_legend() -> None:
    series = {"$x_{$": POINTS, "_hidden": POINTS, "<b>": ()}
    marks = [(POINTS[0][0], "declared $\\frac{")]
    assert (await ChartProcess().lines("$\\bad{", series, unit="/s", marks=marks)).startswith(b"\x89PNG")
    assert (await ChartProcess().bars("Weeks", ["07-01"], {"P1": [1], "P2": [2]})).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "script",
    ["exit 3", "kill -9 $$", "echo not a picture", "printf '\\211PNG'; exit 1", "exec 0<&-; exit 0"],
    ids=["exit status", "killed", "not a PNG", "half a PNG", "reads nothing"],
)
async def test_a_child_that_crashes_is_an_error(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _play(script, tmp_path, monkeypatch)
    assert await refused(ChartProcess(), POINTS * 100) == "the chart could not be drawn"


async def test_a_child_that_hangs_is_given_up_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    await _play(f"echo $$ > {pid}; printf '\\211PNG'; exec sleep 60", tmp_path, monkeypatch)
    async with asyncio.timeout(10):
        assert await refused(ChartProcess(timeout_s=0.5)) == "the chart was not drawn within 0.5 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int(await asyncio.to_thread(pid.read_text)), 0)


async def test_a_process_that_cannot_be_started_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    assert await refused(ChartProcess()) == (
        "the chart could not be drawn: no process could be started (No such file or directory)"
    )


async def _play(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the script run in the place of Python."""
    program = folder / "program"
    await asyncio.to_thread(program.write_text, f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
