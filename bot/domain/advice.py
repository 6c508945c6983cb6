"""What remains for a person to do, for each cause, in the runbook's order."""

from bot.domain.causes import Cause
from bot.domain.evidence import Evidence

_CONSOLE = "Check in console.mistral.ai whether the key was rotated or revoked."
_STATUS = "Watch Mistral's status page (status.mistral.ai) and tell your users on yours."
_MORE = "Ask Mistral for a higher limit: console.mistral.ai or support@mistral.ai."
_DNS = "Check name resolution from a pod: nslookup of the API's host, and the cluster's DNS pods."
_EGRESS = "Check the way out of the cluster: kubectl get networkpolicy, firewalls and proxies, TCP port 443."
_CERTIFICATES = "Check the certificates that the pods trust, the clock, and any proxy that opens TLS."
_WITHOUT = "Where fallback does not help, serve cached answers or a clear error page."
_LOGS = "Read the service's logs and configuration; Mistral's API answers."
_ROLLOUT = "Compare the newest rollout with the one before (kubectl rollout history)."

_ADVICE: dict[str, tuple[str, ...]] = {
    "bot_vantage": ("Mend the bot's own network before you believe its probes.",),
    "probe_only": ("Give the bot the key and the network that the service has.",),
    "invalid_key": (
        _CONSOLE,
        "A 401 may also be an exhausted quota: look at the workspace's usage and billing.",
        _WITHOUT,
    ),
    "quota_exhausted": (
        "Look at the workspace's usage, spend cap and billing; its keys share them, so another key does not help.",
        _MORE,
        _WITHOUT,
    ),
    "model_forbidden": ("Check the workspace's plan and which models it may use.", _MORE, _WITHOUT),
    "model_unavailable": ("Check the model's name against GET /v1/models and Mistral's deprecations.", _WITHOUT),
    "model_capacity": (
        "Move to another model, or wait: this is Mistral's capacity, not your limit.",
        _STATUS,
        _WITHOUT,
    ),
    "rate_limited_surge": ("Find what doubled the traffic: a retry loop, a batch job, a launch.", _MORE),
    "rate_limited": (_MORE,),
    "provider_outage": (_STATUS, "Wait and keep watching the API; nothing on your side mends it.", _WITHOUT),
    "dns_provider": (_DNS, _STATUS, _WITHOUT),
    "dns_cluster": (_DNS, _WITHOUT),
    "tls_failure": (_CERTIFICATES, _WITHOUT),
    "egress_blocked": (_EGRESS, _DNS, _WITHOUT),
    "provider_unreachable": ("Try the connection from a pod: curl --connect-timeout 5.", _EGRESS, _STATUS, _WITHOUT),
    "provider_timeout": ("Try the connection from a pod: curl --connect-timeout 5.", _DNS, _EGRESS, _STATUS, _WITHOUT),
    "not_mistral": (
        "Check MISTRAL_API_URL and what stands between: a proxy, a gateway, a login page.",
        _EGRESS,
        _WITHOUT,
    ),
    "provider_inference_outage": (_STATUS, "Wait and keep watching the API; nothing on your side mends it.", _WITHOUT),
    "provider_slow": (_STATUS, _WITHOUT),
    "missing_config": ("Create the Secret, or mend its name and key in the pod template.",),
    "bad_release": (_ROLLOUT, _LOGS),
    "overloaded": ("Raise the pods' memory limit or their number.",),
    "stale_key": ("Restart the pods so that they take the Secret's new key.",),
    "wrong_key_reference": (
        "Check which Secret and key the pod template references.",
        _CONSOLE,
        "A 401 may also be an exhausted quota: look at the workspace's usage and billing.",
    ),
    "payload_regression": (_ROLLOUT, "Look at the requests that Mistral refuses (400, 413, 422)."),
    "bad_input": ("Look at the requests that Mistral refuses (400, 413, 422): length, format, arguments.",),
    "app_timeout": ("Compare the service's time-out with how long Mistral takes to answer.",),
    "own_regression": (_ROLLOUT, _LOGS),
    "provider_intermittent": (_STATUS, _WITHOUT),
    "one_pod": ("Look at that pod: its node, its configuration, its logs.",),
    "own_service": (_LOGS,),
    "recovered": ("Keep watching for half an hour before you call it over.",),
    "healthy": (),
    "inconclusive": ("Look at the signals that are unknown, and ask again.",),
}


def advise(cause: Cause, evidence: Evidence) -> tuple[str, ...]:
    """The steps for ``cause`` with what the evidence adds: the key, what is down, what not to do."""
    steps = list(_ADVICE[cause.name])
    if cause.name in ("invalid_key", "probe_only", "wrong_key_reference"):
        steps[:0] = _about_the_key(evidence)
    if cause.name == "egress_blocked" and evidence.egress and evidence.egress.policies:
        steps.insert(0, f"These policies close the way: {', '.join(evidence.egress.policies[:5])}.")
    if evidence.traffic is None and cause.name != "healthy":
        logs = evidence.logs
        share = None if logs is None else logs.estimated_error_ratio
        estimate = f" (the logs suggest that about {share:.0%} of lines are errors)" if share is not None else ""
        steps.append(f"Prometheus tells nothing: look at backup metrics or the logs{estimate}.")
    return tuple(steps)


def _about_the_key(evidence: Evidence) -> list[str]:
    models = evidence.models
    if models is None or models.key_length is None:
        return []
    begins = f" and begins with {models.key_prefix}" if models.key_prefix else ""
    source = "the Secret" if models.key_source == "secret" else "MISTRAL_API_KEY"
    steps = [f"The key that was tried comes from {source}, has {models.key_length} characters{begins}."]
    refused = models.is_status(401) and models.key_source == "secret"
    if refused and evidence.app_sees("401") is not True and evidence.service_bad is not True:
        steps.append("Do not restart: the pods still work, and a new pod would take the bad key.")
    return steps
