"""Reads ``stakeholders``, ``status_page`` and ``provider_watch`` of the YAML file: who is told, and of what."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.domain.causes import Severity
from bot.domain.policy import Watch
from bot.policies import Wrong, is_id, read_fields, section, yes_or_no
from bot.settings import StatusPageSettings
from bot.variables import nearest

_NAME_CHARS = 80
_LINKS = 10
_PLACE = re.compile(r"[\w.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def read_stakeholders(document: Mapping[str, Any], problems: list[str]) -> Mapping[Severity, tuple[str, ...]]:
    """The channels to tell, by severity."""
    channels: dict[Severity, tuple[str, ...]] = {}
    for name, held in section(document.get("stakeholders"), "stakeholders", problems).items():
        if name not in list(Severity):
            problems.append(f"stakeholders: unknown key {name!r}; {nearest(str(name), list(Severity))}")
        elif not isinstance(held, list) or not all(is_id(one, "CG") for one in held):
            problems.append(
                f"stakeholders: {name} holds {held!r}; it should hold a list of ids of channels, such as [C012AB3CD]"
            )
        else:
            channels[Severity(name)] = tuple(dict.fromkeys(held))
    return channels


def read_watch(document: Mapping[str, Any], problems: list[str]) -> Watch:
    """How the provider is watched."""
    return read_fields(document, "provider_watch", Watch(), _WATCH, problems)


def read_status_page(document: Mapping[str, Any], problems: list[str]) -> StatusPageSettings:
    """What the public reads."""
    return read_fields(document, "status_page", StatusPageSettings(), _STATUS_PAGE, problems)


def _seconds(held: Any) -> timedelta:
    if isinstance(held, bool) or not isinstance(held, int | float) or not 1 <= held <= 86_400:
        raise Wrong("a number of seconds from 1 to 86400")
    return timedelta(seconds=held)


def _in_a_row(held: Any) -> int:
    if isinstance(held, bool) or not isinstance(held, int) or not 1 <= held <= 100:
        raise Wrong("a whole number from 1 to 100")
    return held


def _name(held: Any) -> str:
    if not isinstance(held, str) or not held.strip() or len(held) > _NAME_CHARS:
        raise Wrong(f"a name of at most {_NAME_CHARS} characters")
    return " ".join(held.split())


def _url(held: Any) -> str:
    """Raises Wrong for what is no address that a page may link to."""
    try:
        parts = urlsplit(held) if isinstance(held, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or any(map(str.isspace, held)):
        raise Wrong("an http:// or https:// URL")
    if not _PLACE.fullmatch(parts.netloc):
        # everybody reads it, and the logo's is part of a header
        raise Wrong("an http:// or https:// URL of a host, without a user or a password")
    return str(held)


def _base(held: Any) -> str:
    return _url(held).rstrip("/")


def _links(held: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(held, dict) or len(held) > _LINKS:
        raise Wrong(f"a map of at most {_LINKS} texts and the URLs that they lead to")
    return tuple((_name(text), _url(url)) for text, url in held.items())


def folder(held: Any) -> Path:
    """Raises Wrong for what is no path."""
    if not isinstance(held, str) or not held.strip():
        raise Wrong("the path of a folder")
    return Path(held)


_WATCH: Mapping[str, Callable[[Any], Any]] = {
    "page_every": _seconds,
    "probe_every": _seconds,
    "successes": _in_a_row,
}
_STATUS_PAGE: Mapping[str, Callable[[Any], Any]] = {
    "builtin": yes_or_no,
    "name": _name,
    "url": _base,
    "logo": _url,
    "links": _links,
    "folder": folder,
    "names_provider": yes_or_no,
}
