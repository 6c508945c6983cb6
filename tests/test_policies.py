"""``policy``, ``may`` and ``components`` of the YAML file: each key right, and each wrong value told in one line."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from bot.configuration import load
from bot.domain.causes import Severity
from bot.domain.policy import Act, ApprovalRule, Calendar, Escalation, Mitigations, Policy, Promise, QuietHours
from bot.errors import SettingsError
from bot.settings import Settings

MINUTE = timedelta(minutes=1)


def configured(folder: Path, text: str) -> Settings:
    path = folder / "bot.yaml"
    path.write_text(text)
    return load({"MISTRAL_BOT_CONFIG": str(path)})


def problem(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        configured(folder, text)
    (only,) = caught.value.problems
    assert "\n" not in only
    return only


def test_what_is_not_said_is_the_runbooks(tmp_path: Path) -> None:
    assert configured(tmp_path, "{}").policy == Policy()
    assert configured(tmp_path, "policy:\nmay:\ncomponents:\n").policy == Policy()


WHOLE = """
policy:
  severities:
    P1: {respond: 5, update: 10}
    P2: {update: 45}
    P3: {respond: next business day, update: none}
    P4: {respond: 0.5}
  calendar:
    timezone: Europe/Paris
    begin: 08:30
    end: 18:00
    weekdays: [Monday, tuesday, sunday]
    country: DE
    region: BY
  quiet_hours: {begin: 22:00, end: 07:15, severities: [P2, P3]}
  remind_before: 2.5
  snoozes: 0
  overdue_reminders: 4
  escalation:
    - {after: 30, page: true}
    - {mention: S0ONCALL}
    - {after: 0, mention: S0SECOND, page: false}
  own_channel: true
  channel_name: "war-{id}-{date}-{title}"
may: {triage: [U0ROBIN], resolve: [U0ROBIN, W0ADA], declare: []}
components: [api, chat]
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    settings = configured(tmp_path, WHOLE)
    assert settings.policy == Policy(
        promises={
            Severity.P1: Promise(respond=5 * MINUTE, update=10 * MINUTE),
            Severity.P2: Promise(respond=60 * MINUTE, update=45 * MINUTE),
            Severity.P3: Promise(respond=None, update=None),
            Severity.P4: Promise(respond=MINUTE / 2, update=None),
        },
        calendar=Calendar(
            timezone="Europe/Paris",
            begin=time(8, 30),
            end=time(18),
            weekdays=frozenset({0, 1, 6}),
            country="DE",
            region="BY",
        ),
        quiet=QuietHours(begin=time(22), end=time(7, 15), severities=frozenset({Severity.P2, Severity.P3})),
        remind_before=2.5 * MINUTE,
        snoozes_most=0,
        nudges_most=4,
        escalations=(
            Escalation(mention="S0ONCALL"),
            Escalation(mention="S0SECOND"),
            Escalation(after=30 * MINUTE, page=True),
        ),
        own_channel=True,
        channel_name="war-{id}-{date}-{title}",
        may={
            Act.TRIAGE: frozenset({"U0ROBIN"}),
            Act.RESOLVE: frozenset({"U0ROBIN", "W0ADA"}),
            Act.DECLARE: frozenset(),
        },
    )
    assert settings.components == ("api", "chat")


@pytest.mark.parametrize("told", ["09:30", "'09:30'", "9:30", "'09:30:00'"])
def test_a_time_is_read_as_people_write_it_and_as_yaml_understands_it(tmp_path: Path, told: str) -> None:
    held = configured(tmp_path, f"policy: {{calendar: {{begin: {told}}}}}")
    assert held.policy.calendar.begin == time(9, 30)


def test_quiet_hours_are_for_p3_and_p4_unless_told(tmp_path: Path) -> None:
    quiet = configured(tmp_path, "policy: {quiet_hours: {begin: 22:00, end: 07:00}}").policy.quiet
    assert quiet is not None
    assert quiet.severities == {Severity.P3, Severity.P4}


_TIME = "it should hold times such as 09:00"
_MINUTES = "it should hold a number of minutes above 0"
_COUNT = "it should hold a whole number from 0 to 100"
_PROMISE = "it should hold a map such as P1: {respond: 15, update: 15}"
_STEPS = "it should hold a list of maps of after (minutes)"
_MAP = "it should hold a map of timezone, begin, end, weekdays, country, region"
_QUIET = "it should hold a map of begin, end and severities"
_COUNTRY = "it should hold a country such as FR"
_DAYS = "it should hold days such as [monday, friday]"
_NAME = "it should hold a text such as inc-{id}-{title}"


