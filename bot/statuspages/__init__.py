"""Where the public is told, one a file, each ending in ``STATUS_PAGE``: from the settings it gives one, or None."""

from bot.loading import made_in
from bot.ports import Http, StatusPage
from bot.settings import Settings


def status_pages(settings: Settings, http: Http) -> tuple[StatusPage, ...]:
    """Those that are configured; raises SettingsError for a file that ends in no ``STATUS_PAGE``."""
    return made_in(__name__, __path__, "STATUS_PAGE", settings, http)
