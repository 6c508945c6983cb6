"""What Slack refuses in blocks and views: what its SDK's models refuse, and the limits that those do not look at.

Source: docs.slack.dev/reference/block-kit and docs.slack.dev/reference/views.
"""

import json
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from bot.sandbox.slack.filling import STATEFUL, elements, options

Fault = tuple[str, str]
"""A JSON pointer into what was sent, and what is wrong there."""

_MESSAGE_BLOCKS = 50
_VIEW_BLOCKS = 100
_VIEW_BYTES = 250_000
_FEW_OPTIONS = ("radio_buttons", "checkboxes")
_ID = 255


class SlackRefusal(Exception):
    """``error`` is Slack's word."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer: dict[str, Any] = {"ok": False, "error": error, **more}


def blocks_of(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The message's blocks; refuses what Slack refuses."""
    held = arguments.get("blocks") or []
    try:
        blocks = json.loads(held) if isinstance(held, str) else held
    except ValueError:
        blocks = None
    if not isinstance(blocks, list):
        raise SlackRefusal("invalid_blocks_format")
    if len(blocks) > _MESSAGE_BLOCKS:
        raise _refusal("invalid_blocks", [("/blocks", f"no more than {_MESSAGE_BLOCKS} items allowed")])
    if faults := list(block_faults(blocks, "/blocks")):
        raise _refusal("invalid_blocks", faults)
    return list(blocks)


def view_of(arguments: dict[str, Any], kind: str) -> dict[str, Any]:
    """The view of a call; ``kind`` is modal or home. Refuses what Slack refuses."""
    held = arguments.get("view")
    if isinstance(held, str):
        try:
            held = json.loads(held)
        except ValueError:
            held = None
    if not isinstance(held, dict):
        raise _refusal("invalid_arguments", [("/view", "failed to match all allowed schemas")])
    if len(json.dumps(held)) > _VIEW_BYTES:
        raise SlackRefusal("view_too_large")
    if faults := list(_view_faults(held, kind)):
        raise _refusal("invalid_arguments", faults)
    return {**held, "blocks": named(held["blocks"])}


def _refusal(error: str, faults: list[Fault]) -> SlackRefusal:
    messages = [f"[ERROR] {problem} [json-pointer:{pointer}]" for pointer, problem in faults]
    return SlackRefusal(error, response_metadata={"messages": messages})


