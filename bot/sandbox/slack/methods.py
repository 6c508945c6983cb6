"""The methods of the Web API that the bot uses, with the errors that Slack gives; any other is ``unknown_method``."""

import json
from collections.abc import Callable
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from bot.sandbox.slack.workspace import BOT_USER, CHANNELS, TEAM, USERS, Message, Workspace

SCOPES = "app_mentions:read,channels:history,chat:write,chat:write.public,commands,files:write,groups:history"
Arguments = dict[str, Any]
Answer = dict[str, Any]


class SlackRefusal(Exception):
    """``error`` is Slack's word."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer: Answer = {"ok": False, "error": error, **more}


def blocks_of(arguments: Arguments) -> list[dict[str, Any]]:
    """The message's blocks; refuses what Slack's SDK or Slack's limits refuse (docs.slack.dev/reference/block-kit)."""
    held = arguments.get("blocks") or []
    blocks = json.loads(held) if isinstance(held, str) else held
    if len(blocks) > 50:
        raise SlackRefusal("invalid_blocks", response_metadata={"messages": ["[ERROR] no more than 50 items allowed"]})
    for place, block in enumerate(blocks):
        problem = _problem(block)
        if problem:
            messages = [f"[ERROR] {problem} [json-pointer:/blocks/{place}]"]
            raise SlackRefusal("invalid_blocks", response_metadata={"messages": messages})
    return list(blocks)


def _problem(block: dict[str, Any]) -> str:
    try:
        parsed = Block.parse(block)
        if parsed is None:
            return f"unsupported type: {block.get('type')}"
        parsed.to_dict()
    except (SlackObjectFormationError, TypeError) as error:
        return str(error)
    limit = {"section": 3000, "header": 150}.get(str(block.get("type")), 3000)
    texts = [block.get("text"), *(one for one in block.get("elements", ()) if one.get("type") == "mrkdwn")]
    for text in texts:
        if text is not None and not 0 < len(text.get("text", "")) <= limit:
            return f"must be between 1 and {limit} characters"
    if block.get("type") == "header" and block["text"]["type"] != "plain_text":
        return "a header takes plain_text"
    return ""


def _channel(workspace: Workspace, arguments: Arguments) -> str:
    channel = str(arguments.get("channel") or arguments.get("channel_id") or "")
    if channel not in CHANNELS:
        raise SlackRefusal("channel_not_found")
    return channel


def api_test(workspace: Workspace, arguments: Arguments) -> Answer:
    return {}


def auth_test(workspace: Workspace, arguments: Arguments) -> Answer:
    return {
        "url": "http://sandbox/",
        "team": "Sandbox",
        "team_id": TEAM,
        "user": "mistral-bot",
        "user_id": BOT_USER,
        "bot_id": "B0SANDBOX",
    }


def chat_post_message(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = _channel(workspace, arguments)
    if channel not in workspace.members:
        raise SlackRefusal("not_in_channel")
    message = _message(workspace, arguments, channel)
    message.thread_ts = arguments.get("thread_ts")
    workspace.add(message)
    return {"channel": channel, "ts": message.ts, "message": {"text": message.text, "ts": message.ts}}


def _message(workspace: Workspace, arguments: Arguments, channel: str) -> Message:
    blocks, text = blocks_of(arguments), str(arguments.get("text") or "")
    if not blocks and not text:
        raise SlackRefusal("no_text")
    if len(text) > 40_000:
        raise SlackRefusal("msg_too_long")
    return Message(channel=channel, ts=workspace.new_ts(), user=BOT_USER, text=text, blocks=blocks)


def chat_update(workspace: Workspace, arguments: Arguments) -> Answer:
    message = workspace.find(_channel(workspace, arguments), str(arguments.get("ts")))
    if message is None:
        raise SlackRefusal("message_not_found")
    if message.user != BOT_USER:
        raise SlackRefusal("cant_update_message")
    message.blocks, message.text = blocks_of(arguments), str(arguments.get("text") or "")
    message.edits += 1
    workspace.changed()
    return {"channel": message.channel, "ts": message.ts, "text": message.text}


def chat_post_ephemeral(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = _channel(workspace, arguments)
    user = str(arguments.get("user"))
    if user not in USERS:
        raise SlackRefusal("user_not_in_channel")
    message = _message(workspace, arguments, channel)
    message.only_for = user
    workspace.add(message)
    return {"message_ts": message.ts}


def get_upload_url(workspace: Workspace, arguments: Arguments) -> Answer:
    if not arguments.get("filename") or not arguments.get("length"):
        raise SlackRefusal("invalid_arguments")
    file_id = "F" + workspace.new_ts().replace(".", "")
    workspace.files[file_id] = b""
    return {"upload_url": f"{workspace.base_url}/upload/{file_id}", "file_id": file_id}


def complete_upload(workspace: Workspace, arguments: Arguments) -> Answer:
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


METHODS: dict[str, Callable[[Workspace, Arguments], Answer]] = {
    "api.test": api_test,
    "auth.test": auth_test,
    "chat.postMessage": chat_post_message,
    "chat.update": chat_update,
    "chat.postEphemeral": chat_post_ephemeral,
    "files.getUploadURLExternal": get_upload_url,
    "files.completeUploadExternal": complete_upload,
}