@pytest.mark.parametrize(
    ("key", "held", "should"),
    [
        *(("severities", held, _PROMISE) for held in ("15", "[P1]", "{P5: {update: 1}}", "{P1: 15}")),
        *(
            ("severities", f"{{P1: {{update: {held}}}}}", _PROMISE)
            for held in ("0", "-5", "soon", "true", ".nan", ".inf")
        ),
        ("severities", "{P1: {respnod: 15}}", _PROMISE),
        ("severities", "{P1: {respond: none}}", _PROMISE),
        *(("calendar", held, _MAP) for held in ("Europe/Paris", "[]", "{zone: UTC}")),
        *(
            ("calendar", f"{{timezone: {held}}}", "it should hold a time zone such as Europe/Paris")
            for held in ("Europe/Pariis", "''", "/etc/passwd", "5", "[]")
        ),
        *(
            ("calendar", f"{{begin: {held}}}", _TIME)
            for held in ("9", "morning", "25:00", "'09:00+02:00'", "true", "~", "[9]", "9.5")
        ),
        ("calendar", "{begin: 18:00, end: 09:00}", "an end of work that is after its begin"),
        ("calendar", "{begin: 09:00, end: 09:00}", "an end of work that is after its begin"),
        *(("calendar", f"{{weekdays: {held}}}", _DAYS) for held in ("monday", "[]", "[mon]", "[1]", "{monday: 1}")),
        *(("calendar", f"{{country: {held}}}", _COUNTRY) for held in ("XX", "no", "France!", "[FR]", "5")),
        *(("calendar", f"{{country: DE, region: {held}}}", _COUNTRY) for held in ("XX", "5", "[BY]", "true")),
        ("calendar", "{region: BY}", "it should hold a country such as FR beside the region"),
        *(
            ("quiet_hours", held, _QUIET)
            for held in ("22:00", "{begin: 22:00}", "{begin: 22:00, end: 7:00, for: [P3]}")
        ),
        ("quiet_hours", "{begin: late, end: 07:00}", _TIME),
        ("quiet_hours", "{begin: 22:00, end: 22:00}", "it should hold an end that is not its begin"),
        *(
            ("quiet_hours", f"{{begin: 22:00, end: 07:00, severities: {held}}}", "severities such as [P3, P4]")
            for held in ("P3", "[P5]", "[3]", "[[P3]]")
        ),
        *(("remind_before", held, _MINUTES) for held in ("0", "-1", "soon", "true", "[5]", "525601", "~")),
        *(
            (key, held, _COUNT)
            for key in ("snoozes", "overdue_reminders")
            for held in ("-1", "101", "1.5", "no", "six")
        ),
        *(("escalation", held, _STEPS) for held in ("S0ONCALL", "{after: 5}", "[5]", "[{afer: 5}]")),
        *(("escalation", f"[{{after: {held}}}]", _STEPS) for held in ("-1", "soon", "false", "''", "[]")),
        *(("escalation", f"[{{mention: {held}}}]", _STEPS) for held in ("'@oncall'", "Support", "U0ROBIN", "5", "''")),
        *(("escalation", f"[{{page: {held}}}]", _STEPS) for held in ("1", "maybe", "~")),
        *(("own_channel", held, "it should hold true or false") for held in ("1", "maybe", "[]")),
        *(("channel_name", held, _NAME) for held in ("''", "' '", "5", "[inc]", "'inc-{number}'", "'inc-{}'")),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it_and_what_it_should_hold(
    tmp_path: Path, key: str, held: str, should: str
) -> None:
    told = problem(tmp_path, f"policy: {{{key}: {held}}}")
    assert told.startswith(f"policy: {key} holds ")
    assert should in told


def test_a_misspelt_key_is_told_with_the_nearest(tmp_path: Path) -> None:
    assert problem(tmp_path, "policy: {quiet_hour: 1}") == (
        "policy: unknown key 'quiet_hour'; did you mean quiet_hours?"
    )
    assert problem(tmp_path, "may: {triag: [U0ROBIN]}") == "may: unknown key 'triag'; did you mean triage?"
    assert problem(tmp_path, "may: {5: [U0ROBIN]}").startswith("may: unknown key 5; known are triage")


@pytest.mark.parametrize("held", ["U0ROBIN", "['@robin']", "[robin]", "[5]", "{U0ROBIN: true}", "[S0ONCALL]", "~"])
def test_who_may_is_a_list_of_ids(tmp_path: Path, held: str) -> None:
    told = problem(tmp_path, f"may: {{declare: {held}}}")
    assert told.startswith("may: declare holds ")
    assert told.endswith("it should hold a list of Slack user ids, such as [U012AB3CD]")


@pytest.mark.parametrize("key", ["policy", "may"])
@pytest.mark.parametrize("held", ["[]", "5", "text", "false"])
def test_both_are_maps(tmp_path: Path, key: str, held: str) -> None:
    assert problem(tmp_path, f"{key}: {held}") == f"{key} should hold a map"


@pytest.mark.parametrize(
    "held",
    ["api", "[5]", "['']", "[api, api]", f"[{'x' * 76}]", f"[{', '.join(f'c{n}' for n in range(101))}]", "{api: 1}"],
)
def test_components_are_names_that_a_menu_can_show(tmp_path: Path, held: str) -> None:
    assert problem(tmp_path, f"components: {held}").startswith("components should hold a list of at most 100 names")


def test_several_wrong_values_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(tmp_path, "policy: {snoozes: x, remind_before: 0}\nmay: {declare: x}\ncomponents: 5")
    assert len(caught.value.problems) == 4


def test_a_list_lets_in_those_on_it_and_without_one_everybody_but_guests() -> None:
    policy = Policy(may={Act.RESOLVE: frozenset({"U0ROBIN"})})
    assert policy.allows(Act.RESOLVE, "U0ROBIN", guest=True)
    assert not policy.allows(Act.RESOLVE, "U0ADA", guest=False)
    assert policy.allows(Act.DECLARE, "U0ADA", guest=False)
    assert not policy.allows(Act.DECLARE, "U0ADA", guest=True)


def test_a_guest_reads_where_any_list_or_approvers_name_them_and_everybody_else_does() -> None:
    approvers = (ApprovalRule(users=frozenset({"U0GWEN"})),)
    policy = Policy(may={Act.UPDATE: frozenset({"U0ROBIN"})}, mitigations=Mitigations(approvers=approvers))
    assert [user for user in ("U0ROBIN", "U0GWEN", "U0ADA") if policy.shows(user, guest=True)] == ["U0ROBIN", "U0GWEN"]
    assert policy.shows("U0ADA", guest=False)
