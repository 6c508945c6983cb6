"""Markdown from Jinja templates: every value is text, and stays text in whatever reads CommonMark with tables."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError

from bot import errors
from bot.filters import duration
from bot.render import environment_for, loader

# What CommonMark and tables read as something else than itself, anywhere and where a line begins.
_ANYWHERE = re.compile(r"([\\`*_\[\]<>|~&$])")
_BEGINS = re.compile(r"^([#>+=-]|\d+[.)])", re.MULTILINE)
_ESCAPED = re.compile(r"\\([\\`*_\[\]<>|~&$#+=.)-])")
_ENTITY = re.compile(r"&#(\d{2,3});")
# What the template says of a section itself.
_OWN = re.compile(r"\*[^*]+\*|Confirmed by @\S+\.")
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# An address that would become a link by itself.
_LINKED = re.compile(r"(?i)\b(https?|ftp|mailto)(:)|\b(www)(\.)|(\w)(@)(?=\w)")


def cell(value: object) -> str:
    """One line, for a table's cell or the like."""
    return text(_BREAKS.sub(" ", str(value)))


def text(value: object) -> str:
    """Text whose lines stay lines; what looks like Markdown in it is shown as it was typed."""
    plain = _UNSEEN.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n"))
    # four spaces would begin code
    plain = _INDENT.sub("", plain)
    plain = _ANYWHERE.sub(r"\\\1", plain)
    plain = _BEGINS.sub(_not_begun, plain)
    # an entity, which no reader of links looks through
    return _LINKED.sub(_unlinked, plain)


def prose(value: object) -> str:
    """As :func:`text`, but lines that begin with ``- `` are a list: what people and drafts write so is meant so."""
    lines = []
    for line in str(value).replace("\r\n", "\n").split("\n"):
        item = line.startswith("- ")
        made = text(line[2:] if item else line)
        lines.append(f"- {made}" if item else made)
    return _spaced(lines)


def _spaced(lines: list[str]) -> str:
    """With an empty line between what is a list and what is none, and lines that stay apart."""
    made: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if before and line and before.startswith("- ") != line.startswith("- "):
            made.append("")
        elif before and line and not line.startswith("- "):
            made[-1] += "\\"
        made.append(line)
    return "\n".join(made).strip("\n")


def _not_begun(found: re.Match[str]) -> str:
    mark = found[1]
    return f"\\{mark}" if len(mark) == 1 else f"{mark[:-1]}\\{mark[-1]}"


def _unlinked(found: re.Match[str]) -> str:
    mark = next(one for one in (found[2], found[4], found[6]) if one)
    return found[0].replace(mark, f"&#{ord(mark)};", 1) if mark != "@" else f"{found[5]}&#64;"


def unescaped(markdown: str) -> str:
    """The text that :func:`prose` would show so, without what the document itself says in italics."""
    lines = [line.removesuffix("\\") for line in markdown.split("\n") if not _OWN.fullmatch(line.strip())]
    plain = _ENTITY.sub(lambda found: chr(int(found[1])), "\n".join(lines))
    kept = re.sub(r"\n{2,}", "\n", _ESCAPED.sub(r"\1", plain))
    return kept.strip()


def minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M}"


def day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


@cache
def _environment(folder: Path | None) -> Environment:
    made = environment_for(folder)(
        loader=loader(folder),
        undefined=StrictUndefined,
        autoescape=False,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(prose=lambda value: _Made(prose(value)), day=lambda at: _Made(day(at)), duration=_duration)
    made.filters.update(minute=lambda at: _Made(minute(at)), percent=lambda share: _Made(_percent(share)))
    return made


class _Made(str):
    """Markdown already."""


def _finalized(value: object) -> object:
    return value if isinstance(value, _Made) else cell(value)


def _duration(span: timedelta) -> str:
    return _Made(duration(span))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def rendered(name: str, context: dict[str, Any], *, folder: Path | None) -> str:
    """The template of that name under ``postmortem/``; raises TemplateError."""
    try:
        made = _environment(folder).get_template(f"postmortem/{name}").render(context)
    except (TemplateError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise errors.TemplateError(f"the template postmortem/{name} cannot be rendered: {error}") from error
    return re.sub(r"\n{3,}", "\n\n", made).strip("\n") + "\n"
