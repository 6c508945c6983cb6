"""What the bot counts and times, for ``/metrics``: process-wide, as is usual with prometheus-client, labels bounded.

What a scrape looks up instead (deliveries, clocks, ticks) is in :mod:`bot.web.metrics`.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

# Seconds; Slack gives three.
_ACK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_PROBE_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_LAG_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0)

COMMANDS = Counter("mistral_bot_commands", "Slash commands, by verb.", ["verb"], registry=REGISTRY)
ACKS = Histogram(
    "mistral_bot_ack_seconds",
    "From a request of Slack's to its acknowledgement, by kind and HTTP status.",
    ["kind", "status"],
    buckets=_ACK_S,
    registry=REGISTRY,
)
PROBES = Histogram(
    "mistral_bot_probe_seconds",
    "How long probes took, by probe and verdict.",
    ["probe", "verdict"],
    buckets=_PROBE_S,
    registry=REGISTRY,
)
DIAGNOSES = Counter("mistral_bot_diagnoses", "Triages, by the cause that was found.", ["cause"], registry=REGISTRY)
MITIGATIONS = Counter(
    "mistral_bot_mitigations",
    "Mitigations that are over, by remedy and outcome.",
    ["remedy", "outcome"],
    registry=REGISTRY,
)
SLACK_CALLS = Counter(
    "mistral_bot_slack_calls",
    "Calls of Slack's Web API, by method and what Slack said: ok, or its word for what is wrong.",
    ["method", "status"],
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "mistral_bot_event_loop_lag_seconds",
    "How much later than it should the event loop came back to a timer.",
    buckets=_LAG_S,
    registry=REGISTRY,
)
ANSWERS = Counter(
    "mistral_bot_http_answers", "Answers over HTTP, by route and status.", ["route", "status"], registry=REGISTRY
)
REFUSALS = Counter(
    "mistral_bot_http_refusals",
    "Refused requests, by route and why (unsigned, forged, stale, token, large, slow, malformed, rate, crowd).",
    ["route", "why"],
    registry=REGISTRY,
)
