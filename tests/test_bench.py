"""The harness of bench/, and that README tells nothing of speed and size that bench/RESULTS.md does not."""

import importlib
import re

import pytest

from bench import results
from bench.__main__ import LONG, PARTS, main, seen
from bench.figures import (
    Figure,
    Goal,
    Subject,
    at_least,
    at_most,
    median,
    more_at_most,
    percentile,
    ratio_at_least,
    ratio_at_most,
    spread,
    taking_turns,
)

_ROW = re.compile(r"^\| (?!what|---).*", re.MULTILINE)


def between(text: str, mark: str) -> str:
    found = re.search(f"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", text, re.DOTALL)
    assert found is not None, mark
    return found[1]


async def test_subjects_take_turns_in_both_orders_and_the_first_round_is_not_counted() -> None:
    asked = list[str]()

    def subject(name: str) -> Subject:
        async def once() -> float:
            asked.append(name)
            return float(len(asked))

        return once

    held = await taking_turns(3, {"a": subject("a"), "b": subject("b")})
    assert "".join(asked) == "baabbaab"
    assert held == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


@pytest.mark.parametrize(
    ("goal", "kept"),
    [
        (at_most(2.0), True),
        (at_most(1.9), False),
        (at_least(2.0), True),
        (at_least(2.1), False),
        (ratio_at_most(0.5), True),
        (ratio_at_most(0.49), False),
        (ratio_at_least(0.5), True),
        (ratio_at_least(0.51), False),
        (more_at_most(-2.0), True),
        (more_at_most(-2.1), False),
    ],
)
def test_a_goal_is_of_the_value_the_ratio_or_the_difference(goal: Goal, kept: bool) -> None:
    figure = Figure(what="it", values=[1, 2, 9], unit="s", beside="that", reference=[4, 4, 4], goal=goal)
    assert figure.kept is kept
    assert (figure.value, figure.ratio) == (2, 0.5)


def test_the_statistics_are_medians_and_their_spread() -> None:
    assert median([3, 1, 2]) == 2
    assert spread([1, 2, 9]) == 1
    assert percentile(range(1, 101), 99) == pytest.approx(99.01)
    assert median([0]) == spread([5]) == 0


def test_a_table_tells_what_was_promised_and_whether_it_was_kept() -> None:
    kept = Figure(what="a | b", values=[1.0, 1.5, 2.0], unit="s", beside="c", reference=[3.0], goal=ratio_at_most(1))
    broken = Figure(what="d", values=[2000.0], unit="MB", goal=at_most(3))
    plain = Figure(what="e", values=[0], unit="")
    assert results.table([kept, broken, plain]).splitlines()[2:] == [
        "| a \\| b | 1.5 ± 0.5 s | c: 3 s | 0.5 | at most 1 times | yes |",
        "| d | 2,000 MB |  |  | at most 3 MB | **no** |",
        "| e | 0 |  |  |  |  |",
    ]


def test_each_part_asks_a_question() -> None:
    for name in (*PARTS, *LONG):
        first = str(importlib.import_module(f"bench.{name}").__doc__).partition("\n")[0]
        assert first.endswith("?"), name


def test_a_part_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "triagge"])
    with pytest.raises(SystemExit):
        main()
    assert "no such part: triagge" in capsys.readouterr().err


def test_parts_run_at_once_only_where_nothing_is_measured_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--at-once", "2"])
    with pytest.raises(SystemExit):
        main()
    assert "BENCH_SCALE=0.02 is for seeing that they run" in capsys.readouterr().err


def test_one_part_that_fails_is_told_and_fails_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert seen(["triagge"], 2) == 1
    assert "no such part: triagge" in capsys.readouterr().out


def test_readme_tells_what_was_measured_and_nothing_else() -> None:
    rows = _ROW.findall(between(results.README.read_text(), "figures"))
    assert rows
    written = results.RESULTS.read_text()
    assert [row for row in rows if row not in written] == [], "run `make bench`"


def test_all_parts_are_in_the_results_and_what_is_not_kept_is_explained() -> None:
    written = results.RESULTS.read_text()
    for name in PARTS:
        assert f"### {name}: " in written
    broken = [row.split("|")[1].strip() for row in _ROW.findall(written) if row.endswith("**no** |")]
    explained = written.partition("## What is not kept")[2]
    assert [one for one in broken if one not in explained] == []
