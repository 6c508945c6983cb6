"""``/metrics``, in Prometheus' text form: the deliveries by state, as the last look at the database found them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

# All of them are told, those of which there is none too: an alert on what is not there never fires.
_STATES = ("waiting", "sending", "dead")


class Metrics:
    """``deliveries`` gives how many there are by state; None: the database has not been looked at yet."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, deliveries: Callable[[], Mapping[str, int] | None]) -> None:
        self._deliveries = deliveries
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """What is answered to Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What prometheus-client asks of a collector."""
        held = self._deliveries()
        family = GaugeMetricFamily(
            "mistral_bot_deliveries", "Messages that are not sent yet; dead: given up.", labels=["state"]
        )
        for state in _STATES if held is not None else ():
            family.add_metric([state], (held or {}).get(state, 0))
        yield family
