"""Modals and App Home: views.open, push, update and publish (docs.slack.dev/reference/methods/views.open)."""

import re
import time
from typing import Any

from bot.sandbox.slack.limits import SlackRefusal, view_of
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import View

# A modal, and two that are pushed upon it.
_STACK = 3
_TRIGGER = re.compile(r"\d+\.\d+\.[0-9a-f]+")


def views_open(workspace: Memory, arguments: dict[str, Any]) -> dict[str, Any]:
    body = view_of(arguments, "modal")
    user = _exchanged(workspace, str(arguments.get("trigger_id") or ""))
    _refuse_known_external_id(workspace, body, None)
    view = workspace.new_view(user, body)
    workspace.views[user] = view
    workspace.changed()
    return {"view": view.payload()}


def views_push(workspace: Memory, arguments: dict[str, Any]) -> dict[str, Any]:
    body = view_of(arguments, "modal")
    user = _exchanged(workspace, str(arguments.get("trigger_id") or ""))
    top = workspace.views.get(user)
    if top is None:
        raise SlackRefusal("not_found")
    return {"view": pushed(workspace, top, body).payload()}


def pushed(workspace: Memory, top: View, body: dict[str, Any]) -> View:
    """A new view upon ``top``; closing it shows that again. Raises SlackRefusal where there are three already."""
    if len(top.stack) >= _STACK:
        raise SlackRefusal("push_limit_reached")
    _refuse_known_external_id(workspace, body, None)
    view = workspace.new_view(top.user, body)
    view.beneath = top
    workspace.views[top.user] = view
    workspace.changed()
    return view


def _exchanged(workspace: Memory, trigger_id: str) -> str:
    """The trigger's user; a trigger opens one view, and soon."""
    trigger = workspace.triggers.get(trigger_id)
    if not _TRIGGER.fullmatch(trigger_id) or trigger is None:
        raise SlackRefusal("invalid_trigger_id")
    if trigger.used:
        raise SlackRefusal("exchanged_trigger_id")
    if time.monotonic() - trigger.at > workspace.trigger_s:
        raise SlackRefusal("expired_trigger_id")
    trigger.used = True
    return trigger.user


def views_update(workspace: Memory, arguments: dict[str, Any]) -> dict[str, Any]:
    view = _addressed(workspace, arguments)
    body = view_of(arguments, str(view.body["type"]) if view else "modal")
    if view is None:
        raise SlackRefusal("not_found")
    _refuse_other_hash(view, arguments)
    _refuse_known_external_id(workspace, body, view)
    replace(workspace, view, body)
    return {"view": view.payload()}


def _addressed(workspace: Memory, arguments: dict[str, Any]) -> View | None:
    external = arguments.get("external_id")
    if external:
        return next((one for one in workspace.modals() if one.body.get("external_id") == external), None)
    return workspace.find_view(str(arguments.get("view_id")))


def replace(workspace: Memory, view: View, body: dict[str, Any]) -> None:
    """The view shows ``body`` from now on; what was typed stays in the fields that are still there."""
    view.body, view.hash, view.errors = body, workspace.new_ts(), {}
    workspace.changed()


def views_publish(workspace: Memory, arguments: dict[str, Any]) -> dict[str, Any]:
    body = view_of(arguments, "home")
    user = str(arguments.get("user_id"))
    if user not in workspace.people:
        raise SlackRefusal("invalid_arguments", response_metadata={"messages": ["[ERROR] unknown user_id"]})
    home = workspace.homes.get(user)
    if home is None:
        home = workspace.homes[user] = workspace.new_view(user, body)
        workspace.changed()
    else:
        _refuse_other_hash(home, arguments)
        replace(workspace, home, body)
    return {"view": home.payload()}


def _refuse_other_hash(view: View, arguments: dict[str, Any]) -> None:
    if arguments.get("hash") and arguments["hash"] != view.hash:
        raise SlackRefusal("hash_conflict")


def _refuse_known_external_id(workspace: Memory, body: dict[str, Any], own: View | None) -> None:
    external = body.get("external_id")
    if external and any(one is not own and one.body.get("external_id") == external for one in workspace.modals()):
        raise SlackRefusal("duplicate_external_id")
