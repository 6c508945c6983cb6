"""``alerts`` of the YAML file: each key right, and each wrong value told in one line."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain.alerts import Alerts, Does, Matcher, Rule
from bot.domain.causes import Severity
from bot.errors import SettingsError
from bot.serve import serve
from tests.test_policies import configured, problem

WHOLE = r"""
targets: [{name: eu}]
alerts:
  key: [alertname, namespace]
  reopen_within: 45
  rules:
    - match: ['severity="critical"', 'alertname =~ "Mistral.*"', namespace!=dev, 'path!~"a\"b\\\\c\\d"']
      does: open
      severity: P1
      target: eu
    - {match: [], does: ignore}
    - {}
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    assert configured(tmp_path, WHOLE).alerts == Alerts(
        key=("alertname", "namespace"),
        reopen_within=timedelta(minutes=45),
        rules=(
            Rule(
                match=(
                    Matcher(label="severity", operator="=", value="critical"),
                    Matcher(label="alertname", operator="=~", value="Mistral.*"),
                    Matcher(label="namespace", operator="!=", value="dev"),
                    Matcher(label="path", operator="!~", value=r'a"b\\c\d'),
                ),
                does=Does.OPEN,
                severity=Severity.P1,
                target="eu",
            ),
            Rule(does=Does.IGNORE),
            Rule(),
        ),
    )


def test_what_is_not_said_is_usual(tmp_path: Path) -> None:
    assert configured(tmp_path, "alerts:").alerts == configured(tmp_path, "{}").alerts == Alerts()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("alerts: 3", "alerts should hold a map"),
        ("alerts: {kye: []}", "alerts: unknown key 'kye'; did you mean key?"),
        ("alerts: {key: alertname}", "alerts: key holds 'alertname'; it should hold a list of labels"),
        ("alerts: {key: []}", "it should hold a list of labels such as [alertname, namespace]"),
        ("alerts: {key: ['a b']}", "it should hold a list of labels"),
        ("alerts: {reopen_within: soon}", "alerts: reopen_within holds 'soon'; it should hold a number of minutes"),
        ("alerts: {rules: {}}", "alerts: rules holds {}; it should hold a list of maps"),
        ("alerts: {rules: [{dose: open}]}", "alerts: rule 1: unknown key 'dose'; did you mean does?"),
        ("alerts: {rules: [{}, {does: shout}]}", "rule 2: does holds 'shout'; it should hold one of open, propose"),
        ("alerts: {rules: [{severity: high}]}", "severity holds 'high'; it should hold one of P1, P2, P3, P4"),
        ("alerts: {rules: [{target: us}]}", "target holds 'us'; it should hold the name of a target"),
        ("alerts: {rules: [{match: a=b}]}", "match holds 'a=b'; it should hold a list of matchers"),
        ("alerts: {rules: [{match: [a]}]}", 'it should hold matchers such as severity="critical"'),
        ("alerts: {rules: [{match: ['a=\"b']}]}", "it should hold matchers whose quotes are closed"),
        ("alerts: {rules: [{match: ['a=~\"(\"']}]}", "it should hold expressions that RE2 can read"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in problem(tmp_path, text)


def test_a_token_without_a_channel_is_a_problem_of_running() -> None:
    assert load({}).alert_problems() == []
    assert load({"ALERTMANAGER_TOKEN": "planted", "INCIDENT_CHANNEL": "C0INCIDENTS"}).alert_problems() == []
    (told,) = load({"ALERTMANAGER_TOKEN": "planted"}).alert_problems()
    assert told.startswith("ALERTMANAGER_TOKEN is set and INCIDENT_CHANNEL is not; it should hold the id")
    assert "planted" not in told


async def test_the_bot_does_not_run_with_a_token_and_without_a_channel() -> None:
    slack = {"SLACK_BOT_TOKEN": "xoxb-planted", "SLACK_APP_TOKEN": "xapp-planted"}
    with pytest.raises(SettingsError) as caught:
        await serve(load({**slack, "ALERTMANAGER_TOKEN": "planted"}))
    assert [one.partition(";")[0] for one in caught.value.problems] == [
        "ALERTMANAGER_TOKEN is set and INCIDENT_CHANNEL is not"
    ]
