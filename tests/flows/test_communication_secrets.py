"""Secrets of every kind, planted in alerts, are in nothing that the bot tells or keeps."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from bot.configuration import load
from bot.logs import RedactingFormatter
from tests.databases import copy_of
from tests.flows.alerting import Alerted, alert, alerted, webhook
from tests.flows.leaking import leaks_of, logged
from tests.planted import MARK, PLANTED, P, cut_at


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Alerted]:
    async with alerted(copy_of("SQLite", tmp_path, request)) as held:
        yield held


def planted() -> Iterator[dict[str, Any]]:
    """Alerts with one kind of secret each, wherever one can stand; they open, propose and note."""
    for number, (kind, text) in enumerate(PLANTED.items()):
        yield alert(
            f"Leaky{number % 3} {text}",
            labels={
                "severity": ("critical", "warning", "info")[number % 3],
                "note": text,
                "long": cut_at(300, text),
                "db_password": P,
                text: kind,
            },
            annotations={"summary": cut_at(500, text) if number % 2 else text, "description": text, "runbook": text},
            generatorURL=f"https://ada:{P}@prometheus.example/graph?access_token={P}&note={quote(text)}",
            fingerprint=text[:64],
        )


def generic() -> Iterator[dict[str, Any]]:
    for kind, text in PLANTED.items():
        url = f"https://queue.example/?token={P}&said={quote_plus(text)}"
        yield {"title": f"{kind}: {text}", "severity": "P2", "key": text, "url": url}


async def test_no_secret_of_an_alert_is_told_or_kept(room: Alerted) -> None:
    text = " and ".join(PLANTED.values())
    with logged() as records:
        for held in (list(planted()), [{**one, "status": "resolved"} for one in planted()]):
            status, answer = await room.post(
                webhook(*held, groupKey=text, receiver=text, commonAnnotations={"x": text}, externalURL=text)
            )
            assert (status, answer) == (200, "ok\n")
            await room.settle()
        for one in generic():
            assert (await room.post(one, "/alerts/generic"))[0] == 200
        assert (await room.post({"title": "x", "severity": text}, "/alerts/generic"))[0] == 400
        await room.settle()
    assert any("Leaky0" in message.all_text for message in room.slack.messages)
    assert await leaks_of(room) == {}
    formatter = RedactingFormatter(load(room.sandbox.environment()))
    assert [line for line in map(formatter.format, records) if MARK in line.lower()] == []
