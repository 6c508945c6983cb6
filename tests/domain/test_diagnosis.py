"""Severity, confidence, path, also, advice and warnings."""

from datetime import timedelta

import pytest

from bot.domain.causes import CAUSES, Family
from bot.domain.diagnosis import diagnose
from bot.domain.signals import Finding, Model, ProbeName
from bot.domain.table import REMEDIES, ROWS
from tests.domain.cases import (
    LISTED,
    NOW,
    canaries,
    canary,
    control,
    egress,
    health,
    logs,
    models,
    pods,
    provider,
    rollout,
    secret,
    traffic,
    unknown,
    world,
)


@pytest.mark.parametrize(
    ("ratio", "severity"),
    [
        (1.0, "P1"),
        (0.5, "P1"),
        (0.499, "P2"),
        (0.05, "P2"),
        (0.0499, "P3"),
        (0.0011, "P3"),
        (0.001, "P4"),
        (0.0, "P4"),
    ],
)
def test_severity_comes_from_the_share_that_fails(ratio: float, severity: str) -> None:
    assert diagnose(world(models(503), traffic(ratio)), NOW).severity == severity


def test_a_share_a_hair_below_a_limit_for_floating_point_reasons_counts_as_the_limit() -> None:
    assert diagnose(world(models(503), traffic(0.05 - 1e-9)), NOW).severity == "P2"


@pytest.mark.parametrize(
    ("findings", "severity"),
    [
        ((models(401),), "P1"),
        ((models(429),), "P2"),
        ((health(503),), "P3"),
        ((health(503), pods(3, 0)), "P1"),
        ((models(429), pods(2, 0)), "P1"),
        ((models(429), pods(0, 0)), "P2"),
        ((models("dns"), control("dns")), "P4"),
        ((), "P4"),
    ],
)
def test_where_the_impact_is_unknown_severity_comes_from_the_cause(
    findings: tuple[Finding, ...], severity: str
) -> None:
    assert diagnose(findings, NOW).severity == severity


def test_families_without_a_fault_of_ours_are_always_p4() -> None:
    assert diagnose((models("dns"), control("dns"), pods(3, 0, below=False)), NOW).severity == "P4"
    assert diagnose(world(models("connect"), control("connect"), traffic(0.009)), NOW).severity == "P4"


def test_two_independent_signals_make_confidence_high() -> None:
    assert diagnose(world(models(429), traffic(0.2, by_code={"429": 4})), NOW).confidence == "high"


def test_one_signal_makes_confidence_medium() -> None:
    assert diagnose(world(models(429)), NOW).confidence == "medium"


def test_an_unknown_signal_that_could_mean_an_earlier_row_makes_confidence_low() -> None:
    found = diagnose(world(models(429), *unknown(ProbeName.PROMETHEUS, ProbeName.LOGS)), NOW)
    assert (found.cause, found.confidence) == ("rate_limited", "low")
    assert "unknown: traffic has at least doubled within the hour" in found.path


def test_an_unknown_signal_that_only_later_rows_ask_for_leaves_confidence_alone() -> None:
    assert diagnose(world(models(429), *unknown(ProbeName.EGRESS, ProbeName.SECRET)), NOW).confidence == "medium"


def test_an_incident_at_the_provider_raises_a_provider_cause_by_one_step() -> None:
    assert diagnose(world(models(503)), NOW).confidence == "medium"
    assert diagnose(world(models(503), provider("API errors")), NOW).confidence == "high"
    assert diagnose(world(models(429), provider("API errors")), NOW).confidence == "medium"


def test_the_path_holds_each_condition_that_was_asked_once() -> None:
    found = diagnose(world(models(429), canaries(canary(429))), NOW)
    assert found.path[0] == "Mistral API returns errors"
    assert len(found.path) == len(set(found.path))
    assert "models or a canary: 429" in found.path
    assert "not: traffic has at least doubled within the hour" in found.path
    assert not any("egress" in step for step in found.path)
    assert found.way == ("Mistral API returns errors", "models or a canary: 429")


def test_later_matches_go_into_also_without_the_cause_itself() -> None:
    found = diagnose(world(models(401), health(503), traffic(0.5, by_code={"401": 10})), NOW)
    assert found.cause == "invalid_key"
    assert found.also == ("wrong_key_reference", "own_service")


def test_healthy_is_never_said_beside_a_cause() -> None:
    for findings in (world(canaries(canary(429))), world(traffic(0.005, by_code={"500": 0.1}))):
        assert not {"healthy", "recovered"} & set(diagnose(findings, NOW).also)


def test_an_unknown_signal_satisfies_no_condition() -> None:
    found = diagnose(unknown(*ProbeName), NOW)
    assert (found.cause, found.confidence, found.mitigations) == ("inconclusive", "low", ())


def test_health_that_cannot_be_reached_while_control_cannot_either_is_unknown() -> None:
    blind = world(models("connect"), control("connect"), health("connect"))
    assert diagnose(blind, NOW).cause == "bot_vantage"
    seeing = world(models("connect"), control(), health("connect"))
    assert diagnose(seeing, NOW).cause == "provider_unreachable"


