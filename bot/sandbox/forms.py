"""A modal as a form of the page: where its fields are, and what was posted as the values that a person filled in."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from multidict import MultiMapping

from bot.sandbox.slack import View
from bot.sandbox.slack.filling import STATEFUL, elements, initial_state, shown_state

_MANY = ("multi_static_select", "checkboxes", "multi_users_select")


def fields(view: View) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each field's name in the form, its block and its element."""
    for place, block in enumerate(view.blocks):
        for number, element in enumerate(elements(block)):
            if block["type"] == "input" and element["type"] in STATEFUL:
                yield f"f{place}.{number}", block, element


def values(view: View, posted: MultiMapping[Any]) -> dict[str, dict[str, Any]]:
    """The friendly values of ``Workspace.submit``."""
    held: dict[str, dict[str, Any]] = {}
    for name, block, element in fields(view):
        given = [str(one) for one in posted.getall(name, [])]
        # browsers end lines with CR LF, Slack with LF
        value: Any = given if element["type"] in _MANY else "".join(given[:1]).replace("\r\n", "\n")
        held.setdefault(block["block_id"], {})[element["action_id"]] = value
    return held


def errors(view: View) -> dict[str, str]:
    """What the bot said against the last submission, by field."""
    return {name: view.errors[block["block_id"]] for name, block, _ in fields(view) if block["block_id"] in view.errors}


def initial(element: dict[str, Any], view: View | None = None, block: dict[str, Any] | None = None) -> list[str]:
    """What is chosen, or written, from the start or as it was typed before the view was covered by another."""
    held = initial_state(element) if view is None or block is None else shown_state(view, block, element)
    chosen = held.get("selected_options") or [one for one in (held.get("selected_option"),) if one]
    people = held.get("selected_users") or [held.get("selected_user")]
    written = [held.get("value"), local_time(held.get("selected_date_time"))]
    return [option["value"] for option in chosen] + [str(one) for one in (*people, *written) if one]


def local_time(seconds: int | None) -> str:
    """Unix seconds as a browser's datetime-local takes them, in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M")
