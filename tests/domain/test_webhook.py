"""What is read of a payload: Alertmanager's of any release, the generic form, and what somebody hostile sends."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.alerts import Alert, Alerts, Does, Matcher, Rule
from bot.domain.causes import Severity
from bot.domain.incident import Refusal
from bot.domain.webhook import read_generic, read_webhook
from tests.fakes import NOW

RULES = Alerts()
# As Alertmanager 0.28 sends it: fields that older ones do not have are read by nobody.
NEWEST: dict[str, Any] = {
    "receiver": "mistral-bot",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "MistralErrors", "namespace": "prod", "severity": "critical"},
            "annotations": {"description": "5.2 % fail", "summary": "Mistral calls fail"},
            "startsAt": "2026-07-01T11:58:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=x&g0.tab=1",
            "fingerprint": "d70b4a5c7f3e1a2b",
            "receivers": [{"name": "mistral-bot"}],
            "updatedAt": "2026-07-01T11:59:00Z",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "MistralErrors", "namespace": "dev", "severity": "critical"},
            "annotations": {},
            "startsAt": "2026-07-01T11:00:00+02:00",
            "endsAt": "2026-07-01T11:57:00Z",
            "generatorURL": "",
            "fingerprint": "00aa11bb22cc33dd",
        },
    ],
    "groupLabels": {"alertname": "MistralErrors"},
    "commonLabels": {"alertname": "MistralErrors", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="MistralErrors"}',
    "truncatedAlerts": 0,
    "notificationReason": "new alerts in the group",
    "routeID": "{}/0",
    "routeLabels": {"team": "ml"},
}


def one(held: Any, rules: Alerts = RULES) -> Alert:
    (alert,) = read_webhook(held, rules, NOW).alerts
    return alert


def with_alert(**more: Any) -> dict[str, Any]:
    return {**NEWEST, "alerts": [{**NEWEST["alerts"][0], **more}]}


def test_a_payload_of_a_newer_release_is_read() -> None:
    payload = read_webhook(NEWEST, RULES, NOW)
    firing, resolved = payload.alerts
    assert firing.starts_at == datetime(2026, 7, 1, 11, 58, 0, 123456, UTC)
    assert (firing.ends_at, firing.fingerprint) == (None, "d70b4a5c7f3e1a2b")
    assert firing.title == "MistralErrors: Mistral calls fail"
    assert firing.named == {"alertname": "MistralErrors"}
    assert firing.url == "http://prometheus:9090/graph?g0.expr=x&g0.tab=1"
    assert (resolved.starts_at, resolved.ends_at) == (
        datetime(2026, 7, 1, 9, tzinfo=UTC),
        datetime(2026, 7, 1, 11, 57, tzinfo=UTC),
    )
    assert firing.key == resolved.key
    assert not payload.truncated


@pytest.mark.parametrize("told", [3, "3", True, {"left": 1}])
def test_anything_but_nothing_left_out_is_truncated(told: object) -> None:
    assert read_webhook({**NEWEST, "truncatedAlerts": told}, RULES, NOW).truncated


@pytest.mark.parametrize("held", [None, [], "x", {}, {"alerts": {}}, {"alerts": [1, "x"]}, {"alerts": None}], ids=str)
def test_what_is_no_webhook_is_refused_in_a_sentence(held: object) -> None:
    with pytest.raises(Refusal, match="should be a JSON map with a list of maps called alerts"):
        read_webhook(held, RULES, NOW)


def test_the_key_is_of_the_labels_that_are_set_whole_and_the_missing_are_empty() -> None:
    rules = Alerts(key=("alertname", "namespace"))
    prod, dev = read_webhook(NEWEST, rules, NOW).alerts
    assert prod.key != dev.key
    assert one(with_alert(labels={}), rules).named == {"alertname": "", "namespace": ""}
    long = [one(with_alert(labels={"alertname": "x" * 5000 + end})).key for end in "ab"]
    assert long[0] != long[1], "though both are cut where they are shown"


def test_secrets_in_an_alert_are_masked_and_links_are_links() -> None:
    key = "sk-0123456789abcdefghij"
    alert = one(
        with_alert(
            labels={"alertname": f"x {key}", "token": "hunter2hunter2", "pod": "a"},
            annotations={"summary": f"Authorization: Bearer {key}"},
            generatorURL=f"http://user:{key}@prometheus/graph",
        )
    )
    assert key not in repr(alert)
    assert "hunter2" not in repr(alert)
    assert alert.labels["pod"] == "a"
    for url in ("javascript:alert(1)", "ftp://x", 7, "http://" + "x" * 5000):
        assert one(with_alert(generatorURL=url)).url == ""


def test_a_secret_in_an_address_is_masked_and_where_it_is_encoded_left_out_with_its_query() -> None:
    def shown(url: str) -> str:
        return one(with_alert(generatorURL=url)).url

    graph = "http://prometheus:9090/graph?g0.expr=rate%28tokens_total%7Bpod%3D%22a%22%7D%5B5m%5D%29&g0.tab=1"
    assert shown(graph) == graph
    assert shown("http://x/graph?token=hunter2&g0.tab=1") == "http://x/graph?token=***&g0.tab=1"
    assert shown("http://x/graph?g0.expr=up%7Bpassword%3D%22hunter2%22%7D") == "http://x/graph"
    assert shown("http://x/Authorization%3A+Bearer+hunter2hunter2") == ""


def test_a_name_that_announces_a_secret_masks_the_summary_that_follows() -> None:
    alert = one(with_alert(labels={"alertname": "DB password"}, annotations={"summary": "hunter2"}))
    assert alert.title == "DB password: ***"


def test_a_name_is_one_line() -> None:
    assert one(with_alert(labels={"alertname": "a\n:white_check_mark: all is well\r\n\u2028b"})).name == (
        "a :white_check_mark: all is well b"
    )


def test_more_alerts_than_a_body_of_alertmanagers_holds_are_refused_before_they_are_read() -> None:
    assert len(read_webhook({"alerts": [{}] * 5000}, RULES, NOW).alerts) == 5000
    with pytest.raises(Refusal, match="max_alerts"):
        read_webhook({"alerts": [{}] * 5001}, RULES, NOW)


@pytest.mark.parametrize(
    "more",
    [
        {"labels": {"alertname": "a\x00b\ud800" + "x" * 100_000, "n" * 5000: ["x"], "": None}},
        {"labels": {f"l{number}": "v" * 5000 for number in range(2000)}},
        {"labels": 7, "annotations": [], "status": [], "startsAt": {}, "endsAt": 3, "fingerprint": ["x"]},
        {"startsAt": "9999-12-31T23:59:59-23:59", "endsAt": "0001-01-01T00:00:00+23:59", "fingerprint": "x" * 5000},
        {"startsAt": "soon", "fingerprint": "\x00", "annotations": {"summary": {"a": "b"}}},
        {"status": None, "labels": {"alertname": {"a": 1e400}}},
    ],
    ids=["NUL and halves", "many labels", "odd types", "odd times", "nonsense", "odd label"],
)
def test_hostile_alerts_are_cut_and_cleaned(more: dict[str, Any]) -> None:
    alert = one(with_alert(**more))
    text = repr(alert)
    assert len(text) < 30_000
    assert "\\x00" not in text
    assert "\\ud800" not in text
    assert 0 < len(alert.fingerprint) <= 64
    json.dumps(dict(alert.labels)).encode()


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint")


@given(
    alert=st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _ANY)),
    more=st.fixed_dictionaries({}, optional=dict.fromkeys(("status", "truncatedAlerts", "groupKey"), _ANY)),
)
def test_whatever_stands_in_an_alert_it_is_read(alert: dict[str, Any], more: dict[str, Any]) -> None:
    payload = read_webhook({**more, "alerts": [alert]}, RULES, NOW)
    for held in payload.alerts:
        assert held.starts_at is None or held.starts_at <= NOW + timedelta(days=1)


def test_the_generic_form_says_what_it_needs() -> None:
    (alert,) = read_generic(
        {"title": "Queue full", "severity": "P1", "key": "queue", "url": "https://q"}, RULES, NOW
    ).alerts
    assert (alert.title, alert.judged.severity, alert.judged.does) == ("Queue full", Severity.P1, Does.OPEN)
    assert alert.labels == {"alertname": "Queue full", "severity": "P1", "source": "generic", "key": "queue"}
    assert alert.starts_at is None
    other = read_generic({"title": "Another title", "key": "queue", "status": "resolved"}, RULES, NOW).alerts[0]
    assert (other.key, other.fingerprint, other.ends_at) == (alert.key, alert.fingerprint, NOW)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ([], "a JSON map with title"),
        ({}, "title is missing"),
        ({"title": 3}, "title is missing"),
        ({"title": "\x00 "}, "title is missing"),
        ({"title": "x", "severity": "bad"}, "severity should hold one of P1, P2, P3, P4, critical"),
        ({"title": "x", "severity": 1}, "severity should hold"),
        ({"title": "x", "status": "maybe"}, "status should hold firing or resolved"),
        ({"title": "x", "key": {}}, "key should hold a text"),
    ],
    ids=str,
)
def test_a_generic_form_that_makes_no_sense_is_refused_in_a_sentence(held: object, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        read_generic(held, RULES, NOW)


@pytest.mark.parametrize(
    ("severity", "does", "judged"),
    [
        ("critical", Does.OPEN, Severity.P2),
        ("Page", Does.OPEN, Severity.P2),
        ("P1", Does.OPEN, Severity.P1),
        ("warning", Does.PROPOSE, Severity.P3),
        ("", Does.PROPOSE, Severity.P3),
        ("P4", Does.PROPOSE, Severity.P4),
        ("info", Does.NOTE, Severity.P4),
        ("none", Does.NOTE, Severity.P4),
    ],
)
def test_without_rules_the_severity_decides(severity: str, does: Does, judged: Severity) -> None:
    found = RULES.judged({"severity": severity})
    assert (found.does, found.severity) == (does, judged)


@pytest.mark.parametrize(
    ("operator", "value", "fits"),
    [
        ("=", "prod", True),
        ("=", "pro", False),
        ("!=", "prod", False),
        ("!=", "dev", True),
        ("=~", "pr.*|dev", True),
        ("=~", "ro", False),
        ("!~", "ro", True),
        ("!~", "pr.*", False),
    ],
)
def test_matchers_are_alertmanagers_and_anchored(operator: str, value: str, fits: bool) -> None:
    assert Matcher(label="namespace", operator=operator, value=value).fits({"namespace": "prod"}) is fits
    assert Matcher(label="missing", operator="=", value="").fits({})
    assert Matcher(label="missing", operator="!~", value=".+").fits({})


def test_the_first_rule_that_fits_counts_and_what_is_ignored_is_not_kept() -> None:
    ignore = Rule(match=(Matcher(label="namespace", operator="=", value="dev"),), does=Does.IGNORE)
    worst = Rule(does=Does.OPEN, severity=Severity.P1, target="eu")
    (alert,) = read_webhook(NEWEST, Alerts(rules=(ignore, worst)), NOW).alerts
    assert (alert.judged.severity, alert.judged.target) == (Severity.P1, "eu")
    assert read_webhook(NEWEST, Alerts(rules=(Rule(does=Does.IGNORE),)), NOW).alerts == ()


def test_an_expression_that_would_hang_others_does_not_hang_this() -> None:
    evil = Matcher(label="a", operator="=~", value="(a+)+b")
    assert not evil.fits({"a": "a" * 2000})
