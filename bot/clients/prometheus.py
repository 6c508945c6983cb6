"""Prometheus through prometheus-api-client, bounded: nothing that a server does can hold or fill the bot.

The library is synchronous, so that each question runs in a thread of its own. It ends at its deadline because its
sockets are then shut; only a name that is still being looked up goes on, and nobody waits for that.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bot.clients.threads import Unawaited
from bot.errors import BadAnswer, Forbidden, LoginExpired, Unreachable, UpstreamError
from bot.ports import Sample, Series
from bot.settings import Network, Prometheus

_Row = TypeVar("_Row")


class PrometheusMetrics:
    """The Metrics port on one server; an answer larger than ``limit_bytes`` is refused."""

    def __init__(self, settings: Prometheus, network: Network, limit_bytes: int) -> None:
        self._url = (settings.url or "").rstrip("/")
        self._token = settings.token
        self._network = network
        self._limit_bytes = limit_bytes

    async def query(self, promql: str, *, timeout_s: float) -> Sequence[Sample]:
        """An instant query; values can be NaN or infinite."""
        found = await self._ask(lambda client: client.custom_query(promql), timeout_s)
        return _read(found, lambda row: Sample(labels=_labels(row), value=float(row["value"][1])))

    async def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_s: float, timeout_s: float
    ) -> Sequence[Series]:
        """A range query; the times of the points are in UTC."""

        def ask(client: Any) -> Any:
            return client.custom_query_range(promql, start_time=start, end_time=end, step=f"{step_s:g}")

        def read(row: Any) -> Series:
            points = ((datetime.fromtimestamp(float(at), UTC), float(value)) for at, value in row["values"])
            return Series(labels=_labels(row), points=tuple(points))

        return _read(await self._ask(ask, timeout_s), read)

    async def _ask(self, question: Callable[[Any], Any], timeout_s: float) -> Any:
        work = asyncio.get_running_loop().run_in_executor(Unawaited(), self._ask_now, question, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except TimeoutError as error:
            raise _late(timeout_s) from error

    def _ask_now(self, question: Callable[[Any], Any], timeout_s: float) -> Any:
        load_library()
        import requests
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from prometheus_api_client.prometheus_connect import PrometheusConnect
        from urllib3.exceptions import HTTPError
        from urllib3.util.retry import Retry

        from bot.clients.bounded import BoundedSession, OverLimit

        with BoundedSession(timeout_s, self._limit_bytes, self._network) as session:
            headers = {"Authorization": f"Bearer {self._token.reveal()}"} if self._token else {}
            # a float serves as well as the int that it names
            options: dict[str, Any] = {"session": session, "timeout": timeout_s, "retry": Retry(0)}
            client = PrometheusConnect(self._url, headers=headers, **options)
            try:
                return question(client)
            except OverLimit as error:
                raise BadAnswer(
                    f"Prometheus answered with more than {self._limit_bytes} bytes: name fewer series in "
                    "PROMETHEUS_ERRORS and PROMETHEUS_REQUESTS, or raise limits.response_bytes"
                ) from error
            except PrometheusApiClientException:
                # its text holds the whole body
                raise _refused(session.last_status, session.last_body) from None
            except (
                *(json.JSONDecodeError, KeyError, TypeError),
                *(requests.exceptions.JSONDecodeError, requests.exceptions.ContentDecodingError),
            ) as error:
                raise _nonsense() from error
            except (requests.RequestException, HTTPError, OSError) as error:
                if session.late:
                    raise _late(timeout_s) from error
                raise self._unreachable(error) from error
            except (RecursionError, ValueError) as error:
                # after those of requests, of which some are ValueErrors too
                raise _nonsense() from error

    def _unreachable(self, error: Exception) -> UpstreamError:
        import requests

        if isinstance(error, requests.Timeout):
            return Unreachable("Prometheus did not answer in time: check PROMETHEUS_URL and the way to it")
        reason = "its certificate is not trusted: set SSL_CERT_FILE"
        if not isinstance(error, requests.exceptions.SSLError):
            reason = "check PROMETHEUS_URL and the way to it"
        return Unreachable(f"Prometheus at {urlsplit(self._url).hostname} cannot be reached: {reason}")


def _late(timeout_s: float) -> Unreachable:
    return Unreachable(f"Prometheus did not answer within {timeout_s:g} s: check that it is up and not overloaded")


def _nonsense() -> BadAnswer:
    return BadAnswer("what answers at PROMETHEUS_URL is not Prometheus: check the address, and a proxy before it")


def _refused(status: int, body: bytes) -> UpstreamError:
    if status == 401:
        return LoginExpired("Prometheus no longer accepts the login (401): renew PROMETHEUS_TOKEN")
    if status == 403:
        return Forbidden("forbidden: query Prometheus (403): let PROMETHEUS_TOKEN read it")
    if 300 <= status <= 399:
        return BadAnswer(f"PROMETHEUS_URL redirects ({status}): set it to the address where Prometheus itself answers")
    if status in (400, 422):
        try:
            said = str(json.loads(body)["error"])[:200]
        except (ValueError, KeyError, TypeError, RecursionError):
            return _nonsense()
        return BadAnswer(f"Prometheus refused the query: {said}; check PROMETHEUS_ERRORS and PROMETHEUS_REQUESTS")
    return BadAnswer(f"Prometheus answered with {status}: look at its own logs and load")


def load_library() -> None:
    """Imports it: 0.2 s, which a bot without Prometheus should not spend."""
    import bot.clients.bounded  # noqa: F401 - for whoever imports from it next


def _labels(row: Any) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in row["metric"].items()}


def _read(found: Any, read: Callable[[Any], _Row]) -> tuple[_Row, ...]:
    if not isinstance(found, list):
        raise _nonsense()
    try:
        return tuple(read(row) for row in found)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, OSError) as error:
        raise _nonsense() from error
