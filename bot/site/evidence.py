"""The first page of a bundle of evidence: HTML that opens offline and says all that is in it."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError

from bot import errors
from bot.domain.collecting import Held, Manifest
from bot.ports import Record
from bot.site.pages import environment

# What one page shows of a timeline; all of it is in incident/timeline.txt.
_SHOWN = 1000


def index(manifest: Manifest, record: Record | None, *, folder: Path | None) -> bytes:
    """``index.html``; ``folder`` of templates is looked in first. Raises TemplateError."""
    held = manifest.files
    entries = [] if record is None else list(record.entries)
    context = {
        "manifest": manifest,
        "record": record,
        "entries": entries[-_SHOWN:],
        "left_out": max(0, len(entries) - _SHOWN),
        "charts": [one for one in held if one.name.endswith(".png")],
        "groups": _grouped(held),
        "cut": [one for one in held if one.cut],
    }
    try:
        return environment(folder).get_template("evidence/index.html").render(context).encode("utf-8", "replace")
    except (TemplateError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise errors.TemplateError(f"the template evidence/index.html cannot be rendered: {error}") from error


def _grouped(files: Sequence[Held]) -> list[tuple[str, list[Held]]]:
    """By the folder that they are in, in the order in which those come."""
    groups: dict[str, list[Held]] = {}
    for one in files:
        groups.setdefault(one.name.partition("/")[0] if "/" in one.name else "", []).append(one)
    return list(groups.items())
