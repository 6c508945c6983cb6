"""What a person fills into a view: friendly values as the state that Slack's client sends, or why it does not send."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.sandbox.slack.model import View

Values = Mapping[str, Mapping[str, Any]]
_TEXT = ("plain_text_input", "email_text_input", "url_text_input", "number_input")
# element type -> (the state's key, the element's key of what is filled in from the start)
_PLAIN = {
    **dict.fromkeys(_TEXT, ("value", "initial_value")),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "channels_select": ("selected_channel", "initial_channel"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
_ONE = ("static_select", "radio_buttons")
_MANY = ("multi_static_select", "checkboxes")
STATEFUL = (*_PLAIN, *_ONE, *_MANY)


def elements(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What can be used in a block, in the order of the screen."""
    if block["type"] == "input":
        yield block["element"]
    elif "accessory" in block:
        yield block["accessory"]
    elif block["type"] == "actions":
        yield from block["elements"]


def options(element: dict[str, Any]) -> list[dict[str, Any]]:
    groups = element.get("option_groups") or [{"options": element.get("options", [])}]
    return [option for group in groups for option in group["options"]]


def state(view: View, given: Values, users: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The state's values; raises LookupError for what a person could not do in Slack's client.

    What is not ``given`` stays as it was typed before, or else as it was filled in from the start.
    """
    values: dict[str, dict[str, Any]] = {}
    left = {(block, action): value for block, actions in given.items() for action, value in actions.items()}
    for block in view.blocks:
        for element in elements(block):
            if element["type"] not in STATEFUL:
                continue
            place = (block["block_id"], element["action_id"])
            held = (
                element_state(element, left.pop(place), users) if place in left else shown_state(view, block, element)
            )
            values.setdefault(place[0], {})[place[1]] = held
            if block["type"] == "input" and not block.get("optional") and not _filled(held):
                raise LookupError(f"{place} has to be filled in: {block['label']['text']}")
    if left:
        raise LookupError(f"there is nothing to fill in at {sorted(left)}; there is {sorted(_places(values))}")
    return values


def _places(values: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [(block, action) for block, actions in values.items() for action in actions]


def _filled(held: dict[str, Any]) -> bool:
    return any(value not in (None, "", []) for key, value in held.items() if key != "type")


def shown_state(view: View, block: dict[str, Any], element: dict[str, Any]) -> dict[str, Any]:
    """What the element holds on the screen: what was typed before, in an element of that kind, if anything."""
    typed = view.typed.get(block["block_id"], {}).get(element["action_id"])
    return typed if typed and typed["type"] == element["type"] else initial_state(element)


def initial_state(element: dict[str, Any]) -> dict[str, Any]:
    """What the element holds before anybody touches it."""
    kind = element["type"]
    if kind in _ONE:
        return {"type": kind, "selected_option": element.get("initial_option")}
    if kind in _MANY:
        return {"type": kind, "selected_options": element.get("initial_options") or []}
    key, initial = _PLAIN[kind]
    return {"type": kind, key: element.get(initial) or ([] if kind.startswith("multi_") else None)}


def element_state(element: dict[str, Any], value: Any, users: Mapping[str, Any]) -> dict[str, Any]:
    """What the element holds once ``value`` was chosen; raises LookupError where it does not offer that."""
    kind = element["type"]
    if kind in _ONE:
        return {"type": kind, "selected_option": None if value in (None, "") else _option(element, value)}
    if kind in _MANY:
        return {"type": kind, "selected_options": [_option(element, one) for one in value or ()]}
    return {"type": kind, _PLAIN[kind][0]: _TAKEN.get(kind, _as_it_is)(element, value, users)}


def _option(element: dict[str, Any], value: str) -> dict[str, Any]:
    for option in options(element):
        if option["value"] == value:
            return option
    raise LookupError(f"{element['action_id']} offers {[one['value'] for one in options(element)]}, not {value!r}")


def _as_it_is(element: dict[str, Any], value: Any, users: Mapping[str, Any]) -> Any:
    return value or None


def _text(element: dict[str, Any], value: Any, users: Mapping[str, Any]) -> str | None:
    text = str(value or "")
    least, most = element.get("min_length", 0), element.get("max_length", 3000)
    if text and not least <= len(text) <= most:
        raise LookupError(f"{element['action_id']} takes {least} to {most} characters, not {len(text)}")
    return text or None


def _user(element: dict[str, Any], value: Any, users: Mapping[str, Any]) -> Any:
    for user in value if isinstance(value, list) else [value] if value else []:
        if user not in users:
            raise LookupError(f"there is nobody called {user}")
    return value or None


def _instant(element: dict[str, Any], value: Any, users: Mapping[str, Any]) -> int | None:
    """Unix seconds; a text is ISO 8601, in UTC where it names no zone."""
    if value in (None, ""):
        return None
    if isinstance(value, (int, float)) or str(value).isdecimal():
        return int(value)
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


_TAKEN: dict[str, Callable[[dict[str, Any], Any, Mapping[str, Any]], Any]] = {
    **dict.fromkeys(_TEXT, _text),
    "users_select": _user,
    "multi_users_select": _user,
    "datetimepicker": _instant,
}
