"""Every row of the decision table, twice or more, with conflicting and missing signals among them."""

import pytest

from bot.domain.diagnosis import diagnose
from bot.domain.signals import Finding, ProbeName
from bot.domain.table import ROWS
from tests.domain.cases import (
    LARGE,
    NOW,
    SMALL,
    canaries,
    canary,
    control,
    egress,
    health,
    logs,
    models,
    pods,
    rollout,
    secret,
    traffic,
    unknown,
    world,
)

P = ProbeName
NO_ALLOWANCE = {"x-ratelimit-limit-req-minute": "0"}
NO_TOKENS = {"x-ratelimit-remaining-tokens-month": "0"}
NO_TOKENS_BY_SIZE = {"x-ratelimitbysize-remaining-month": "0"}
NOT_TOLD = {"x-ratelimit-limit-req-minute": "none", "x-ratelimit-remaining-tokens-month": "NaN"}

# (row, cause, remedies, findings)
CASES: list[tuple[int, str, str, tuple[Finding, ...]]] = [
    (1, "bot_vantage", "", world(models("dns"), canaries(canary("dns")), control("dns"), health("dns"))),
    (1, "bot_vantage", "", (models("connect"), control("connect"))),
    (1, "bot_vantage", "", world(models("connect"), control("dns"), *unknown(P.HEALTH, P.PROMETHEUS))),
    (2, "probe_only", "", world(models(401), canaries(canary(401)))),
    (2, "probe_only", "", world(models("tls"))),
    (2, "probe_only", "", world(models("connect"), traffic(0.009))),
    (3, "invalid_key", "rotate_key fallback", world(models(401), health(503))),
    (3, "invalid_key", "rotate_key fallback", (models(200), canaries(canary(401)))),
    (3, "invalid_key", "rotate_key fallback", world(models(401), *unknown(P.PROMETHEUS))),
    (4, "quota_exhausted", "fallback", world(models(402))),
    (4, "quota_exhausted", "fallback", world(canaries(canary(429, headers=NO_ALLOWANCE)))),
    (4, "quota_exhausted", "fallback", world(canaries(canary(429, headers=NO_TOKENS)))),
    (4, "quota_exhausted", "fallback", world(canaries(canary(429, headers=NO_TOKENS_BY_SIZE)))),
    (4, "quota_exhausted", "fallback", world(models(429, headers={"x-ratelimit-remaining-tokens-month": "-52"}))),
    (4, "quota_exhausted", "fallback", world(traffic(0.3, by_code={"402": 5, "500": 1}))),
    (5, "model_forbidden", "fallback", world(canaries(canary(403, code="1910")))),
    (5, "model_forbidden", "fallback", world(*unknown(P.PROMETHEUS), logs(_403=12))),
    (6, "model_unavailable", "fallback", world(canaries(canary(400, type="invalid_model", code="1500")))),
    (6, "model_unavailable", "rollback fallback", world(canaries(canary(404)), rollout(10))),
    (6, "model_unavailable", "fallback", world(canaries(canary(model="mistral-gone")))),
    (7, "model_capacity", "fallback", world(canaries(canary(), canary(429, LARGE, code="3505")))),
    (7, "model_capacity", "fallback", world(canaries(canary(500), canary(200, LARGE)))),
    (7, "model_capacity", "fallback", world(canaries(canary("timeout"), canary(200, LARGE)), traffic(surge=True))),
    (8, "rate_limited_surge", "rate_limit_queue limit_concurrency", world(models(429), traffic(0.2, surge=True))),
    (8, "rate_limited_surge", "rate_limit_queue limit_concurrency", world(canaries(canary(429)), traffic(surge=True))),
    (9, "rate_limited", "rate_limit_queue limit_concurrency", world(canaries(canary(429, code="1300")))),
    (9, "rate_limited", "rate_limit_queue limit_concurrency", (models(429),)),
    (9, "rate_limited", "rate_limit_queue limit_concurrency", (models(429, headers=NOT_TOLD),)),
    (10, "provider_outage", "fallback", world(models(503), canaries(canary(503)))),
    (10, "provider_outage", "fallback", world(models(500), *unknown(P.CANARY, P.PROMETHEUS), rollout(3))),
    (11, "dns_provider", "fallback", world(models("dns"), health(503))),
    (11, "dns_provider", "fallback", (models("dns"), control("timeout"))),
    (12, "dns_cluster", "fallback", world(models("dns"), control("dns"), health(503))),
    (12, "dns_cluster", "fallback", (models("dns"),)),
    (13, "tls_failure", "fallback", world(models("tls"), health(503))),
    (13, "tls_failure", "rollback fallback", world(models("tls"), traffic(0.5, onset=5), rollout(9))),
    (14, "egress_blocked", "fallback", world(models("connect"), health(503), egress(True))),
    (14, "egress_blocked", "fallback", (models("connect"), egress(True))),
    (15, "provider_unreachable", "fallback", world(models("connect"), health(503))),
    (15, "provider_unreachable", "fallback", (models("connect"), egress(None), control("timeout"))),
    (16, "provider_timeout", "fallback raise_timeout", world(models("timeout"))),
    (16, "provider_timeout", "fallback raise_timeout", (models("timeout"), control("connect"))),
    (17, "not_mistral", "fallback", world(models("garbage"))),
    (17, "not_mistral", "fallback", world(models(404))),
    (17, "not_mistral", "fallback", world(canaries(canary("garbage"), canary(422, LARGE)))),
    (18, "provider_inference_outage", "fallback", world(canaries(canary(500), canary("timeout", LARGE)))),
    (18, "provider_inference_outage", "fallback", (models(), canaries(canary("connect")))),
    (19, "provider_slow", "fallback raise_timeout", world(canaries(canary(slow=True), canary(200, LARGE)))),
    (19, "provider_slow", "fallback raise_timeout", (models(), canaries(canary(slow=True)), health(503))),
    (20, "missing_config", "", world(secret(has_key=False))),
    (20, "missing_config", "rollback", world(pods(3, 2, waiting={"CreateContainerConfigError": 1}), rollout(9))),
    (20, "missing_config", "", world(secret(exists=False, has_key=False), *unknown(P.PODS))),
    (
        21,
        "bad_release",
        "rollback",
        world(pods(3, 2, waiting={"CrashLoopBackOff": 1}), rollout(8), traffic(0.2, onset=6)),
    ),
    (21, "bad_release", "rollback", world(pods(3, 3, terminated={"OOMKilled": 1}), rollout(8))),
    (21, "bad_release", "rollback", world(pods(3, 1), rollout(29), *unknown(P.PROMETHEUS))),
    (22, "overloaded", "limit_concurrency restart", world(pods(terminated={"OOMKilled": 2}))),
    (22, "overloaded", "limit_concurrency restart", (models(), pods(3, 2, terminated={"OOMKilled": 1}))),
    (23, "stale_key", "restart", world(traffic(0.4, by_code={"401": 8}))),
    (23, "stale_key", "restart", world(*unknown(P.PROMETHEUS), logs(_401=30))),
    (24, "wrong_key_reference", "", world(models(source="environment"), traffic(0.4, by_code={"401": 8}))),
    (
        24,
        "wrong_key_reference",
        "rollback",
        world(secret(referenced=False), traffic(0.4, by_code={"401": 8}), rollout(9)),
    ),
    (
        25,
        "rate_limited_surge",
        "rate_limit_queue limit_concurrency",
        world(traffic(0.6, surge=True, by_code={"429": 55})),
    ),
    (25, "rate_limited_surge", "rate_limit_queue limit_concurrency", (traffic(0.2, surge=True, by_code={"429": 1}),)),
    (26, "rate_limited", "rate_limit_queue limit_concurrency", world(traffic(0.1, by_code={"429": 3, "500": 1}))),
    (26, "rate_limited", "rate_limit_queue limit_concurrency", (models(), logs(_429=10))),
    (27, "payload_regression", "rollback", world(traffic(0.45, onset=4, by_code={"422": 9}), rollout(7))),
    (27, "payload_regression", "rollback", world(*unknown(P.PROMETHEUS), logs(_413=11), rollout(20))),
    (28, "bad_input", "", world(traffic(0.45, by_code={"400": 9}))),
    (28, "bad_input", "", world(traffic(0.45, onset=60, by_code={"422": 9}), rollout(7))),
    (29, "model_unavailable", "fallback", world(traffic(0.1, by_code={"invalid_model": 2}))),
    (29, "model_unavailable", "rollback fallback", world(traffic(0.1, onset=9, by_code={"404": 2}), rollout(12))),
    (30, "dns_cluster", "fallback", world(traffic(0.1, by_code={"dns": 2}))),
    (30, "dns_cluster", "fallback", (models(), logs(dns=10))),
    (31, "egress_blocked", "fallback", world(traffic(0.1, by_code={"connect": 2}))),
    (31, "egress_blocked", "fallback", world(health(503), egress(False, True))),
    (32, "tls_failure", "fallback", world(traffic(0.1, by_code={"tls": 2}))),
    (32, "tls_failure", "rollback fallback", world(*unknown(P.PROMETHEUS), logs(tls=10), rollout(5))),
    (33, "app_timeout", "raise_timeout", world(traffic(0.1, by_code={"timeout": 2}))),
    (33, "app_timeout", "rollback raise_timeout", world(traffic(0.1, onset=3, by_code={"timeout": 2}), rollout(5))),
    (34, "own_regression", "rollback", world(traffic(0.1, onset=3, by_code={"500": 1, "503": 1}), rollout(5))),
    (34, "own_regression", "rollback", world(*unknown(P.PROMETHEUS), logs(_500=12), rollout(5))),
    (35, "provider_intermittent", "fallback", world(traffic(0.1, by_code={"500": 1, "502": 1, "429": 1.5}))),
    (35, "provider_intermittent", "fallback", (models(), canaries(), logs(_503=12))),
    (36, "one_pod", "restart", world(traffic(0.1, by_pod={"a": 1.7, "b": 0.3}))),
    (36, "one_pod", "restart", world(traffic(0.1, by_pod={"a": 2.0}, pods=3))),
    (37, "own_regression", "rollback", world(health(500), rollout(12))),
    (37, "own_regression", "rollback", world(traffic(0.02, onset=2), rollout(31))),
    (38, "own_service", "restart", world(health(500))),
    (38, "own_service", "restart", world(*unknown(P.PROMETHEUS), logs(other=10))),
    (38, "own_service", "restart", world(pods(3, 2))),
    (39, "recovered", "", world(traffic(0.0, error_ratio_30m=0.2))),
    (39, "recovered", "", (models(), traffic(0.005, error_ratio_30m=0.01))),
    (40, "healthy", "", world()),
    (40, "healthy", "", (models(),)),
    (41, "inconclusive", "", ()),
    (41, "inconclusive", "", (health(),)),
    (41, "inconclusive", "", world(canaries(canary("tls")))),
]


@pytest.mark.parametrize(
    ("row", "cause", "remedies", "findings"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_the_first_row_that_matches_gives_the_cause(
    row: int, cause: str, remedies: str, findings: tuple[Finding, ...]
) -> None:
    found = diagnose(findings, NOW)
    assert (found.row, found.cause, " ".join(found.mitigations)) == (row, cause, remedies)


def test_every_row_has_at_least_two_cases() -> None:
    for row in ROWS:
        assert sum(case[0] == row.number for case in CASES) >= 2, row.number


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_no_row_proposes_what_it_says_never(row: object) -> None:
    one = next(known for known in ROWS if known is row)
    assert not {name.rstrip("?") for name in one.remedies} & set(one.never)


def test_the_rows_are_numbered_as_in_the_table() -> None:
    assert [row.number for row in ROWS] == list(range(1, 42))


@pytest.mark.parametrize("model", [SMALL, "mistral-small-2603"])
def test_a_model_is_listed_by_its_id_or_an_alias(model: str) -> None:
    assert diagnose(world(canaries(canary(model=model))), NOW).cause == "healthy"
