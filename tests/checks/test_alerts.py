"""The doctor's look at alerts: silent where they are off, and clear where a setting is missing."""

import pytest

from bot.checks.alerts import CHECK
from bot.configuration import load
from tests.fakes import probe_run


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, []),
        ({"ALERTMANAGER_TOKEN": "planted"}, [False]),
        ({"ALERTMANAGER_TOKEN": "planted", "INCIDENT_CHANNEL": "C0INCIDENTS"}, [True]),
    ],
    ids=["off", "no channel", "on"],
)
async def test_alerts_need_a_token_and_a_channel(environ: dict[str, str], found: list[bool]) -> None:
    results = await CHECK.check(probe_run(), load(environ))
    assert [one.ok for one in results] == found
    assert [bool(one.mend) for one in results] == [not ok for ok in found]
    assert "planted" not in str(results)
