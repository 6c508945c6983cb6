"""Whoever wakes people, one a file, each ending in ``PAGER``: a function of the settings that gives one or None."""

from bot.loading import made_in
from bot.ports import Http, Pager
from bot.settings import Settings


def pagers(settings: Settings, http: Http) -> tuple[Pager, ...]:
    """Those that are configured; raises SettingsError for a file that ends in no ``PAGER``."""
    return made_in(__name__, __path__, "PAGER", settings, http)
