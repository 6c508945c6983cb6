"""The folder of remedies is the list of remedies: what is wrong in it stops the start with a sentence."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import mitigations
from bot.domain.remedies import ENV_REMEDIES, EnvSpec, RemedyName
from bot.errors import SettingsError
from bot.ports import Argument

Write = Callable[..., None]
REMEDY = "from types import SimpleNamespace\nMITIGATION = SimpleNamespace(name={name!r})\n"
OWN = EnvSpec(what="leaves batch work undone", variable="BATCH_ENABLED", value="false", shields=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Makes ``tmp_path`` a folder of remedies beside what they share; ``write(file=text)`` puts files there."""
    importlib.import_module(f"{mitigations.__name__}._env")
    monkeypatch.setattr(mitigations, "__path__", [str(tmp_path)])
    written: list[str] = []

    def put(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
            written.append(name)
        importlib.invalidate_caches()

    yield put
    for name in written:
        sys.modules.pop(f"{mitigations.__name__}.{name}", None)
        vars(mitigations).pop(name, None)


def problems() -> tuple[str, ...]:
    with pytest.raises(SettingsError) as told:
        mitigations.load({})
    return told.value.problems


def test_every_remedy_is_there_in_the_order_in_which_people_read_them() -> None:
    held = mitigations.load(ENV_REMEDIES)
    assert list(held) == list(RemedyName)
    assert [remedy.name for remedy in held.values()] == list(RemedyName)
    assert all(remedy.what and remedy.what == remedy.what.strip() for remedy in held.values())


def test_a_file_without_the_constant_is_named(write: Write) -> None:
    write(t_empty="", t_right=REMEDY.format(name="restart"))
    assert problems() == ("bot/mitigations/t_empty.py has no MITIGATION; each file there should end in one",)


def test_a_name_that_is_used_twice_names_both_files(write: Write) -> None:
    write(t_one=REMEDY.format(name="restart"), t_two=REMEDY.format(name="restart"))
    assert problems() == (
        "bot/mitigations/t_one.py and bot/mitigations/t_two.py both call their remedy 'restart'; "
        "a name may be used once",
    )


def test_a_name_that_the_diagnosis_does_not_know_is_refused(write: Write) -> None:
    write(t_pray=REMEDY.format(name="pray"))
    (problem,) = problems()
    assert problem.startswith("bot/mitigations/t_pray.py calls its remedy 'pray'; known names are rotate_key, restart,")


def test_several_wrong_files_are_told_together(write: Write) -> None:
    write(t_one="", t_two="MITIGATION = None\n", t_three=REMEDY.format(name="pray"))
    assert [problem.split()[0] for problem in problems()] == [
        "bot/mitigations/t_one.py",
        "bot/mitigations/t_three.py",
        "bot/mitigations/t_two.py",
    ]


def test_what_remedies_share_stands_in_files_that_begin_with_an_underscore(write: Write) -> None:
    write(_t_shared="", t_right=REMEDY.format(name="restart"))
    assert list(mitigations.load({})) == ["restart"]


def test_the_settings_choose_the_variables_and_add_remedies_after_the_bots_own() -> None:
    changed = EnvSpec(what="waits", variable="TIMEOUT_S", value="60", least=1, most=600, unit="s")
    held = mitigations.load({**ENV_REMEDIES, "raise_timeout": changed, "shed_batch": OWN})
    assert list(held) == [*RemedyName, "shed_batch"]
    assert held["raise_timeout"].arguments == (
        Argument(name="value", label="TIMEOUT_S", usual="60", hint="a whole number from 1 to 600 s"),
    )
    assert (held["shed_batch"].what, held["shed_batch"].arguments) == ("leaves batch work undone", ())


def test_what_is_temporary_what_shields_and_what_takes_itself_back_is_known_of_each() -> None:
    held = mitigations.load({**ENV_REMEDIES, "shed_batch": OWN})
    setters = {*ENV_REMEDIES, "shed_batch"}
    assert {name for name, remedy in held.items() if remedy.temporary} == setters
    assert {name for name, remedy in held.items() if remedy.reverts_itself} == {*setters, "rollback"}
    assert {name for name, remedy in held.items() if remedy.shields} == set(ENV_REMEDIES)


def test_only_a_fallback_that_is_turned_off_leaves_nothing_to_take_back() -> None:
    held = mitigations.load({**ENV_REMEDIES, "shed_batch": OWN})
    for name, remedy in held.items():
        asked = {"secret": "new"} if name == "rotate_key" else {}
        assert remedy.temporary_with(asked) is remedy.temporary
    assert held["fallback"].temporary_with({"value": "on"})
    assert not held["fallback"].temporary_with({"value": " OFF "})
    assert held["limit_concurrency"].temporary_with({"value": "7"})
