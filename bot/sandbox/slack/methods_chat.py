"""Messages and what hangs on them: chat.*, pins.*, reactions.add and files.*."""

import json
from typing import Any

from bot.sandbox.slack.access import joined, message_in, visible
from bot.sandbox.slack.limits import SlackRefusal, blocks_of, named
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import BOT_USER, Channel, Message

Arguments = dict[str, Any]
Answer = dict[str, Any]
_TEXT = 40_000
_METADATA_BYTES = 16_000
_PINS = 100


def chat_post_message(workspace: Memory, arguments: Arguments) -> Answer:
    channel = _writable(workspace, arguments)
    message = _message(workspace, arguments, channel.id)
    message.thread_ts = arguments.get("thread_ts")
    message.metadata = _metadata(arguments)
    workspace.add(message)
    return {"channel": channel.id, "ts": message.ts, "message": message.payload(metadata=True)}


def _writable(workspace: Memory, arguments: Arguments) -> Channel:
    """Where to post: chat:write.public lets the bot into public channels that it is not in; a user is their IM."""
    if str(arguments.get("channel")) in workspace.people:
        return workspace.direct(str(arguments["channel"]))
    channel = visible(workspace, arguments)
    if channel.is_archived:
        raise SlackRefusal("is_archived")
    if BOT_USER not in channel.members and "chat:write.public" not in workspace.scopes:
        raise SlackRefusal("not_in_channel")
    return channel


def _message(workspace: Memory, arguments: Arguments, channel: str) -> Message:
    blocks, text = named(blocks_of(arguments)), str(arguments.get("text") or "")
    if not blocks and not text:
        raise SlackRefusal("no_text")
    if len(text) > _TEXT:
        raise SlackRefusal("msg_too_long")
    return Message(channel=channel, ts=workspace.new_ts(), user=BOT_USER, text=text, blocks=blocks)


def _metadata(arguments: Arguments) -> dict[str, Any] | None:
    held = arguments.get("metadata")
    if not held:
        return None
    try:
        metadata = json.loads(held) if isinstance(held, str) else held
    except ValueError as error:
        raise SlackRefusal("invalid_metadata_format") from error
    event_type, payload = (metadata.get(key) for key in ("event_type", "event_payload"))
    if not (isinstance(event_type, str) and event_type and isinstance(payload, dict)):
        raise SlackRefusal("invalid_metadata_format")
    if len(json.dumps(metadata)) > _METADATA_BYTES:
        raise SlackRefusal("metadata_too_large")
    return {"event_type": event_type, "event_payload": payload}


def chat_update(workspace: Memory, arguments: Arguments) -> Answer:
    message = _own(workspace, arguments, "cant_update_message")
    new = _message(workspace, arguments, message.channel)
    message.blocks, message.text = new.blocks, new.text
    message.metadata = _metadata(arguments) or message.metadata
    message.edits += 1
    workspace.changed()
    held = message.payload(metadata=True)
    return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": held}


def _own(workspace: Memory, arguments: Arguments, refusal: str) -> Message:
    channel = visible(workspace, arguments)
    message = message_in(workspace, channel, arguments, "ts")
    if message.user != BOT_USER:
        raise SlackRefusal(refusal)
    if channel.is_archived:
        raise SlackRefusal("is_inactive")
    return message


def chat_delete(workspace: Memory, arguments: Arguments) -> Answer:
    message = _own(workspace, arguments, "cant_delete_message")
    workspace.remove(message)
    pins = workspace.channels[message.channel].pins
    if message.ts in pins:
        pins.remove(message.ts)
    return {"channel": message.channel, "ts": message.ts}


def chat_post_ephemeral(workspace: Memory, arguments: Arguments) -> Answer:
    channel = _writable(workspace, arguments)
    user = str(arguments.get("user"))
    if user not in workspace.people or user not in channel.members:
        raise SlackRefusal("user_not_in_channel")
    message = _message(workspace, arguments, channel.id)
    message.only_for = user
    workspace.add(message)
    return {"message_ts": message.ts}


def chat_get_permalink(workspace: Memory, arguments: Arguments) -> Answer:
    channel = visible(workspace, arguments)
    message = message_in(workspace, channel, arguments, "message_ts")
    link = f"https://sandbox.slack.example/archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def pins_add(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments)
    message = message_in(workspace, channel, arguments, "timestamp")
    if message.ts in channel.pins:
        raise SlackRefusal("already_pinned")
    if len(channel.pins) >= _PINS:
        raise SlackRefusal("too_many_pins")
    channel.pins.append(message.ts)
    workspace.changed()
    return {}


def pins_remove(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments)
    message = message_in(workspace, channel, arguments, "timestamp")
    if message.ts not in channel.pins:
        raise SlackRefusal("no_pin")
    channel.pins.remove(message.ts)
    workspace.changed()
    return {}


def pins_list(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments, archived=None)
    messages = [message for ts in channel.pins if (message := workspace.find(channel.id, ts))]
    return {"items": [{"type": "message", "channel": channel.id, "message": one.payload()} for one in messages]}


def reactions_add(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments)
    message = message_in(workspace, channel, arguments, "timestamp")
    name = str(arguments.get("name") or "").strip(":")
    if not name:
        raise SlackRefusal("invalid_name")
    users = message.reactions.setdefault(name, [])
    if BOT_USER in users:
        raise SlackRefusal("already_reacted")
    users.append(BOT_USER)
    workspace.changed()
    return {}


def get_upload_url(workspace: Memory, arguments: Arguments) -> Answer:
    if not arguments.get("filename") or not arguments.get("length"):
        raise SlackRefusal("invalid_arguments")
    file_id = "F" + workspace.new_ts().replace(".", "")
    workspace.files[file_id] = b""
    workspace.file_names[file_id] = str(arguments["filename"])
    return {"upload_url": f"{workspace.base_url}/upload/{file_id}", "file_id": file_id}


def complete_upload(workspace: Memory, arguments: Arguments) -> Answer:
    held = arguments.get("files")
    files = json.loads(held) if isinstance(held, str) else held or []
    if any(not workspace.files.get(one["id"]) for one in files):
        raise SlackRefusal("file_not_found")
    channel = _writable(workspace, {**arguments, "channel": arguments.get("channel_id")})
    message = Message(channel=channel.id, ts=workspace.new_ts(), user=BOT_USER, thread_ts=arguments.get("thread_ts"))
    message.files = [one["id"] for one in files]
    message.file_names = [workspace.file_names[one["id"]] for one in files]
    workspace.add(message)
    return {"files": [{"id": one["id"], "title": one.get("title")} for one in files]}
