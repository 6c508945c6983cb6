"""Where evidence comes from, one source a file, each ending in ``SOURCE``; :func:`load` lists this folder."""

from collections.abc import Sequence

from bot.loading import found_in
from bot.ports import Source

NAMES = ("record", "objects", "logs", "metrics", "charts")


def load() -> Sequence[Source]:
    """The sources in the order in which they are asked. Raises SettingsError that tells every file that is wrong."""
    known_in = "NAMES in bot/evidence/__init__.py"
    found = found_in(__name__, __path__, "SOURCE", NAMES, kind="source", known_in=known_in)
    return sorted(found.values(), key=lambda source: (source.order, NAMES.index(source.name)))
