"""Templates of an operator's own: taken instead of the bot's, and in a sandbox; the bot's own read the same there."""

from pathlib import Path

import pytest

from bot.errors import TemplateError
from bot.ports import Reply
from bot.render import Renderer
from tests.messages import MESSAGES

HEAD = '{% import "slack/_blocks.j2" as b %}'
REACHES_OUT = [
    "{{ ''.__class__.__mro__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ sentence.__class__ }}",
    "{{ (held | attr('__class__')).__bases__ }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(held) }}",
    "{% for x in range(1000000000) %}x{% endfor %}",
    "{% set _ = names.append('changed') %}",
]


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_bots_own_templates_read_the_same_in_the_sandbox(name: str, tmp_path: Path) -> None:
    given = MESSAGES[name]
    reply = Reply(template=name, context=given.rich, thread=given.thread)
    free, boxed = Renderer(), Renderer(tmp_path)
    if name.endswith("_modal"):
        assert boxed.view(reply) == free.view(reply)
    else:
        assert boxed.message(reply, most=100) == free.message(reply, most=100)


def overridden(folder: Path, text: str) -> Renderer:
    (folder / "slack").mkdir()
    (folder / "slack/sentence.j2").write_text(f"{HEAD}{{% call b.section() %}}{text}{{% endcall %}}\n")
    return Renderer(folder)


@pytest.mark.parametrize("text", REACHES_OUT)
def test_an_override_reaches_neither_python_nor_changes_what_it_is_given(text: str, tmp_path: Path) -> None:
    names = ["ada"]
    context = {"sentence": "hello", "held": Path("x"), "names": names}
    try:
        told = str(overridden(tmp_path, text).message(Reply(template="sentence", context=context)).blocks)
    except TemplateError:
        told = ""
    assert "class" not in told
    assert "globals" not in told
    assert names == ["ada"]


def test_an_override_is_taken(tmp_path: Path) -> None:
    renderer = overridden(tmp_path, "We say: {{ sentence }}")
    told = renderer.message(Reply(template="sentence", context={"sentence": "hello"}))
    assert told.blocks[0]["text"]["text"] == "We say: hello"
