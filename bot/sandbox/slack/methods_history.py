"""What was said: conversations.history (newest first) and conversations.replies (the thread from its start)."""

from decimal import Decimal, InvalidOperation
from typing import Any

from bot.sandbox.slack.access import flag, joined, page
from bot.sandbox.slack.limits import SlackRefusal
from bot.sandbox.slack.memory import Memory
from bot.sandbox.slack.model import Message

Arguments = dict[str, Any]
Answer = dict[str, Any]


def history(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments, archived=None)
    said = [one for one in workspace.messages if one.channel == channel.id and not one.only_for]
    threads: dict[str, list[Message]] = {}
    for message in said:
        if message.thread_ts and message.thread_ts != message.ts:
            threads.setdefault(message.thread_ts, []).append(message)
    shown = [one for one in _within(said, arguments) if one.thread_ts in (None, one.ts)]
    messages, cursor = page(shown[::-1], arguments, usual=100, most=999)
    held = [{**_payload(one, arguments), **_thread(one, threads.get(one.ts, []))} for one in messages]
    return {"messages": held, **_rest(cursor), "pin_count": len(channel.pins)}


def replies(workspace: Memory, arguments: Arguments) -> Answer:
    channel = joined(workspace, arguments, archived=None)
    parent = workspace.find(channel.id, str(arguments.get("ts")))
    if parent is None or parent.only_for:
        raise SlackRefusal("thread_not_found")
    answers = [
        one
        for one in workspace.messages
        if one.channel == channel.id and one.thread_ts == parent.ts and one is not parent and not one.only_for
    ]
    messages, cursor = page([parent, *_within(answers, arguments)], arguments, usual=1000, most=1000)
    held = [_payload(one, arguments) for one in messages]
    if held and messages[0] is parent:
        held[0] |= _thread(parent, answers)
    return {"messages": held, **_rest(cursor)}


def _payload(message: Message, arguments: Arguments) -> Answer:
    return message.payload(metadata=flag(arguments, "include_all_metadata"))


def _thread(message: Message, answers: list[Message]) -> Answer:
    if not answers:
        return {}
    return {"thread_ts": message.ts, "reply_count": len(answers), "latest_reply": answers[-1].ts}


def _within(messages: list[Message], arguments: Arguments) -> list[Message]:
    """The messages between ``oldest`` and ``latest``, which belong to it only where the call says ``inclusive``."""
    oldest, latest = (_instant(arguments, name) for name in ("oldest", "latest"))
    inclusive = flag(arguments, "inclusive")
    return [
        one
        for one in messages
        if (oldest is None or Decimal(one.ts) > oldest or (inclusive and Decimal(one.ts) == oldest))
        and (latest is None or Decimal(one.ts) < latest or (inclusive and Decimal(one.ts) == latest))
    ]


def _instant(arguments: Arguments, name: str) -> Decimal | None:
    held = arguments.get(name)
    if held in (None, ""):
        return None
    try:
        return Decimal(str(held))
    except InvalidOperation as error:
        raise SlackRefusal(f"invalid_ts_{name}") from error


def _rest(cursor: str) -> Answer:
    return {"has_more": bool(cursor), **({"response_metadata": {"next_cursor": cursor}} if cursor else {})}
