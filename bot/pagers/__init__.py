"""Whoever wakes people, one a file, each ending in ``PAGER``: a function of the settings that gives one or None."""

import importlib
import pkgutil

from bot.errors import SettingsError
from bot.ports import Http, Pager
from bot.settings import Settings


def pagers(settings: Settings, http: Http) -> tuple[Pager, ...]:
    """Those that are configured; raises SettingsError for a file that ends in no ``PAGER``."""
    found = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        make = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PAGER", None)
        if make is None:
            raise SettingsError([f"bot/pagers/{module.name}.py does not end in PAGER"])
        pager = make(settings, http)
        if pager is not None:
            found.append(pager)
    return tuple(found)
