"""What Slack's templates do with a value: mentions, dates and links that are let in, numbers as people write them."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

# What a listing takes of a section, and each of its lines.
_LISTED, _LISTED_LINE = 2800, 200
# Control characters but for tab and newline, and the marks that turn the direction of text around.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_GROUP = re.compile(r"S[A-Z0-9]{2,30}")
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,30}")
_MENTIONED = re.compile(
    r"&lt;(@[UW][A-Z0-9]{2,30}|#C[A-Z0-9]{2,30}|!subteam\^S[A-Z0-9]{2,30})(?:\|[^&<>\n]{0,80})?&gt;"
)
_PAGES = {"builtin": "the status page", "file": "its files", "atlassian": "Statuspage"}
_LINK = re.compile(r"https?://[^\s<>|\"`]+")


def escape(text: str) -> str:
    """``text`` as Slack's mrkdwn shows it literally, without characters that nobody sees."""
    clean = _UNSEEN.sub("·", text.replace("\r\n", "\n"))
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped(value: object) -> object:
    return value if isinstance(value, Markup) else escape(str(value))


def _code(text: object) -> str:
    """For text within backticks, which must not end them."""
    return str(text).replace("`", "\u2018")


def _mention(pattern: "re.Pattern[str]", sign: str) -> Any:
    def mention(identity: object) -> Any:
        if not pattern.fullmatch(str(identity)):
            return str(identity)
        return Markup(f"<{sign}{identity}>")  # noqa: S704 - only an id of Slack's gets here

    return mention


def _person(user: object) -> Any:
    """Somebody by a mention; None: nobody."""
    return "nobody yet" if user is None else _mention(_USER, "@")(user)


def _page_name(name: object) -> str:
    """How people call a status page that is called ``name`` in bot/statuspages."""
    return _PAGES.get(str(name), str(name))


def _link(url: object, text: object) -> Any:
    if not _LINK.fullmatch(str(url)):
        return str(text)
    return Markup(f"<{escape(str(url))}|{escape(str(text)).replace('|', '/')}>")  # noqa: S704 - both parts are escaped


def _when(moment: Any) -> Any:
    """An aware datetime in the reader's own zone."""
    return _date(moment, "{date_short_pretty} at {time}")


def _ago(moment: Any) -> Any:
    """How long ago it was, as the reader looks: ``3 hours ago``."""
    return _date(moment, "{ago}")


def _date(moment: Any, form: str) -> Any:
    fallback = moment.strftime("%Y-%m-%d %H:%M UTC")
    return Markup(f"<!date^{int(moment.timestamp())}^{form}|{fallback}>")  # noqa: S704 - numbers and a fixed form


def _fits(text: object, most: int) -> Any:
    """For a text of which a list or a card shows the beginning: at most ``most`` characters as Slack counts them."""
    return Markup(cut(escape(str(text)), most)[0])  # noqa: S704 - escaped first


def _listing(lines: Sequence[object], most: int) -> Any:
    """A block of code of at most ``most`` lines that fits into a section, and how many more there are."""
    shown: list[str] = []
    room = _LISTED
    for line in lines[:most]:
        text = cut(escape(_code(line).replace("\n", " ")), _LISTED_LINE)[0]
        room -= len(text) + 1
        if room < 0:
            break
        shown.append(text)
    left = len(lines) - len(shown)
    more = f"\nand {left} more {'line' if left == 1 else 'lines'}" if left else ""
    return Markup("```\n" + "\n".join(shown) + "\n```" + more)  # noqa: S704 - escaped line by line


def _mentions(text: object) -> Any:
    """For what notifies nobody (seen by one person, or an update): people, user groups and channels by their names.

    ``<!channel>`` and links stay text.
    """
    # a Markup would escape again what is put into it
    held = "".join(text) if isinstance(text, Markup) else escape(str(text))
    return Markup(_MENTIONED.sub(r"<\1>", held))  # noqa: S704 - only ids of Slack's are let through


def duration(span: timedelta) -> str:
    """Such as ``1 h 5 min``."""
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} days"


def _share(held: Any) -> str:
    """Such as ``7 of 8 (88 %)``."""
    return f"{held.kept} of {held.all} ({100 * held.kept / held.all:.0f} %)" if held.all else "none yet"


def size(count: int) -> str:
    """Bytes for people, such as ``1.4 MB``; as Slack and disks count, by thousands."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"


def _seconds(span: float) -> str:
    """Such as ``45 s``, or as a duration from two minutes on."""
    return f"{span:.0f} s" if span < 120 else duration(timedelta(seconds=span))


def cut(text: str, limit: int, mark: str = "…") -> tuple[str, str]:
    """(what fits, the rest): never within an escape or a mention, and a code block that is open is closed."""
    if len(text) <= limit:
        return text, ""
    end = limit - len(mark) - 4
    opened = max(text.rfind("&", end - 5, end), text.rfind("<", max(0, end - 200), end))
    if opened > 0 and not re.search("[;>]", text[opened:end]):
        end = opened
    line = text.rfind("\n", end - 200, end)
    end = line if line > 0 else end
    head, rest = text[:end], text[end:].lstrip("\n")
    if head.count("```") % 2:
        return f"{head}{mark}\n```", f"```{rest}"
    return head + mark, rest


FILTERS: Mapping[str, Callable[..., Any]] = {
    "code": _code,
    "user": _mention(_USER, "@"),
    "channel": _mention(_CHANNEL, "#"),
    "group": _mention(_GROUP, "!subteam^"),
    "person": _person,
    "page_name": _page_name,
    "link": _link,
    "when": _when,
    "ago": _ago,
    "fits": _fits,
    "listing": _listing,
    "mentions": _mentions,
    "moment": datetime.fromisoformat,
    "duration": duration,
    "seconds": _seconds,
    "size": size,
    "share": _share,
}
