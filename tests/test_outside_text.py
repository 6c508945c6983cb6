"""Every parser of what comes from outside, on whatever may come: it gives what it promises, or its own error."""

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.clients.mistral import answer, error_of, kept_headers, models_of, parse_json
from bot.configuration import load
from bot.domain.loglines import ErrorLines, is_error, kind_of, pattern_of, shown
from bot.errors import SettingsError
from bot.ports import Exchange
from bot.probes.provider_status import _page, _told
from bot.settings import Settings
from bot.slack import parse

TEXT = st.text(max_size=200)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=15,
)
SECTIONS = st.sampled_from(
    [
        *("targets", "labels", "timeouts", "limits", "log_excerpts", "policy", "may", "components", "remedies", "http"),
        *("approvers", "mitigations", "alerts", "stakeholders", "status_page", "provider_watch", "evidence"),
        *("postmortem", "actions", "queries"),
    ]
)
NAMES = ("object", "data", "id", "name", "aliases", "capabilities", "deprecation", "detail", "message", "code", "type")
PROVIDERS = ("status", "indicator", "incidents", "components", "name", "impact", "page", "updates", "body", "summary")


def documents(names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """JSON whose keys are mostly those that are looked for."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    keys = st.sampled_from(names) | st.text(max_size=5)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
    )


@given(TEXT)
@example("severity P1 INC-99999999999999999999")
@example("note \u202e\x00 INC-3 <!channel>")
def test_any_command(text: str) -> None:
    assert parse.command(text, ("default", "eu"), ("restart", "rollback")) is not None
    assert isinstance(parse.calls_for_help(text), bool)


def read(content: bytes) -> Settings | tuple[str, ...]:
    """The settings of a YAML file, or what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "bot.yaml")
        config.write_bytes(content)
        try:
            return load({"MISTRAL_BOT_CONFIG": str(config)})
        except SettingsError as error:
            return error.problems


@settings(max_examples=300)
@given(st.dictionaries(SECTIONS, JSON, max_size=4) | JSON)
@example({"policy": {"severities": {"P1": {"respond": 10**400}}}})
@example({"http": {"connections": True}})
def test_any_yaml_file_is_read_or_its_faults_are_told(document: Any) -> None:
    held = read(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace"))
    assert isinstance(held, Settings) or (held and not any("\n" in problem for problem in held))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_yaml_file(content: bytes) -> None:
    assert read(content)


@given(st.lists(TEXT | JSON.map(lambda held: json.dumps(held)), max_size=10))
@example(['{"level": ' * 500, "ERROR " * 1000, "\ud800".encode("utf-8", "replace").decode()])
def test_any_lines_of_a_log(lines: list[str]) -> None:
    found = ErrorLines("api.mistral.ai", 100)
    for line in lines:
        assert isinstance(is_error(line), bool)
        assert kind_of(line, "api.mistral.ai")
        assert len(shown(line, 50)) <= 50
        pattern_of(line)
        found.add("pod", "2026-07-01T12:00:00.123456789Z", line)
        found.add(line, line, line)
    assert len(found.patterns()) <= max(1, 2 * len(lines))
    found.newest()


@given(documents(NAMES), st.integers(100, 599), st.dictionaries(st.text(max_size=20), TEXT, max_size=4))
def test_any_answer_of_mistrals_api(document: Any, status: int, headers: dict[str, str]) -> None:
    parsed = parse_json(json.dumps(document).encode())
    models_of(parsed, "key-12345678")
    error_of(parsed, "key-12345678")
    kept_headers(headers, "key-12345678")
    exchange = Exchange(status=status, headers=headers, body=json.dumps(document).encode())
    assert answer(exchange, expected=False, key="key-12345678")["status"] == status


@given(st.binary(max_size=300))
@example(b"[" * 100_000)
@example(b"9" * 5000)
@example(b'{"a": NaN}')
def test_any_body_of_mistrals_api(body: bytes) -> None:
    assert models_of(parse_json(body), "") in (None, ()), "no such bytes are a list of models"


@given(st.lists(documents(PROVIDERS), min_size=1, max_size=3))
def test_any_page_of_the_providers(held: list[Any]) -> None:
    _page(held)
    for one in held:
        if isinstance(one, dict):
            assert "\n" not in _told(one)
