"""What collects bundles, wired by hand, for the bot and the command line."""

from bot.clients.charts import ChartProcess
from bot.domain.collecting import Manifest
from bot.evidence import load
from bot.handlers.collecting import Collector
from bot.handlers.probing import Prober
from bot.logs import secrets_of
from bot.ports import Record
from bot.settings import Settings


def collector(settings: Settings, asks: Prober) -> Collector:
    """For all targets that ``asks`` knows."""

    def index(manifest: Manifest, record: Record | None) -> bytes:
        from bot.site.evidence import index as made  # Jinja, which a start should not pay for

        return made(manifest, record, folder=settings.templates_dir)

    return Collector(
        prober=asks,
        sources=load(),
        charts=ChartProcess(),
        folder=settings.evidence_dir,
        limits=settings.evidence,
        index=index,
        secrets=secrets_of(settings),
    )
