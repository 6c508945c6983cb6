"""The causes that a triage can find: family, severity where the impact is not known, and the headline for people."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """P1 is the worst; what each promises is policy."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Family(StrEnum):
    VANTAGE = "vantage"
    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    MODEL = "model"
    PROVIDER = "provider"
    NETWORK = "network"
    SERVICE = "service"
    HEALTHY = "healthy"
    INCONCLUSIVE = "inconclusive"


# Whatever the impact, these are P4: nothing of the company's is broken, or nobody can say.
ALWAYS_P4 = frozenset({Family.HEALTHY, Family.VANTAGE, Family.INCONCLUSIVE})


@dataclass(frozen=True)
class Cause:
    """``severity`` holds where E is unknown; ``echo`` are the kinds of errors by which the app sees this cause."""

    name: str
    family: Family
    severity: Severity
    headline: str
    echo: frozenset[str] = frozenset()


def _cause(name: str, family: Family, severity: Severity, headline: str, *echo: str) -> Cause:
    return Cause(name, family, severity, headline, frozenset(echo))


_P1, _P2, _P3, _P4 = Severity

CAUSES: dict[str, Cause] = {
    cause.name: cause
    for cause in (
        _cause(
            "bot_vantage", Family.VANTAGE, _P4, "The bot itself is cut off from the network; the service looks fine"
        ),
        _cause("probe_only", Family.VANTAGE, _P4, "Only the bot's own request fails; the service is fine"),
        _cause("invalid_key", Family.AUTH, _P1, "Mistral refuses the API key (401)", "401"),
        _cause("quota_exhausted", Family.RATE_LIMIT, _P1, "The workspace has no allowance left", "402", "429"),
        _cause("model_forbidden", Family.MODEL, _P2, "The key may not use this model (403)", "403"),
        _cause(
            "model_unavailable", Family.MODEL, _P2, "A model in use is not to be had", "404", "410", "invalid_model"
        ),
        _cause("model_capacity", Family.PROVIDER, _P2, "One of Mistral's models is short of capacity", "429", "5xx"),
        _cause(
            "rate_limited_surge", Family.RATE_LIMIT, _P2, "Our own surge of traffic runs into the rate limit", "429"
        ),
        _cause("rate_limited", Family.RATE_LIMIT, _P2, "Mistral's rate limit is reached", "429"),
        _cause("provider_outage", Family.PROVIDER, _P1, "Mistral's API answers with server errors", "5xx"),
        _cause("dns_provider", Family.NETWORK, _P1, "The name of Mistral's API does not resolve", "dns"),
        _cause("dns_cluster", Family.NETWORK, _P1, "Name resolution fails", "dns"),
        _cause("tls_failure", Family.NETWORK, _P1, "No secure connection to Mistral's API can be made", "tls"),
        _cause(
            "egress_blocked",
            Family.NETWORK,
            _P1,
            "A network policy closes the way to Mistral's API",
            "connect",
            "timeout",
        ),
        _cause("provider_unreachable", Family.NETWORK, _P1, "Mistral's API cannot be reached", "connect"),
        _cause("provider_timeout", Family.NETWORK, _P1, "Mistral's API does not answer in time", "timeout"),
        _cause("not_mistral", Family.NETWORK, _P1, "Something other than Mistral's API answers", "other"),
        _cause(
            "provider_inference_outage",
            Family.PROVIDER,
            _P1,
            "Mistral lists models but completes nothing",
            "5xx",
            "timeout",
        ),
        _cause("provider_slow", Family.PROVIDER, _P2, "Mistral's models answer slowly", "timeout"),
        _cause("missing_config", Family.SERVICE, _P1, "The service's pods miss their Secret or configuration"),
        _cause("bad_release", Family.SERVICE, _P2, "The newest release does not run"),
        _cause("overloaded", Family.SERVICE, _P2, "The service's pods run out of memory"),
        _cause("stale_key", Family.AUTH, _P2, "The pods still hold an old API key; the Secret's key works", "401"),
        _cause(
            "wrong_key_reference", Family.AUTH, _P2, "The service uses another API key than the one that works", "401"
        ),
        _cause(
            "payload_regression",
            Family.SERVICE,
            _P3,
            "The newest release sends what Mistral refuses",
            "400",
            "413",
            "422",
        ),
        _cause("bad_input", Family.SERVICE, _P3, "Mistral refuses what the service sends", "400", "413", "422"),
        _cause("app_timeout", Family.SERVICE, _P2, "The service gives up on Mistral's answers too soon", "timeout"),
        _cause("own_regression", Family.SERVICE, _P2, "The newest release fails", "5xx"),
        _cause(
            "provider_intermittent", Family.PROVIDER, _P2, "Mistral's API fails some of the service's requests", "5xx"
        ),
        _cause("one_pod", Family.SERVICE, _P3, "One pod makes nearly all the errors"),
        _cause("own_service", Family.SERVICE, _P3, "The service fails by itself; Mistral's API is fine"),
        _cause("recovered", Family.HEALTHY, _P4, "It is over: errors were up within the last half hour and are gone"),
        _cause("healthy", Family.HEALTHY, _P4, "All is well"),
        _cause("inconclusive", Family.INCONCLUSIVE, _P4, "What was seen does not tell what is wrong"),
    )
}
