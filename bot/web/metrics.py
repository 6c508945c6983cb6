"""``/metrics``, in Prometheus' text form: what the bot has measured, and what it finds when it is asked."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bot.measures import REGISTRY
from bot.ports import Backlog

# All of them are told, those of which there is none too: an alert on what is not there never fires.
_STATES = ("waiting", "sending", "dead")


class Metrics:
    """``backlog``: the last look at the database, None: there was none yet; ``late``: how late each tick is, in s."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, backlog: Callable[[], Backlog | None], late: Callable[[], Mapping[str, float]] = dict) -> None:
        self._backlog, self._late = backlog, late
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """What is answered to Prometheus."""
        return generate_latest(REGISTRY) + generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What prometheus-client asks of a collector."""
        held = self._backlog()
        many = GaugeMetricFamily(
            "mistral_bot_deliveries", "Messages that are not sent yet; dead: given up.", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "mistral_bot_delivery_age_seconds", "How long the oldest of them has been there.", labels=["state"]
        )
        overdue = GaugeMetricFamily(
            "mistral_bot_clock_overdue_seconds", "How long ago an incident's or a run's clock should have been served."
        )
        if held is not None:
            for state in _STATES:
                many.add_metric([state], held.deliveries.get(state, 0))
                oldest.add_metric([state], held.oldest_s.get(state, 0.0))
            overdue.add_metric([], held.overdue_s)
        lag = GaugeMetricFamily(
            "mistral_bot_scheduler_lag_seconds", "By how much each tick is late, or was last.", labels=["tick"]
        )
        for tick, late_s in self._late().items():
            lag.add_metric([tick], late_s)
        yield from (many, oldest, overdue, lag)
