"""What Slack's documentation says a view may hold, as the sandbox keeps it."""

from typing import Any

import pytest

from bot.sandbox.slack.limits import SlackRefusal, view_of
from tests.sandbox.test_slack_views import entry, modal, option, text

PLAIN = entry("b", "plain_text_input")
OPTIONS = [option(f"o{n}") for n in range(101)]


@pytest.mark.parametrize(
    ("view", "pointer"),
    [
        (modal(title=text("x" * 25)), "/view/title/text"),
        (modal(title={"type": "mrkdwn", "text": "x"}), "/view/title"),
        (modal(submit=text("x" * 25)), "/view/submit/text"),
        (modal(close=text("")), "/view/close/text"),
        (modal(submit=None), "/view"),
        (modal(type="home"), "/view/type"),
        (modal(private_metadata="x" * 3001), "/view/private_metadata"),
        (modal(callback_id="x" * 256), "/view/callback_id"),
        (modal(*[{"type": "divider"}] * 101), "/view/blocks"),
        (modal(PLAIN, PLAIN), "/view/blocks/1/block_id"),
        (modal({**PLAIN, "label": text("x" * 2001)}), "/view/blocks/0"),
        (modal({**PLAIN, "label": text("")}), "/view/blocks/0/label/text"),
        (modal({**PLAIN, "hint": text("x" * 2001)}), "/view/blocks/0"),
        (modal({**PLAIN, "element": {"type": "nonsense"}}), "/view/blocks/0/element"),
        (modal({**PLAIN, "element": {"type": "button", "text": text("x")}}), "/view/blocks/0"),
        (modal(entry("b", "plain_text_input", initial_value="x" * 3001)), "/view/blocks/0/element/initial_value"),
        (modal(entry("b", "plain_text_input", placeholder=text("x" * 151))), "/view/blocks/0"),
        (modal(entry("b", "static_select", options=OPTIONS)), "/view/blocks/0"),
        (modal(entry("b", "radio_buttons", options=OPTIONS[:11])), "/view/blocks/0/element/options"),
        (modal(entry("b", "static_select", options=[])), "/view/blocks/0"),
        (modal(entry("b", "static_select", options=[option("x" * 76)])), "/view/blocks/0"),
        (modal(entry("b", "static_select", options=[option("a")], initial_option=option("b"))), "/view/blocks/0"),
        (modal({"type": "section", "fields": [text("x" * 2001)]}), "/view/blocks/0/fields/0/text"),
        ({"type": "modal"}, "/view"),
        ("nonsense", "/view"),
    ],
)
def test_a_view_over_slacks_limits_is_refused_with_the_place(view: Any, pointer: str) -> None:
    with pytest.raises(SlackRefusal) as told:
        view_of({"view": view}, "modal")
    assert told.value.answer["error"] == "invalid_arguments"
    assert f"[json-pointer:{pointer}" in told.value.answer["response_metadata"]["messages"][0]


def test_a_view_at_slacks_limits_is_taken_and_named() -> None:
    blocks = [entry("b", "static_select", options=OPTIONS[:100]), *[{"type": "divider"}] * 99]
    taken = view_of({"view": modal(*blocks, title=text("x" * 24), private_metadata="x" * 3000)}, "modal")
    assert len({block["block_id"] for block in taken["blocks"]}) == 100


def test_a_view_over_250_kilobytes_is_refused() -> None:
    with pytest.raises(SlackRefusal, match="view_too_large"):
        view_of({"view": modal(*[{"type": "section", "text": text("x" * 3000)}] * 99)}, "modal")
