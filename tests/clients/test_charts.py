"""The chart, drawn by the real child process."""

import struct
from datetime import timedelta

import pytest

from bot.clients.charts import ChartProcess
from bot.errors import BotError
from tests.fakes import NOW

POINTS = [(NOW - timedelta(minutes=minute), 0.4 if minute < 20 else 0.0) for minute in range(120, -1, -1)]


async def test_the_chart_is_a_png_and_its_marks_show() -> None:
    charts = ChartProcess()
    plain = await charts.error_rate(POINTS, onset=None, rollouts=[])
    marked = await charts.error_rate(POINTS, onset=NOW - timedelta(minutes=20), rollouts=[NOW - timedelta(minutes=25)])
    assert struct.unpack(">II", marked[16:24]) == (1600, 600)
    assert len(marked) > len(plain) + 1000


async def test_a_chart_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(BotError, match=r"within 0\.01 s"):
        await ChartProcess(timeout_s=0.01).error_rate(POINTS, onset=None, rollouts=[])
