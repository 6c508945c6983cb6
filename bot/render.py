"""Jinja templates to Slack messages: a line of a rendered template is one block, checked against Slack's limits.

Text from outside is text: ``& < >`` are escaped wherever a template prints a value, so no mention or link can be
smuggled in. What is too long is cut with "…" and handed back as ``overflow`` for the thread; nothing is dropped.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from bot import errors
from bot.filters import FILTERS, cut, escaped
from bot.ports import Reply

# Slack's limits, in characters; facts.md, "Slack".
TEXT, SECTION, HEADER, BUTTON, VALUE, CONTEXT = 4000, 3000, 150, 75, 2000, 3000
BLOCKS, ACTIONS, CONTEXT_ELEMENTS = 50, 25, 10
MODAL_BLOCKS, MODAL_TITLE = 100, 24

# Sections a message for what did not fit: Slack takes about 12,000 characters of text blocks at once.
_REST_BLOCKS = 4

_PACKAGED = Path(__file__).with_name("_templates")
_CHECKOUT = Path(__file__).parent.parent / "templates"


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
            finalize=escaped,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._plain = self._environment.overlay(finalize=None)

    def compile(self, begins: str = "") -> None:
        """Compiles Slack's templates whose names begin so, now: a message need not wait for its own."""
        for name in self._environment.list_templates(filter_func=lambda name: name.startswith(f"slack/{begins}")):
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
                view[part]["text"], _ = cut(view[part]["text"], MODAL_TITLE)
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
                piece, text = cut(text, SECTION, "")
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


def _fitted(block: dict[str, Any], overflow: list[str]) -> dict[str, Any]:
    limits = {"section": SECTION, "header": HEADER}
    if block.get("type") in limits:
        text, rest = cut(block["text"]["text"], limits[block["type"]])
        block["text"]["text"] = text
        if rest:
            overflow.append(rest)
    for element in block.get("elements", ()):
        if block["type"] == "context" and "text" in element:
            element["text"], rest = cut(element["text"], CONTEXT)
            if rest:
                overflow.append(rest)
        if element.get("type") == "button":
            element["text"]["text"], rest = cut(element["text"]["text"], BUTTON)
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
            return cut(str(text["text"]), TEXT)[0]
    return "…"
