"""The decision table, row by row as in decision-table.md; the first row all of whose conditions hold is the cause."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.domain.evidence import BAD_RATIO, Evidence, Truth, all_of, any_of, holds_unless
from bot.domain.remedies import RemedyName
from bot.domain.signals import Answer, CanaryAnswer, Failure

REMEDIES = tuple(name.value for name in RemedyName)


@dataclass(frozen=True)
class Condition:
    """One thing that is asked; ``text`` is how people read it in the path."""

    text: str
    ask: Callable[[Evidence], Truth]


@dataclass(frozen=True)
class Row:
    """``when`` all hold: ``cause``. ``rollback?`` among the remedies: only if there was a rollout before the onset."""

    number: int
    cause: str
    when: tuple[Condition, ...]
    remedies: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


def _status(*statuses: int) -> Callable[[Answer], bool]:
    return lambda answer: answer.is_status(*statuses)


def _model_refused(answer: CanaryAnswer) -> bool:
    invalid = answer.type == "invalid_model" or answer.code == "1500"
    return answer.is_status(404, 410) or (answer.is_status(400) and invalid)


def _no_capacity(answer: Answer) -> bool:
    return answer.is_status(429) and answer.code in ("3505", "3810")


def _broken(answer: Answer) -> bool:
    return answer.is_server_error or answer.failure is Failure.TIMEOUT


def _some_but_not_all_broken(evidence: Evidence) -> Truth:
    if evidence.canaries is None:
        return None
    broken = sum(map(_broken, evidence.canaries))
    return len(evidence.canaries) >= 2 and 0 < broken < len(evidence.canaries)


def _unlisted(evidence: Evidence) -> Truth:
    """The models are listed, and that of a canary is among neither the ids nor the aliases."""
    if evidence.models is None or evidence.canaries is None:
        return None
    if not evidence.models.ok:
        return False
    listed = {name for model in evidence.models.models for name in (model.id, *model.aliases)}
    return any(answer.model not in listed for answer in evidence.canaries)


# The statuses that the rows above "not_mistral" name, for the models and for a canary.
_NAMED_FOR_MODELS = (200, 401, 402, 403, 429)
_NAMED_FOR_CANARIES = (*_NAMED_FOR_MODELS, 404, 410)


def _foreign(answer: Answer) -> bool:
    strange = answer.failure is None and not answer.is_server_error and answer.status not in _NAMED_FOR_MODELS
    return answer.failure is Failure.GARBAGE or strange


def _foreign_canary(answer: CanaryAnswer) -> bool:
    return _foreign(answer) and not answer.is_status(*_NAMED_FOR_CANARIES) and not _model_refused(answer)


def _recent_errors(evidence: Evidence) -> Truth:
    ratio = None if evidence.traffic is None else evidence.traffic.error_ratio_30m
    return None if ratio is None else round(ratio, 6) >= BAD_RATIO


def _pods_fail(evidence: Evidence) -> Truth:
    below = None if evidence.pods is None else evidence.pods.below_desired
    waiting = evidence.pods_wait_for("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull")
    return any_of((waiting, evidence.out_of_memory, below))


_SERVICE_BAD = Condition("our service is bad", lambda e: e.service_bad)
_NOT_BAD = Condition("our service is not bad", lambda e: holds_unless(e.service_bad))
_FINE = Condition("our service is fine", lambda e: e.service_fine)
_MODELS_OK = Condition("models: ok", lambda e: e.models_ok)
_NO_CANARY_FAILED = Condition("no canary failed", lambda e: holds_unless(e.a_canary_failed))
_SURGE = Condition("traffic has at least doubled within the hour", lambda e: e.surge)
_ROLLOUT = Condition("rollout before onset", lambda e: e.rollout_before_onset)
_RATE_LIMITED = Condition("models or a canary: 429", lambda e: e.api(_status(429)))


def _models(stage: Failure) -> Condition:
    return Condition(f"models: {stage}", lambda e: e.models_failed_by(stage))


def _app_sees(*kinds: str) -> Condition:
    return Condition(f"the app sees {' or '.join(kinds)}", lambda e: e.app_sees(*kinds))


_BAD_PAYLOAD = _app_sees("400", "413", "422")
_APP_429 = _app_sees("429")
_APP_5XX = _app_sees("5xx")
_THROTTLE = ("rate_limit_queue", "limit_concurrency")

ROWS: tuple[Row, ...] = (
    Row(
        1,
        "bot_vantage",
        (
            Condition(
                "control and models fail by dns or connect",
                lambda e: all_of((e.control_off_network, e.models_failed_by(Failure.DNS, Failure.CONNECT))),
            ),
            _NOT_BAD,
        ),
        never=REMEDIES,
    ),
    Row(
        2,
        "probe_only",
        (
            Condition(
                "models: 401, dns, connect or tls",
                lambda e: e.models_are(
                    lambda a: a.is_status(401) or a.failure in (Failure.DNS, Failure.CONNECT, Failure.TLS)
                ),
            ),
            _FINE,
        ),
        never=REMEDIES,
    ),
    Row(
        3,
        "invalid_key",
        (Condition("models or a canary: 401", lambda e: e.api(_status(401))),),
        ("rotate_key", "fallback"),
        ("rollback",),
    ),
    Row(
        4,
        "quota_exhausted",
        (
            Condition(
                "402, or 429 with no allowance left",
                lambda e: any_of((e.api(_status(402)), e.app_sees("402"), e.api(lambda a: a.has_no_allowance))),
            ),
        ),
        ("fallback",),
        ("rotate_key", "restart"),
    ),
    Row(
        5,
        "model_forbidden",
        (Condition("models, a canary or the app: 403", lambda e: any_of((e.api(_status(403)), e.app_sees("403")))),),
        ("fallback",),
        ("rotate_key", "restart"),
    ),
    Row(
        6,
        "model_unavailable",
        (
            Condition(
                "a canary's model is refused or not listed",
                lambda e: any_of((e.a_canary(_model_refused), _unlisted(e))),
            ),
        ),
        ("rollback?", "fallback"),
        ("rotate_key", "restart"),
    ),
    Row(
        7,
        "model_capacity",
        (
            _MODELS_OK,
            Condition(
                "a canary is short of capacity, or some but not all fail",
                lambda e: any_of((e.a_canary(_no_capacity), _some_but_not_all_broken(e))),
            ),
        ),
        ("fallback",),
        ("rotate_key", "restart", "rollback"),
    ),
    Row(8, "rate_limited_surge", (_RATE_LIMITED, _SURGE), _THROTTLE, ("restart", "rotate_key")),
    Row(9, "rate_limited", (_RATE_LIMITED,), _THROTTLE, ("restart", "rotate_key")),
    Row(
        10,
        "provider_outage",
        (Condition("models: 5xx", lambda e: e.models_are(lambda a: a.is_server_error)),),
        ("fallback",),
        ("rotate_key", "restart", "rollback"),
    ),
    Row(
        11,
        "dns_provider",
        (_models(Failure.DNS), Condition("control resolves", lambda e: e.control_resolves)),
        ("fallback",),
        ("rotate_key", "restart", "rollback"),
    ),
    Row(12, "dns_cluster", (_models(Failure.DNS),), ("fallback",), ("rotate_key", "rollback")),
    Row(13, "tls_failure", (_models(Failure.TLS),), ("rollback?", "fallback"), ("rotate_key",)),
    Row(
        14,
        "egress_blocked",
        (_models(Failure.CONNECT), Condition("egress closes 443", lambda e: e.egress_closes(443))),
        ("fallback",),
        ("rotate_key", "restart"),
    ),
    Row(15, "provider_unreachable", (_models(Failure.CONNECT),), ("fallback",), ("rotate_key", "rollback")),
    Row(16, "provider_timeout", (_models(Failure.TIMEOUT),), ("fallback", "raise_timeout"), ("rotate_key", "rollback")),
    Row(
        17,
        "not_mistral",
        (
            Condition(
                "models, or every canary: not Mistral's answer",
                lambda e: any_of((e.models_are(_foreign), e.every_canary(_foreign_canary))),
            ),
        ),
        ("fallback",),
        ("rotate_key", "restart"),
    ),
    Row(
        18,
        "provider_inference_outage",
        (
            _MODELS_OK,
            Condition(
                "every canary: 5xx, timeout or connect",
                lambda e: e.every_canary(lambda a: _broken(a) or a.failure is Failure.CONNECT),
            ),
        ),
        ("fallback",),
        ("rotate_key", "restart", "rollback"),
    ),
    Row(
        19,
        "provider_slow",
        (_MODELS_OK, _NO_CANARY_FAILED, Condition("a canary is slow", lambda e: e.a_canary(lambda a: a.slow))),
        ("fallback", "raise_timeout"),
        ("rotate_key", "restart", "rollback"),
    ),
    Row(
        20,
        "missing_config",
        (
            Condition(
                "pods wait for their configuration, or their Secret or its key is missing",
                lambda e: any_of((e.pods_wait_for("CreateContainerConfigError"), e.secret_missing)),
            ),
        ),
        ("rollback?",),
        ("rotate_key",),
    ),
    Row(21, "bad_release", (Condition("pods fail", _pods_fail), _ROLLOUT), ("rollback",), ("rotate_key",)),
    Row(
        22,
        "overloaded",
        (Condition("pods were OOMKilled", lambda e: e.out_of_memory),),
        ("limit_concurrency", "restart"),
        ("rotate_key", "rollback"),
    ),
    Row(
        23,
        "stale_key",
        (
            _app_sees("401"),
            _MODELS_OK,
            Condition("the Secret's key works, and the pods take theirs from there", lambda e: e.key_is_the_pods_own),
        ),
        ("restart",),
        ("rotate_key", "rollback"),
    ),
    Row(24, "wrong_key_reference", (_app_sees("401"),), ("rollback?",), ("rotate_key",)),
    Row(25, "rate_limited_surge", (_APP_429, _SURGE), _THROTTLE, ("restart", "rotate_key")),
    Row(26, "rate_limited", (_APP_429,), _THROTTLE, ("restart", "rotate_key")),
    Row(27, "payload_regression", (_BAD_PAYLOAD, _ROLLOUT), ("rollback",), ("rotate_key", "restart")),
    Row(28, "bad_input", (_BAD_PAYLOAD,), (), ("rollback", "rotate_key")),
    Row(
        29,
        "model_unavailable",
        (_app_sees("404", "410", "invalid_model"),),
        ("rollback?", "fallback"),
        ("rotate_key", "restart"),
    ),
    Row(30, "dns_cluster", (_app_sees("dns"),), ("fallback",), ("rotate_key", "rollback")),
    Row(
        31,
        "egress_blocked",
        (
            Condition(
                "the app sees connect, or egress closes 443 or 53 and our service is bad",
                lambda e: any_of((e.app_sees("connect"), all_of((e.egress_closes(443, 53), e.service_bad)))),
            ),
        ),
        ("fallback",),
        ("rotate_key", "restart"),
    ),
    Row(32, "tls_failure", (_app_sees("tls"),), ("rollback?", "fallback"), ("rotate_key",)),
    Row(33, "app_timeout", (_app_sees("timeout"),), ("rollback?", "raise_timeout"), ("rotate_key",)),
    Row(34, "own_regression", (_APP_5XX, _ROLLOUT), ("rollback",), ("rotate_key",)),
    Row(35, "provider_intermittent", (_APP_5XX,), ("fallback",), ("rotate_key", "restart", "rollback")),
    Row(
        36,
        "one_pod",
        (Condition("one pod has at least 80 % of the errors", lambda e: e.one_pod_fails), _SERVICE_BAD),
        ("restart",),
        ("rotate_key", "rollback"),
    ),
    Row(37, "own_regression", (_SERVICE_BAD, _ROLLOUT), ("rollback",), ("rotate_key",)),
    Row(38, "own_service", (_SERVICE_BAD,), ("restart",), ("rotate_key", "rollback")),
    Row(
        39,
        "recovered",
        (_MODELS_OK, _NO_CANARY_FAILED, _NOT_BAD, Condition("errors within the last 30 min", _recent_errors)),
        never=REMEDIES,
    ),
    Row(40, "healthy", (_MODELS_OK, _NO_CANARY_FAILED, _NOT_BAD), never=REMEDIES),
    Row(41, "inconclusive", (), never=REMEDIES),
)
