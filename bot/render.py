"""Jinja templates to Slack messages: a line of a rendered template is one block, checked against Slack's limits.

Text from outside is text: ``& < >`` are escaped wherever a template prints a value, so no mention or link can be
smuggled in. What is too long is cut with "…" and handed back as ``overflow`` for the thread; nothing is dropped.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape
from markupsafe import Markup
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from bot import errors
from bot.ports import Reply

# Slack's limits, in characters; facts.md, "Slack".
TEXT, SECTION, HEADER, BUTTON, VALUE, CONTEXT = 4000, 3000, 150, 75, 2000, 3000
BLOCKS, ACTIONS, CONTEXT_ELEMENTS = 50, 25, 10
MODAL_BLOCKS, MODAL_TITLE = 100, 24

# What a listing takes of a section, and each of its lines.
_LISTED, _LISTED_LINE = 2800, 200
# Sections a message for what did not fit: Slack takes about 12,000 characters of text blocks at once.
_REST_BLOCKS = 4

_PACKAGED = Path(__file__).with_name("_templates")
_CHECKOUT = Path(__file__).parent.parent / "templates"
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


@dataclass(frozen=True)
class Message:
    """What Slack gets: ``text`` for notifications, ``blocks``, and texts that did not fit, for the thread."""

    text: str
    blocks: list[dict[str, Any]]
    overflow: tuple[str, ...] = ()


class Renderer:
    """Renders replies; ``folder`` is looked in first. Raises TemplateError of :mod:`bot.errors`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._environment = environment_for(folder)(
            loader=loader(folder),
            undefined=StrictUndefined,
            # Slack's templates end in .j2 and are escaped by ``finalize``, which knows Slack's three characters alone
            autoescape=select_autoescape(("html",)),
            finalize=_escaped,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            code=_code,
            user=_mention(_USER, "@"),
            channel=_mention(_CHANNEL, "#"),
            group=_mention(_GROUP, "!subteam^"),
            person=_person,
            page_name=_page_name,
            link=_link,
            when=_when,
            ago=_ago,
            fits=_fits,
            listing=_listing,
            mentions=_mentions,
            moment=datetime.fromisoformat,
            duration=duration,
            seconds=_seconds,
            size=size,
            share=_share,
        )
        self._plain = self._environment.overlay(finalize=None)

    def compile_all(self) -> None:
        """Compiles Slack's templates now (50 ms), so that the first message need not wait for its own."""
        for name in self._environment.list_templates(filter_func=lambda name: name.startswith("slack/")):
            with contextlib.suppress(TemplateError):  # told when it is used, by whoever uses it
                self._environment.get_template(name)

    def message(self, reply: Reply, *, most: int = BLOCKS) -> Message:
        """The Slack message for ``reply``: ``templates/slack/{template}.j2``, at most ``most`` blocks."""
        return self._message(f"slack/{reply.template}.j2", self._lines(reply), most)

    def view(self, reply: Reply) -> dict[str, Any]:
        """The modal for ``reply``: the template's first line is the view, the others are its blocks.

        What ``reply.thread`` holds is shown beneath, as it will be posted but for its buttons.
        """
        name, (view, *blocks) = f"slack/{reply.template}.j2", self._lines(reply)
        if view.get("type") != "modal":
            raise errors.TemplateError(f"the template {name} does not begin with a modal")
        for part in ("title", "submit", "close"):
            if part in view:
                view[part]["text"], _ = _cut(view[part]["text"], MODAL_TITLE)
        messages = [self._message(name, blocks, MODAL_BLOCKS), *map(self.message, reply.thread)]
        shown = [block for one in messages for block in self._whole(one)]
        if len(shown) > MODAL_BLOCKS:
            raise errors.TemplateError(f"the template {name} makes {len(shown)} blocks; Slack takes {MODAL_BLOCKS}")
        return view | {"blocks": shown}

    def text(self, template: str, context: Mapping[str, Any]) -> str:
        """Plain text, in which nothing is escaped; ``template`` with its folder, such as ``updates/title.j2``."""
        try:
            rendered = self._plain.get_template(template).render(context)
        except (TemplateError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise errors.TemplateError(f"the template {template} cannot be rendered: {error}") from error
        return "\n".join(line.strip() for line in rendered.splitlines()).strip()

    def _whole(self, message: Message) -> list[dict[str, Any]]:
        """All of a message, to be shown in a modal."""
        blocks = [*message.blocks, *(block for part in self.rest(message.overflow) for block in part)]
        return [block for block in blocks if block["type"] != "actions"]

    def _lines(self, reply: Reply) -> list[dict[str, Any]]:
        name = f"slack/{reply.template}.j2"
        try:
            rendered = self._environment.get_template(name).render(reply.context)
            return [json.loads(line) for line in rendered.splitlines() if line.strip()]
        except (TemplateError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise errors.TemplateError(f"the template {name} cannot be rendered: {error}") from error

    def _message(self, name: str, blocks: list[dict[str, Any]], most: int) -> Message:
        overflow: list[str] = []
        try:
            fitted = [_fitted(block, overflow) for block in blocks]
        except (TypeError, LookupError) as error:
            raise errors.TemplateError(f"the template {name} makes a block without its text") from error
        if not 0 < len(fitted) <= most:
            raise errors.TemplateError(f"the template {name} makes {len(fitted)} blocks; Slack takes 1 to {most}")
        _check(fitted, name)
        return Message(text=_notification(fitted), blocks=fitted, overflow=tuple(overflow))

    def rest(self, texts: tuple[str, ...]) -> list[list[dict[str, Any]]]:
        """The blocks of as many messages as ``texts``, already escaped, need: what did not fit elsewhere."""
        pieces = []
        for text in texts:
            while text:
                piece, text = _cut(text, SECTION, "")
                pieces.append({"type": "section", "text": {"type": "mrkdwn", "text": piece}})
        return [pieces[begin : begin + _REST_BLOCKS] for begin in range(0, len(pieces), _REST_BLOCKS)]


def loader(folder: Path | None) -> FileSystemLoader:
    """Of the templates that travel with the bot; ``folder`` is looked in first."""
    own = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    return FileSystemLoader([*([folder] if folder else []), own])


def environment_for(folder: Path | None) -> type[Environment]:
    """An operator's own templates are read in a sandbox: they see values, and reach neither Python nor the process."""
    if folder is None:
        return Environment
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment


def escape(text: str) -> str:
    """``text`` as Slack's mrkdwn shows it literally, without characters that nobody sees."""
    clean = _UNSEEN.sub("·", text.replace("\r\n", "\n"))
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(value: object) -> object:
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
    return Markup(_cut(escape(str(text)), most)[0])  # noqa: S704 - escaped first


def _listing(lines: Sequence[object], most: int) -> Any:
    """A block of code of at most ``most`` lines that fits into a section, and how many more there are."""
    shown: list[str] = []
    room = _LISTED
    for line in lines[:most]:
        text = _cut(escape(_code(line).replace("\n", " ")), _LISTED_LINE)[0]
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


def _cut(text: str, limit: int, mark: str = "…") -> tuple[str, str]:
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


def _fitted(block: dict[str, Any], overflow: list[str]) -> dict[str, Any]:
    limits = {"section": SECTION, "header": HEADER}
    if block.get("type") in limits:
        text, rest = _cut(block["text"]["text"], limits[block["type"]])
        block["text"]["text"] = text
        if rest:
            overflow.append(rest)
    for element in block.get("elements", ()):
        if block["type"] == "context" and "text" in element:
            element["text"], rest = _cut(element["text"], CONTEXT)
            if rest:
                overflow.append(rest)
        if element.get("type") == "button":
            element["text"]["text"], rest = _cut(element["text"]["text"], BUTTON)
            if rest:
                overflow.append(rest)
    return block


def _check(blocks: list[dict[str, Any]], name: str) -> None:
    """Raises where Slack would refuse: its SDK's own models, and the limits that those miss."""
    for block in blocks:
        try:
            parsed = Block.parse(block)
            if parsed is None:
                raise errors.TemplateError(f"the template {name} makes an unknown block: {block.get('type')}")
            parsed.to_dict()
        except (SlackObjectFormationError, TypeError, KeyError) as error:
            raise errors.TemplateError(f"the template {name} makes a block that Slack refuses: {error}") from error
        elements = block.get("elements", [])
        texts = [
            block.get("text"),
            *(e if "type" in e and "text" in e and e["type"] == "mrkdwn" else None for e in elements),
        ]
        actions = [element.get("action_id") for element in elements if "action_id" in element]
        wrong = (
            any(text is not None and not str(text["text"]).strip() for text in texts)
            or len(actions) != len(set(actions))
            or any(len(str(element.get("value", ""))) > VALUE for element in elements)
            or len(elements) > (ACTIONS if block["type"] == "actions" else CONTEXT_ELEMENTS)
        )
        if wrong:
            raise errors.TemplateError(
                f"the template {name} makes a {block['type']} that is empty or too large for Slack"
            )


def _notification(blocks: list[dict[str, Any]]) -> str:
    """The first text of the message: what a phone shows."""
    for block in blocks:
        text = block.get("text") or next((e for e in block.get("elements", ()) if e.get("type") == "mrkdwn"), None)
        if isinstance(text, dict):
            return _cut(str(text["text"]), TEXT)[0]
    return "…"
