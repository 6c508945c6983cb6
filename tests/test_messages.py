"""Every template of Slack's: what it says is in a golden file, and no text from outside becomes more than text.

``GOLDEN=write .venv/bin/pytest tests/test_messages.py`` writes the golden files anew; look at what has changed in them.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.ports import Reply
from bot.render import Renderer
from bot.sandbox.slack.limits import blocks_of, view_of
from tests.messages import MESSAGES

GOLDEN = Path(__file__).with_name("golden")
TEMPLATES = Path(__file__).parent.parent / "templates" / "slack"
RENDERER = Renderer()
# Seen by one person, or an update that notifies nobody: people, groups and channels are shown by their names there.
SHOWS_NAMES = {"catch_up", "mitigation_card", "problem_modal", "sentence", "timeline"}
_ID = re.compile(r"[UWCGDS]0[A-Z0-9]{2,30}|\d{4}-\d\d-\d\dT.*")
_LAST = "theend"
WORDS = " ".join(f"word{number}" for number in range(1500)) + f" {_LAST}"
HOSTILE = {
    "mentions": "<!channel> <!here> <@U0HOSTILE> <#C0HOSTILE> <!subteam^S0HOSTILE> <https://evil.example|ok>",
    "markup": "& *bold* _it_ ~no~ `code` ```block``` | > quote \n• list {{ 7*7 }} {% raw %}",
    "unseen": "a\x00b\u202ec\u2066d\x07e\ufeff",
    "long": WORDS,
    "long to escape": "<&>" * 4000,
    "lines": "a\n" * 5000,
    "code": "```" * 3000,
}
Place = tuple[Any, ...]


def rendered(name: str, context: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """(its blocks, of a modal the view as the one before, and all that did not fit); within Slack's limits."""
    reply = Reply(template=name, context=context, thread=MESSAGES[name].thread)
    if name.endswith("_modal"):
        view = RENDERER.view(reply)
        view_of({"view": view}, "modal")
        return [{key: held for key, held in view.items() if key != "blocks"}, *view["blocks"]], ""
    message = RENDERER.message(reply, most=100 if name == "home" else 50)
    blocks = [{"type": "message", "text": message.text}, *message.blocks]
    if name != "home":
        assert blocks_of({"blocks": message.blocks}) == message.blocks
    rest = [block for part in RENDERER.rest(message.overflow) for block in part]
    return blocks, marked_up(rest)


def marked_up(value: Any) -> str:
    """All texts in which Slack looks for mentions, links and markup."""
    if isinstance(value, Mapping):
        own = str(value["text"]) if value.get("type") in ("mrkdwn", "message") else ""
        return "\n".join([own, *(marked_up(held) for held in value.values())])
    return "\n".join(map(marked_up, value)) if isinstance(value, list) else ""


def places(value: Any, own: frozenset[str], at: Place = ()) -> Iterator[Place]:
    """Where in a context the texts are that may be anybody's."""
    if type(value) is str:
        if not _ID.fullmatch(value):
            yield at
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from () if key in own else places(held, own, (*at, key))
    elif isinstance(value, list | tuple):
        for number, held in enumerate(value):
            yield from places(held, own, (*at, number))
    elif is_dataclass(value) or isinstance(value, SimpleNamespace):
        for name, held in parts(value).items():
            if name in own:
                continue
            if isinstance(held, Mapping):
                yield from ((*at, name, "key", key) for key in held if type(key) is str)
            yield from places(held, own, (*at, name))


def parts(value: Any) -> dict[str, Any]:
    return (
        dict(vars(value))
        if isinstance(value, SimpleNamespace)
        else {f.name: getattr(value, f.name) for f in fields(value)}
    )


def put(value: Any, at: Place, text: str) -> Any:
    """``value`` with ``text`` at that place."""
    if not at:
        return text
    first, *rest = at
    if first == "key":
        return {(text if key == rest[0] else key): held for key, held in value.items()}
    if isinstance(value, Mapping):
        return {**value, first: put(value[first], tuple(rest), text)}
    if isinstance(value, list | tuple):
        made = [put(held, tuple(rest), text) if number == first else held for number, held in enumerate(value)]
        return made if isinstance(value, list) else tuple(made)
    changed = {first: put(getattr(value, first), tuple(rest), text)}
    return (
        SimpleNamespace(**(vars(value) | changed)) if isinstance(value, SimpleNamespace) else replace(value, **changed)
    )


def hostile(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, context) with the text in each place alone, and in all of them."""
    one = MESSAGES[name]
    found = list(places(one.rich, one.own))
    everywhere: Mapping[str, Any] = one.rich
    for place in found:
        # a key is known by what it was
        everywhere = everywhere if "key" in place else put(everywhere, place, text)
        yield ".".join(map(str, place)), put(one.rich, place, text)
    yield "everywhere", everywhere


def test_every_template_has_contexts_and_a_golden_file() -> None:
    templates = {path.stem for path in TEMPLATES.glob("*.j2") if not path.name.startswith("_")}
    assert templates == set(MESSAGES), "see tests/messages.py"
    if os.environ.get("GOLDEN") != "write":
        assert templates == {path.stem for path in GOLDEN.glob("*.json")}, (
            "run GOLDEN=write pytest tests/test_messages.py"
        )


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_says_what_its_golden_file_has(name: str) -> None:
    path, one = GOLDEN / f"{name}.json", MESSAGES[name]
    now = {"usual": rendered(name, one.usual)[0], "rich": rendered(name, one.rich)[0]}
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n")
    assert now == json.loads(path.read_text()), "run GOLDEN=write pytest tests/test_messages.py and look at the change"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", MESSAGES)
def test_hostile_text_is_text_and_nothing_is_dropped_unseen(name: str, text: str) -> None:
    usual = marked_up(rendered(name, MESSAGES[name].rich)[0])
    for where, context in hostile(name, text):
        blocks, rest = rendered(name, context)
        shown = f"{marked_up(blocks)}\n{rest}"
        for part in ("<!channel", "<!here", "<http", "\x00", "\u202e", "\u2066", "\ufeff"):
            assert part not in shown.replace("<https://status.example/5f2c|", ""), (where, part)
        if name not in SHOWS_NAMES:
            assert not re.search("<(@U0|#C0|!subteam.S0)HOSTILE", shown), where
        if text is WORDS and where != "everywhere" and not name.endswith("_modal") and "word0" in shown:
            told_of = _LAST in shown or shown.count("…") > usual.count("…") or " more" in shown
            assert told_of, f"{where} is cut without a word"
