"""bench/soak.py in one minute: whatever must not happen did not."""

from pathlib import Path

import pytest

from bench.soak import measure


@pytest.mark.timeout(300)
async def test_a_minute_of_faults_loses_and_doubles_nothing(tmp_path: Path) -> None:
    figures = await measure(60)
    assert len(figures) > 10
    assert [(figure.what, figure.values) for figure in figures if not figure.kept] == []
