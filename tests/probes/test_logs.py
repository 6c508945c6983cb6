"""The logs probe: streams of any shape, with bounds, and nothing of theirs that could act on a reader."""

from typing import Any

import pytest

from bot.domain.signals import Logs
from bot.errors import Forbidden, NotConfigured
from bot.probes.logs import PROBE
from bot.settings import Limits
from tests.fakes import FakeCluster, probe_run

STAMP = b"2026-07-01T11:59:00.000000000Z "


def pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "mistral-service"}},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


async def read(logs: dict[str, bytes], chunk_bytes: int = 1000, **limits: int) -> Logs:
    cluster = FakeCluster(objects={"Pod": [pod(name) for name in logs]}, logs=logs, chunk_bytes=chunk_bytes)
    finding = await PROBE.check(probe_run(cluster=cluster, limits=Limits(**limits)))
    assert isinstance(finding.signal, Logs)
    return finding.signal


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 100_000])
async def test_the_count_does_not_depend_on_how_the_stream_is_cut(chunk_bytes: int) -> None:
    text = (STAMP + b"ERROR mistral 429\n" + STAMP + b"INFO fine\n") * 20
    logs = await read({"a": text, "b": text}, chunk_bytes)
    assert (logs.lines, logs.error_lines, logs.by_kind, logs.pods) == (80, 40, {"429": 40}, 2)


async def test_a_line_of_100_kb_costs_its_beginning_alone_and_that_is_said() -> None:
    text = STAMP + b"ERROR mistral 503 " + b"x" * 100_000 + b"\n" + STAMP + b"ERROR mistral 401\n"
    logs = await read({"a": text}, 4096, log_line_bytes=2000)
    assert logs.by_kind == {"503": 1, "401": 1}
    assert all(len(line.text) <= 2000 for line in logs.newest)
    assert any("longer than 2000 bytes" in told for told in logs.left_out)


async def test_control_characters_and_bytes_that_are_not_utf_8_are_shown_as_marks() -> None:
    logs = await read({"a": STAMP + b"ERROR \x1b[31m <!channel> `x` \xff\xfe\x00\n"})
    (line,) = logs.newest
    assert line.text.isprintable()
    assert "<!channel>" in line.text, "escaping is the renderer's, which sees text alone"


async def test_a_tail_that_was_reached_and_pods_over_the_limit_are_said() -> None:
    text = (STAMP + b"INFO fine\n") * 5
    logs = await read({"a": text, "b": text}, log_tail_lines=5, log_pods=1)
    assert logs.pods == 1
    assert any("newest 5 lines" in told for told in logs.left_out)
    assert any("1 of 2 pods" in told for told in logs.left_out)


async def test_what_was_read_in_time_counts_and_the_rest_is_said() -> None:
    text = (STAMP + b"ERROR mistral 429\n") * 12
    cluster = FakeCluster(objects={"Pod": [pod("a"), pod("b")]}, logs={"a": text, "b": text}, endless=frozenset({"b"}))
    finding = await PROBE.check(probe_run(cluster=cluster, timeout_s=0.3))
    assert isinstance(finding.signal, Logs)
    assert finding.signal.error_lines == 24
    assert finding.signal.left_out == ("what 1 containers had not told in time",)


async def test_nothing_read_in_time_is_unknown() -> None:
    cluster = FakeCluster(objects={"Pod": [pod("a")]}, logs={"a": b""}, endless=frozenset({"a"}))
    with pytest.raises(TimeoutError):
        await PROBE.check(probe_run(cluster=cluster, timeout_s=0.3))


async def test_a_secret_in_a_line_is_shown_nowhere() -> None:
    logs = await read({"a": STAMP + b"ERROR Authorization: Bearer planted-secret-1\n"})
    assert "planted" not in repr(logs)


async def test_logs_that_may_not_be_read_are_unknown_with_the_permission_that_is_missing() -> None:
    cluster = FakeCluster(objects={"Pod": [pod("a")]}, logs={"a": b""}, forbidden=frozenset({"Pod/log"}))
    with pytest.raises(Forbidden, match="forbidden: get pods/log in default"):
        await PROBE.check(probe_run(cluster=cluster))


async def test_without_a_cluster_it_is_not_configured() -> None:
    with pytest.raises(NotConfigured, match="not configured"):
        await PROBE.check(probe_run(cluster=None))
