"""Slack's mrkdwn as HTML, for the page; everything else in it is text."""

import html
import re

from markupsafe import Markup

from bot.sandbox.slack.model import USERS

_EMOJI = {
    "ballot_box_with_check": "☑️",
    "bell": "🔔",
    "gear": "⚙️",
    "grey_question": "❔",
    "heavy_minus_sign": "\N{HEAVY MINUS SIGN}",
    "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳",
    "large_green_circle": "🟢",
    "large_orange_circle": "🟠",
    "large_yellow_circle": "🟡",
    "mag": "🔍",
    "memo": "📝",
    "no_entry": "⛔",
    "no_entry_sign": "🚫",
    "package": "📦",
    "pushpin": "📌",
    "raised_hand": "✋",
    "red_circle": "🔴",
    "rotating_light": "🚨",
    "snowflake": "❄️",
    "warning": "⚠️",
    "white_check_mark": "✅",
    "white_circle": "⚪",
    "x": "❌",
}
_BLOCK = re.compile(r"```\n?(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_BOLD = re.compile(r"(?<!\w)\*([^*\n]+)\*(?!\w)")
_ITALIC = re.compile(r"(?<!\w)_([^_\n]+)_(?!\w)")
_STRUCK = re.compile(r"(?<!\w)~([^~\n]+)~(?!\w)")
_LINK = re.compile(r"&lt;(https?://(?:(?!&gt;)[^|\s])+)(?:\|((?:(?!&gt;).)*))?&gt;")
_DATE = re.compile(r"&lt;!date\^(\d+)\^([^|^]*)(?:\^[^|]*)?\|([^&]*)&gt;")
_PERSON = re.compile(r"&lt;@(\w+)(?:\|[^&]*)?&gt;")
_NAMED = re.compile(r"&lt;[#!][\w^]+\|([^&]*)&gt;")
_EVERYBODY = re.compile(r"&lt;!(here|channel|everyone)&gt;")
_QUOTED = re.compile(r"(?:^|(?<=\n))(?:&gt;[^\n]*(?:\n|$))+")
_EMOJI_NAME = re.compile(r":([a-z_]+):")


def to_html(text: str, *, escaped: bool = True) -> Markup:
    """``text`` as HTML; ``escaped``: it comes as Slack stores it, with ``& < >`` escaped, else it is plain text."""
    # Slack's three escapes are undone only after mentions and links, which begin with a bare <, have been told apart
    safe = html.escape(text, quote=True)
    safe = _LINK.sub(lambda found: f'<a href="{found[1]}" rel="noreferrer">{found[2] or found[1]}</a>', safe)
    # the browser writes it in its own zone; until then, what Slack shows where it cannot
    safe = _DATE.sub(r'<time data-at="\1" data-form="\2">\3</time>', _EVERYBODY.sub(r"@\1", safe))
    safe = _NAMED.sub(r"\1", _PERSON.sub(lambda found: f"@{html.escape(USERS.get(found[1]) or found[1])}", safe))
    if escaped:
        safe = safe.replace("&amp;lt;", "&lt;").replace("&amp;gt;", "&gt;").replace("&amp;amp;", "&amp;")
    parts = _BLOCK.split(safe)
    return Markup("".join(f"<pre>{part}</pre>" if n % 2 else _prose(part) for n, part in enumerate(parts)))  # noqa: S704 - escaped above


def _prose(text: str) -> str:
    parts = _INLINE.split(_QUOTED.sub(_quote, text))
    shown = [f"<code>{part}</code>" if n % 2 else _styled(part) for n, part in enumerate(parts)]
    return "".join(shown).replace("\n", "<br>")


def _quote(found: re.Match[str]) -> str:
    lines = [line.removeprefix("&gt;").strip() for line in found[0].rstrip("\n").split("\n")]
    return f"<blockquote>{'<br>'.join(lines)}</blockquote>"


def _styled(text: str) -> str:
    text = _STRUCK.sub(r"<s>\1</s>", _EMOJI_NAME.sub(lambda found: _EMOJI.get(found[1], found[0]), text))
    return _ITALIC.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", text))
