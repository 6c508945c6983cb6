"""Which scopes each method needs, in which kind of channel; a token without them gets ``missing_scope``.

Source: the pages of docs.slack.dev/reference/methods.
"""

from typing import Any

from bot.sandbox.slack.limits import SlackRefusal
from bot.sandbox.slack.memory import Memory

_KINDS = ("public", "private", "im")


def _by_kind(what: str, *, public: str = "", im: bool = True) -> dict[str, tuple[str, ...]]:
    """The scopes ``channels:what`` and so on; ``public`` is a narrower one that does in public channels."""
    narrower = (public,) if public else ()
    held = {"public": (f"channels:{what}", *narrower), "private": (f"groups:{what}",)}
    return {**held, **({"im": (f"im:{what}",)} if im else {})}


def _managing(public: str = "") -> dict[str, tuple[str, ...]]:
    return {"public": ("channels:manage", *((public,) if public else ())), "private": ("groups:write",)}


# by kind of channel, any one of them does; a method that is not here needs none
NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    **{
        method: dict.fromkeys(_KINDS, ("chat:write",))
        for method in ("chat.postMessage", "chat.postEphemeral", "chat.update", "chat.delete")
    },
    **dict.fromkeys(("conversations.history", "conversations.replies"), _by_kind("history")),
    **dict.fromkeys(("conversations.info", "conversations.list", "conversations.members"), _by_kind("read")),
    **dict.fromkeys(("conversations.create", "conversations.archive", "conversations.rename"), _managing()),
    "conversations.invite": _managing("channels:write.invites"),
    "conversations.setTopic": _managing("channels:write.topic"),
    "conversations.join": {"public": ("channels:join",)},
    "conversations.open": {"public": ("im:write",)},
    "files.completeUploadExternal": dict.fromkeys(_KINDS, ("files:write",)),
    "files.getUploadURLExternal": {"public": ("files:write",)},
    "pins.add": dict.fromkeys(_KINDS, ("pins:write",)),
    "pins.list": dict.fromkeys(_KINDS, ("pins:read",)),
    "pins.remove": dict.fromkeys(_KINDS, ("pins:write",)),
    "reactions.add": dict.fromkeys(_KINDS, ("reactions:write",)),
    "usergroups.list": {"public": ("usergroups:read",)},
    "usergroups.users.list": {"public": ("usergroups:read",)},
    "users.info": {"public": ("users:read",)},
}
# what Slack delivers only to those who hold it, and what widens chat.postMessage
OTHERS = ("app_mentions:read", "chat:write.public", "commands", "reactions:read")
ALL = frozenset(OTHERS) | {scope for kinds in NEEDED.values() for scopes in kinds.values() for scope in scopes}


def check(workspace: Memory, method: str, arguments: dict[str, Any]) -> None:
    """Refuses a method whose scope the token lacks."""
    needed = NEEDED.get(method, {})
    for kind in _kinds(workspace, method, arguments):
        scopes = needed.get(kind, ())
        if scopes and not workspace.scopes.intersection(scopes):
            raise SlackRefusal("missing_scope", needed=",".join(scopes), provided=",".join(sorted(workspace.scopes)))


def _kinds(workspace: Memory, method: str, arguments: dict[str, Any]) -> list[str]:
    if method == "conversations.list":
        asked = str(arguments.get("types") or "public_channel").split(",")
        return [{"public_channel": "public", "private_channel": "private"}.get(kind.strip(), "im") for kind in asked]
    if method == "conversations.create":
        return ["private" if arguments.get("is_private") in (True, "1", "true") else "public"]
    channel = workspace.channels.get(str(arguments.get("channel") or arguments.get("channel_id")))
    return [kind_of(workspace, channel.id)] if channel else ["public"]


def kind_of(workspace: Memory, channel: str) -> str:
    held = workspace.channels[channel]
    return "im" if held.is_im else "private" if held.is_private else "public"
