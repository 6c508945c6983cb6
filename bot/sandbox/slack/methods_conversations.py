"""Channels: conversations.* but for what was said in them."""

import re
import time
from typing import Any

from bot.sandbox.slack.access import flag, joined, page, visible
from bot.sandbox.slack.limits import SlackRefusal
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import BOT_USER, Channel
from bot.sandbox.slack.scopes import kind_of

Arguments = dict[str, Any]
Answer = dict[str, Any]
_NAME = 80
_TOPIC = 250
_INVITED = 100
_TYPES = {"public_channel": "public", "private_channel": "private", "im": "im", "mpim": "mpim"}


def shown(channel: Channel) -> Answer:
    """The channel as Slack hands it out."""
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_im,
        "is_group": False,
        "is_im": channel.is_im,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": BOT_USER in channel.members,
        "creator": channel.creator,
        "created": channel.created,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": channel.previous_names,
        "num_members": len(channel.members),
    }


def _name(workspace: Memory, arguments: Arguments, own: Channel | None = None) -> str:
    name = str(arguments.get("name") or "")
    if not name:
        raise SlackRefusal("invalid_name_required")
    if len(name) > _NAME:
        raise SlackRefusal("invalid_name_maxlength")
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise SlackRefusal("invalid_name_specials")
    if not re.search(r"[a-z0-9]", name):
        raise SlackRefusal("invalid_name_punctuation")
    if any(channel.name == name and channel is not own for channel in workspace.channels.values()):
        raise SlackRefusal("name_taken")
    return name


def create(workspace: Memory, arguments: Arguments) -> Answer:
    name = _name(workspace, arguments)
    channel = workspace.add_channel(name, is_private=flag(arguments, "is_private"), members={BOT_USER})
    channel.creator = BOT_USER
    return {"channel": shown(channel)}


def list_(workspace: Memory, arguments: Arguments) -> Answer:
    kinds = {_TYPES.get(one.strip(), "") for one in str(arguments.get("types") or "public_channel").split(",")}
    if "" in kinds:
        raise SlackRefusal("invalid_types")
    held = [
        channel
        for channel in workspace.channels.values()
        if kind_of(workspace, channel.id) in kinds
        and (not channel.is_private or BOT_USER in channel.members)
        and not (channel.is_archived and flag(arguments, "exclude_archived"))
    ]
    channels, cursor = page(held, arguments, usual=100, most=1000)
    return {"channels": [shown(one) for one in channels], "response_metadata": {"next_cursor": cursor}}


def info(workspace: Memory, arguments: Arguments) -> Answer:
    return {"channel": shown(visible(workspace, arguments))}


def members(workspace: Memory, arguments: Arguments) -> Answer:
    channel = visible(workspace, arguments)
    held, cursor = page(sorted(channel.members), arguments, usual=100, most=1000)
    return {"members": held, "response_metadata": {"next_cursor": cursor}}


def invite(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments)
    users = [user.strip() for user in str(arguments.get("users") or "").split(",") if user.strip()]
    if not users:
        raise SlackRefusal("no_user")
    if len(users) > _INVITED:
        raise SlackRefusal("invalid_arguments")
    problems = {user: problem for user in users if (problem := _uninvitable(workspace, channel, user))}
    if problems and (len(problems) == len(users) or not flag(arguments, "force")):
        errors = [{"user": user, "ok": False, "error": problem} for user, problem in problems.items()]
        raise SlackRefusal(next(iter(problems.values())), errors=errors)
    channel.members.update(user for user in users if user not in problems)
    workspace.changed()
    return {"channel": shown(channel)}


def _uninvitable(workspace: Memory, channel: Channel, user: str) -> str:
    person = workspace.people.get(user)
    if person is None:
        return "user_not_found"
    if user == BOT_USER:
        return "cant_invite_self"
    if user in channel.members:
        return "already_in_channel"
    return "ura_max_channels" if person.is_ultra_restricted else ""


def join(workspace: Memory, arguments: Arguments) -> Answer:
    channel = visible(workspace, arguments)
    if channel.is_private:
        raise SlackRefusal("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackRefusal("is_archived")
    known = {"warning": "already_in_channel"} if BOT_USER in channel.members else {}
    channel.members.add(BOT_USER)
    workspace.changed()
    return {"channel": shown(channel), **known}


def set_topic(workspace: Memory, arguments: Arguments) -> Answer:
    channel, topic = joined(workspace, arguments), str(arguments.get("topic") or "")
    if len(topic) > _TOPIC:
        raise SlackRefusal("too_long")
    channel.topic = topic
    workspace.changed()
    return {"channel": shown(channel)}


def archive(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments, archived="already_archived")
    if channel.name == "general":
        raise SlackRefusal("cant_archive_general")
    channel.is_archived = True
    workspace.changed()
    return {}


def rename(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments)
    if channel.creator != BOT_USER:
        raise SlackRefusal("not_authorized")
    name = _name(workspace, arguments, channel)
    if name != channel.name:
        channel.previous_names.append(channel.name)
        channel.name = name
        workspace.changed()
    return {"channel": shown(channel)}


def open_(workspace: Memory, arguments: Arguments) -> Answer:
    users = str(arguments.get("users") or "").split(",")
    if len(users) != 1 or users[0] not in workspace.people:
        raise SlackRefusal("user_not_found")
    return {"channel": {"id": workspace.direct(users[0]).id, "created": int(time.time())}}
