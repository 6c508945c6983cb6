"""Which channel or message a call means, and whether the bot may reach it."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from bot.sandbox.slack.limits import SlackRefusal
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import BOT_USER, Channel, Message

Item = TypeVar("Item")


def flag(arguments: dict[str, Any], name: str) -> bool:
    """A boolean as JSON or a form carries it."""
    return arguments.get(name) in (True, "1", "true", "True")


def visible(workspace: Memory, arguments: dict[str, Any]) -> Channel:
    """The call's channel; a private one that the bot is not in does not exist for it."""
    channel = workspace.channels.get(str(arguments.get("channel") or arguments.get("channel_id") or ""))
    if channel is None or (channel.is_private and BOT_USER not in channel.members):
        raise SlackRefusal("channel_not_found")
    return channel


def joined(workspace: Memory, arguments: dict[str, Any], *, archived: str | None = "is_archived") -> Channel:
    """The call's channel, which the bot has to be in; ``archived`` is Slack's word where it may not be archived."""
    channel = visible(workspace, arguments)
    if archived is not None and channel.is_archived:
        raise SlackRefusal(archived)
    if BOT_USER not in channel.members:
        raise SlackRefusal("not_in_channel")
    return channel


def message_in(workspace: Memory, channel: Channel, arguments: dict[str, Any], name: str) -> Message:
    """The message whose ts the argument ``name`` holds; one that a single person sees cannot be reached again."""
    message = workspace.find(channel.id, str(arguments.get(name)))
    if message is None or message.only_for:
        raise SlackRefusal("message_not_found")
    return message


def page(items: Sequence[Item], arguments: dict[str, Any], *, usual: int, most: int) -> tuple[list[Item], str]:
    """The items of the page that was asked for, and the cursor of the next one, empty at the end."""
    try:
        limit = int(arguments.get("limit") or usual)
    except ValueError as error:
        raise SlackRefusal("invalid_arguments") from error
    if not 1 <= limit <= most:
        raise SlackRefusal("invalid_limit")
    start = _start(str(arguments.get("cursor") or ""))
    left = start + limit < len(items)
    return list(items[start : start + limit]), _cursor(start + limit) if left else ""


def _cursor(start: int) -> str:
    return base64.b64encode(f"next:{start}".encode()).decode()


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except (binascii.Error, ValueError) as error:
        raise SlackRefusal("invalid_cursor") from error