def named(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks with the ids that Slack makes up where the bot gave none."""
    blocks = json.loads(json.dumps(blocks))
    for place, block in enumerate(blocks):
        block.setdefault("block_id", f"b{place}")
        for number, element in enumerate(elements(block)):
            if element["type"] in STATEFUL or element["type"] == "button":
                element.setdefault("action_id", f"a{number}")
    return blocks


def _view_faults(view: dict[str, Any], kind: str) -> Iterator[Fault]:
    if view.get("type") != kind:
        yield "/view/type", f"must be {kind}"
        return
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        yield "/view", "missing required field: blocks"
        return
    if len(blocks) > _VIEW_BLOCKS:
        yield "/view/blocks", f"no more than {_VIEW_BLOCKS} items allowed"
    for key, most in (("private_metadata", 3000), ("callback_id", _ID), ("external_id", _ID)):
        if len(view.get(key) or "") > most:
            yield f"/view/{key}", f"must be no more than {most} characters"
    if kind == "modal":
        yield from _text_faults(view.get("title"), "/view/title", 24, plain=True)
        for key in ("submit", "close"):
            if view.get(key) is not None:
                yield from _text_faults(view[key], f"/view/{key}", 24, plain=True)
        if view.get("submit") is None and any(block.get("type") == "input" for block in blocks):
            yield "/view", "missing required field: submit"
    elif {"title", "submit", "close"} & {key for key, value in view.items() if value is not None}:
        yield "/view", "a home tab has neither title, submit nor close"
    yield from block_faults(blocks, "/view/blocks")


def block_faults(blocks: list[dict[str, Any]], pointer: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, block in enumerate(blocks):
        where = f"{pointer}/{place}"
        problem = _model_fault(block)
        if problem:
            yield where, problem
            continue
        block_id = block.get("block_id")
        if block_id in seen:
            yield f"{where}/block_id", f"block_id {block_id} already exists"
        if block_id is not None:
            seen.add(block_id)
        yield from _words_faults(block, where)
        yield from _use_faults(block, where)


def _model_fault(block: Any) -> str:
    try:
        parsed = Block.parse(block)
        if parsed is None:
            return f"unsupported type: {block.get('type')}"
        parsed.to_dict()
    except (SlackObjectFormationError, TypeError, AttributeError) as error:
        return str(error)
    return ""


def _words_faults(block: dict[str, Any], where: str) -> Iterator[Fault]:
    kind = block["type"]
    if kind == "header":
        yield from _text_faults(block.get("text"), f"{where}/text", 150, plain=True)
    elif kind == "section":
        if block.get("text") is not None:
            yield from _text_faults(block["text"], f"{where}/text", 3000)
        for place, held in enumerate(block.get("fields") or ()):
            yield from _text_faults(held, f"{where}/fields/{place}", 2000)
    elif kind == "context":
        for place, held in enumerate(block.get("elements") or ()):
            if held.get("type") != "image":
                yield from _text_faults(held, f"{where}/elements/{place}", 3000)
    elif kind == "input":
        yield from _text_faults(block.get("label"), f"{where}/label", 2000, plain=True)
        if block.get("hint") is not None:
            yield from _text_faults(block["hint"], f"{where}/hint", 2000, plain=True)


def _use_faults(block: dict[str, Any], where: str) -> Iterator[Fault]:
    kind, element = block["type"], block.get("element")
    if kind == "input" and (not isinstance(element, dict) or element.get("type") not in STATEFUL):
        yield f"{where}/element", "unsupported type"
        return
    actions: set[str] = set()
    for place, element in enumerate(elements(block)):
        at = f"{where}/elements/{place}" if kind == "actions" else f"{where}/element"
        action = element.get("action_id")
        if action is not None and action in actions:
            yield f"{at}/action_id", f"action_id {action} already exists in the block"
        actions.add(str(action))
        yield from _element_faults(element, at)


def _element_faults(element: dict[str, Any], where: str) -> Iterator[Fault]:
    kind = element.get("type")
    if element.get("action_id") == "" or len(element.get("action_id") or "") > _ID:
        yield f"{where}/action_id", f"must be between 1 and {_ID} characters"
    if element.get("placeholder") is not None:
        yield from _text_faults(element["placeholder"], f"{where}/placeholder", 150, plain=True)
    if kind == "button":
        yield from _text_faults(element.get("text"), f"{where}/text", 75, plain=True)
        if len(element.get("value") or "") > 2000:
            yield f"{where}/value", "must be no more than 2000 characters"
    elif kind == "plain_text_input":
        if len(element.get("initial_value") or "") > element.get("max_length", 3000):
            yield f"{where}/initial_value", f"must be no more than {element.get('max_length', 3000)} characters"
        if not 1 <= element.get("max_length", 3000) <= 3000:
            yield f"{where}/max_length", "must be between 1 and 3000"
    elif "options" in element or "option_groups" in element:
        yield from _option_faults(element, where)


def _option_faults(element: dict[str, Any], where: str) -> Iterator[Fault]:
    offered = options(element)
    few = element["type"] in _FEW_OPTIONS
    most = 10 if few else 100
    if not 1 <= len(element.get("options") or element.get("option_groups") or ()) <= most:
        yield f"{where}/options", f"must have between 1 and {most} items"
    for place, option in enumerate(offered):
        yield from _text_faults(option.get("text"), f"{where}/options/{place}/text", 75, plain=not few)
        if not 1 <= len(option.get("value") or "") <= 150:
            yield f"{where}/options/{place}/value", "must be between 1 and 150 characters"
        if option.get("description") is not None:
            yield from _text_faults(option["description"], f"{where}/options/{place}/description", 75)
    held = element.get("initial_options") or []
    initial = [element["initial_option"]] if element.get("initial_option") else held
    known = [(one.get("value"), one.get("text", {}).get("text")) for one in offered]
    if any((one.get("value"), one.get("text", {}).get("text")) not in known for one in initial):
        yield f"{where}/initial_option", "initial_option was not found in options"


def _text_faults(text: Any, where: str, most: int, *, plain: bool = False) -> Iterator[Fault]:
    if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
        yield where, "missing required field: text"
    elif plain and text["type"] != "plain_text":
        yield where, "must be plain_text"
    elif not 1 <= len(text.get("text") or "") <= most:
        yield f"{where}/text", f"must be between 1 and {most} characters"
