"""The lines of kubectl in a message: all of them, whatever their length, and no secret."""

import pytest

from bot.ports import Reply
from bot.render import SECTION, Renderer
from bot.sandbox.slack.limits import blocks_of
from bot.slack.mitigations import in_parts


def shown(*lines: str) -> list[str]:
    message = Renderer().message(Reply(template="commands", context={"parts": in_parts(lines)}))
    assert blocks_of({"blocks": message.blocks}) == message.blocks
    assert message.overflow == ()
    return [block["text"]["text"] for block in message.blocks[1:]]


def test_short_lines_are_one_block_of_code() -> None:
    assert shown("kubectl one", "kubectl two") == ["```\nkubectl one\nkubectl two\n```"]


@pytest.mark.parametrize("lines", [("&" * 900,) * 12, ("&" * 9000,), ("a",) * 3000], ids=["many", "one", "short ones"])
def test_what_is_too_long_for_a_section_goes_into_others(lines: tuple[str, ...]) -> None:
    parts = shown(*lines)
    assert all(len(part) <= SECTION for part in parts)
    held = "".join(parts)
    assert held.count("&amp;") == sum(line.count("&") for line in lines)
    assert held.count("a") - held.count("&a") == sum(line.count("a") for line in lines)


def test_what_is_too_long_for_any_message_says_so() -> None:
    message = Renderer().message(Reply(template="commands", context={"parts": in_parts(["&" * 90_000])}))
    assert "That is not all" in str(message.blocks[-1])


def test_no_line_can_end_its_block_and_no_secret_is_in_one() -> None:
    (part,) = shown("kubectl set env X='```<!channel>`'", "curl -H 'Authorization: Bearer planted0123456789'")
    assert part.count("```") == 2
    assert "<!channel>" not in part
    assert "planted" not in part


def test_nothing_to_paste_is_said() -> None:
    message = Renderer().message(Reply(template="commands", context={"parts": in_parts([])}))
    assert message.text == "There is no command for it."
