"""The methods of the Web API that the bot uses, with the errors that Slack gives; any other is ``unknown_method``."""

import json
from collections.abc import Callable
from typing import Any

from bot.sandbox.slack.limits import SlackRefusal, blocks_of, named
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.methods_views import views_open, views_publish, views_update
from bot.sandbox.slack.model import BOT_ID, BOT_USER, TEAM, Message

SCOPES = "app_mentions:read,channels:history,chat:write,chat:write.public,commands,files:write,groups:history"
Arguments = dict[str, Any]
Answer = dict[str, Any]


def _channel(workspace: Memory, arguments: Arguments) -> str:
    channel = str(arguments.get("channel") or arguments.get("channel_id") or "")
    if channel not in workspace.channels:
        raise SlackRefusal("channel_not_found")
    return channel


def api_test(workspace: Memory, arguments: Arguments) -> Answer:
    return {}


def auth_test(workspace: Memory, arguments: Arguments) -> Answer:
    return {
        "url": "http://sandbox/",
        "team": "Sandbox",
        "team_id": TEAM,
        "user": "mistral-bot",
        "user_id": BOT_USER,
        "bot_id": BOT_ID,
    }


def chat_post_message(workspace: Memory, arguments: Arguments) -> Answer:
    channel = _channel(workspace, arguments)
    if BOT_USER not in workspace.channels[channel].members:
        raise SlackRefusal("not_in_channel")
    message = _message(workspace, arguments, channel)
    message.thread_ts = arguments.get("thread_ts")
    workspace.add(message)
    return {"channel": channel, "ts": message.ts, "message": {"text": message.text, "ts": message.ts}}


def _message(workspace: Memory, arguments: Arguments, channel: str) -> Message:
    blocks, text = named(blocks_of(arguments)), str(arguments.get("text") or "")
    if not blocks and not text:
        raise SlackRefusal("no_text")
    if len(text) > 40_000:
        raise SlackRefusal("msg_too_long")
    return Message(channel=channel, ts=workspace.new_ts(), user=BOT_USER, text=text, blocks=blocks)


def chat_update(workspace: Memory, arguments: Arguments) -> Answer:
    message = workspace.find(_channel(workspace, arguments), str(arguments.get("ts")))
    if message is None:
        raise SlackRefusal("message_not_found")
    if message.user != BOT_USER:
        raise SlackRefusal("cant_update_message")
    message.blocks, message.text = named(blocks_of(arguments)), str(arguments.get("text") or "")
    message.edits += 1
    workspace.changed()
    return {"channel": message.channel, "ts": message.ts, "text": message.text}


def chat_post_ephemeral(workspace: Memory, arguments: Arguments) -> Answer:
    channel = _channel(workspace, arguments)
    user = str(arguments.get("user"))
    if user not in workspace.people:
        raise SlackRefusal("user_not_in_channel")
    message = _message(workspace, arguments, channel)
    message.only_for = user
    workspace.add(message)
    return {"message_ts": message.ts}


def get_upload_url(workspace: Memory, arguments: Arguments) -> Answer:
    if not arguments.get("filename") or not arguments.get("length"):
        raise SlackRefusal("invalid_arguments")
    file_id = "F" + workspace.new_ts().replace(".", "")
    workspace.files[file_id] = b""
    return {"upload_url": f"{workspace.base_url}/upload/{file_id}", "file_id": file_id}


def complete_upload(workspace: Memory, arguments: Arguments) -> Answer:
    held = arguments.get("files")
    files = json.loads(held) if isinstance(held, str) else held or []
    if any(not workspace.files.get(one["id"]) for one in files):
        raise SlackRefusal("file_not_found")
    channel = _channel(workspace, arguments)
    thread = arguments.get("thread_ts")
    message = Message(channel=channel, ts=workspace.new_ts(), user=BOT_USER, thread_ts=thread)
    message.files = [one["id"] for one in files]
    workspace.add(message)
    return {"files": [{"id": one["id"], "title": one.get("title")} for one in files]}


METHODS: dict[str, Callable[[Memory, Arguments], Answer]] = {
    "api.test": api_test,
    "auth.test": auth_test,
    "chat.postMessage": chat_post_message,
    "chat.update": chat_update,
    "chat.postEphemeral": chat_post_ephemeral,
    "files.getUploadURLExternal": get_upload_url,
    "files.completeUploadExternal": complete_upload,
    "views.open": views_open,
    "views.publish": views_publish,
    "views.update": views_update,
}
