"""The folder of probes is the list of probes: what is wrong in it stops the start with a sentence."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import probes
from bot.domain.signals import ProbeName
from bot.errors import SettingsError

Write = Callable[..., None]
PROBE = "from types import SimpleNamespace\nPROBE = SimpleNamespace(name={name!r})\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Makes ``tmp_path`` the folder of probes; ``write(file=text)`` puts files there."""
    monkeypatch.setattr(probes, "__path__", [str(tmp_path)])
    written: list[str] = []

    def put(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
            written.append(name)
        importlib.invalidate_caches()

    yield put
    for name in written:
        sys.modules.pop(f"{probes.__name__}.{name}", None)
        vars(probes).pop(name, None)


def problems() -> tuple[str, ...]:
    with pytest.raises(SettingsError) as told:
        probes.load()
    return told.value.problems


def test_every_probe_is_there_in_the_order_in_which_people_read_them() -> None:
    assert [probe.name for probe in probes.load()] == list(ProbeName)


def test_a_new_file_is_a_new_probe_whatever_the_file_is_called(write: Write) -> None:
    write(t_a_last=PROBE.format(name="logs"), t_b_first=PROBE.format(name="canary"))
    assert [str(probe.name) for probe in probes.load()] == ["canary", "logs"]


def test_a_file_without_the_constant_is_named(write: Write) -> None:
    write(t_empty="", t_right=PROBE.format(name="logs"))
    assert problems() == ("bot/probes/t_empty.py has no PROBE; each file there should end in one",)


def test_a_name_that_is_used_twice_names_both_files(write: Write) -> None:
    write(t_one=PROBE.format(name="logs"), t_two=PROBE.format(name="logs"))
    assert problems() == (
        "bot/probes/t_one.py and bot/probes/t_two.py both call their probe 'logs'; a name may be used once",
    )


def test_a_name_that_the_diagnosis_does_not_know_is_refused_and_not_left_out(write: Write) -> None:
    write(t_weather=PROBE.format(name="weather"))
    (problem,) = problems()
    assert problem.startswith("bot/probes/t_weather.py calls its probe 'weather'; known names are mistral_api, canary,")


def test_several_wrong_files_are_told_together(write: Write) -> None:
    write(t_one="", t_two="PROBE = None\n", t_three=PROBE.format(name="weather"))
    assert [problem.split()[0] for problem in problems()] == [
        "bot/probes/t_one.py",
        "bot/probes/t_three.py",
        "bot/probes/t_two.py",
    ]


def test_what_probes_share_stands_in_files_that_begin_with_an_underscore(write: Write) -> None:
    write(_t_shared="", t_right=PROBE.format(name="logs"))
    assert [str(probe.name) for probe in probes.load()] == ["logs"]