def test_error_lines_count_against_the_service_only_where_the_share_is_unknown() -> None:
    assert diagnose(world(logs(other=30)), NOW).cause == "healthy"
    assert diagnose(world(traffic(None), logs(other=30)), NOW).cause == "own_service"
    assert diagnose(world(traffic(None), logs(other=9)), NOW).cause == "healthy"


def test_the_logs_tell_what_the_app_sees_where_the_codes_do_not() -> None:
    assert diagnose(world(traffic(0.2), logs(_429=30)), NOW).cause == "rate_limited"
    assert diagnose(world(traffic(0.2, by_code={"401": 4}), logs(_429=30)), NOW).cause == "stale_key"


@pytest.mark.parametrize(
    ("created", "onset", "before"),
    [(8, 6, True), (36, 6, True), (37, 6, False), (5, 6, False), (30, None, True), (31, None, False)],
)
def test_a_rollout_counts_within_half_an_hour_before_the_onset(
    created: float, onset: float | None, before: bool
) -> None:
    found = diagnose(world(health(500), rollout(created), traffic(0.2, onset=onset)), NOW)
    assert found.cause == ("own_regression" if before else "own_service")


def test_the_advice_about_a_refused_key_shows_four_characters_and_warns_of_an_exhausted_quota() -> None:
    advice = " ".join(diagnose(world(models(401), health(503)), NOW).advice)
    assert "32 characters and begins with abcd" in advice
    assert "may also be an exhausted quota" in advice


def test_a_refused_key_of_the_secret_while_the_pods_work_says_not_to_restart() -> None:
    assert any("Do not restart" in step for step in diagnose(world(models(401)), NOW).advice)
    assert not any("Do not restart" in step for step in diagnose(world(models(401), health(503)), NOW).advice)
    from_settings = world(models(401, source="environment"))
    assert not any("Do not restart" in step for step in diagnose(from_settings, NOW).advice)


@pytest.mark.parametrize(
    ("code", "cause"),
    [("connect_timeout", "egress_blocked"), ("ReadTimeout", "app_timeout"), ("ssl_error", "tls_failure")],
)
def test_a_stage_in_a_codes_label_is_known_by_its_word(code: str, cause: str) -> None:
    assert diagnose(world(traffic(0.2, by_code={code: 4.0})), NOW).cause == cause


def test_without_errors_there_is_no_one_pod_that_has_them() -> None:
    found = diagnose(world(health(503), traffic(0.0)), NOW)
    assert (found.cause, found.confidence) == ("own_service", "medium")
    assert "not: one pod has at least 80 % of the errors" in found.path


def test_where_prometheus_is_not_known_the_advice_does_not_say_that_it_was_asked() -> None:
    advice = " ".join(diagnose(world(*unknown(ProbeName.PROMETHEUS), health(503)), NOW).advice)
    assert "did not answer" not in advice


def test_where_prometheus_is_down_the_advice_names_backup_metrics_and_an_estimate() -> None:
    advice = " ".join(diagnose(world(*unknown(ProbeName.PROMETHEUS), logs(other=100), health(503)), NOW).advice)
    assert "backup metrics" in advice
    assert "10%" in advice


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.name)
def test_every_cause_has_a_headline_and_all_but_healthy_have_advice(cause: object) -> None:
    named = next(known for known in CAUSES.values() if known is cause)
    row = next(row for row in ROWS if row.cause == named.name)
    assert named.headline
    assert set(row.never) <= set(REMEDIES)


def test_a_model_that_goes_within_thirty_days_is_warned_of_whatever_the_cause() -> None:
    soon = (*LISTED, Model(id="mistral-old", deprecation=NOW + timedelta(days=29), replacement="mistral-new"))
    for findings in (world(models(listed=soon)), world(models(listed=soon), health(503))):
        assert diagnose(findings, NOW).warnings == (
            "mistral-old will be deprecated on 2026-03-31; move to mistral-new",
        )


def test_a_model_that_goes_later_or_has_gone_unused_is_not_warned_of() -> None:
    others = (
        *LISTED,
        Model(id="later", deprecation=NOW + timedelta(days=31)),
        Model(id="gone", deprecation=NOW - timedelta(days=1)),
    )
    assert diagnose(world(models(listed=others)), NOW).warnings == ()


def test_no_combination_proposes_a_remedy_that_its_row_says_never() -> None:
    parts = [
        [models(), models(401), models(429), models(503), models("connect")],
        [canaries(), canaries(canary(429)), canaries(canary(500)), *unknown(ProbeName.CANARY)],
        [health(), health(503)],
        [
            traffic(),
            traffic(0.3, by_code={"401": 3}),
            traffic(0.3, onset=4, by_code={"422": 3}),
            traffic(0.3, surge=True),
        ],
        [rollout(), rollout(6)],
        [secret(), secret(has_key=False)],
        [egress(), egress(True)],
    ]
    seen = set()
    combinations: list[tuple[Finding, ...]] = [()]
    for choices in parts:
        combinations = [(*chosen, choice) for chosen in combinations for choice in choices]
    for combination in combinations:
        found = diagnose(world(*combination), NOW)
        seen.add(found.cause)
        assert not set(found.mitigations) & set(found.never), combination
        if found.family in (Family.HEALTHY, Family.VANTAGE, Family.INCONCLUSIVE):
            assert found.mitigations == ()
    assert len(seen) > 12
