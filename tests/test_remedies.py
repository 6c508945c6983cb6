"""``remedies``, ``approvers``, ``mitigations`` of the YAML file: each key right, each wrong value one line."""

import re
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.causes import Severity
from bot.domain.policy import Act, ApprovalRule, Mitigations
from bot.domain.remedies import ENV_REMEDIES, EnvSpec, RemedyName
from bot.domain.table import ROWS
from bot.errors import SettingsError
from bot.mitigations import load
from tests.settings_table import README
from tests.test_policies import configured, problem

MINUTE = timedelta(minutes=1)


def test_what_is_not_said_is_the_bots_own(tmp_path: Path) -> None:
    for text in ("{}", "remedies:\napprovers:\nmitigations:\n"):
        settings = configured(tmp_path, text)
        assert settings.remedies == ENV_REMEDIES
        assert settings.policy.mitigations == Mitigations()


def test_the_bots_own_are_those_of_the_decision_table_and_each_is_to_be_had() -> None:
    proposed = {name for row in ROWS for name in (*row.remedies, *row.never)}
    assert {name.removesuffix("?") for name in proposed} == set(RemedyName)
    assert list(load(ENV_REMEDIES)) == list(RemedyName)


def test_one_of_the_bots_own_can_be_changed_in_part(tmp_path: Path) -> None:
    held = configured(tmp_path, "remedies: {limit_concurrency: {variable: POOL, value: 7, most: 20}}").remedies
    assert held["limit_concurrency"] == EnvSpec(
        what=ENV_REMEDIES["limit_concurrency"].what, variable="POOL", value="7", least=1, most=20
    )
    assert {name: spec for name, spec in held.items() if name != "limit_concurrency"} == {
        name: spec for name, spec in ENV_REMEDIES.items() if name != "limit_concurrency"
    }


OWN = """
remedies:
  shed_batch: {what: leaves batch work undone, variable: BATCH_ENABLED, value: "false"}
  fewer_retries:
    what: asks again less often
    variable: retries
    value: 1
    least: 0
    most: 9
    unit: times
    temporary: false
    shields: true
  canned: {what: answers with what it has, variable: CANNED, value: "on", off_value: "off"}
  fallback: {off_value: never}
"""


def test_more_are_a_few_lines_and_come_after_the_bots_own(tmp_path: Path) -> None:
    held = configured(tmp_path, OWN).remedies
    assert held["shed_batch"] == EnvSpec(
        what="leaves batch work undone", variable="BATCH_ENABLED", value="false", shields=False
    )
    assert held["fewer_retries"] == EnvSpec(
        what="asks again less often",
        variable="retries",
        value="1",
        least=0,
        most=9,
        unit="times",
        temporary=False,
        shields=True,
    )
    assert held["canned"].off == "off"
    assert held["fallback"].off == "never"
    remedies = load(held)
    assert list(remedies) == [*RemedyName, "shed_batch", "fewer_retries", "canned"]
    assert remedies["shed_batch"].what == "leaves batch work undone"
    assert [remedies[name].temporary for name in ("shed_batch", "fewer_retries")] == [True, False]


_TEXT = "it should hold a text of one line and at most 150 characters"
_VARIABLE = "it should hold the name of an environment variable, such as BATCH_ENABLED"
_VALUE = 'it should hold a text in quotes, such as "false", or a whole number'
_BOUND = "it should hold a whole number from 0 to 1000000000"


@pytest.mark.parametrize(
    ("key", "held", "should"),
    [
        *(("what", held, _TEXT) for held in ("''", "5", "[a]", f"{'x' * 151}", '"two\\nlines"', "~")),
        *(("variable", held, _VARIABLE) for held in ("''", "5", "'A B'", "A-B", "1A", "'A=B'", "é", "[A]", "~")),
        *(
            ("variable", held, "it should hold a variable whose name does not sound like a secret")
            for held in ("API_TOKEN", "mistral_api_key", "DB_PASSWORD", "AUTH_MODE")
        ),
        *(("value", held, _VALUE) for held in ("true", "on", "0.5", "~", "[a]", "''", '"a\\nb"', f"{'x' * 1001}")),
        ("off_value", "no", _VALUE),
        *((key, held, _BOUND) for key in ("least", "most") for held in ("-1", "1.5", "many", "true", "1000000001")),
        *(("unit", held, "it should hold a unit such as ms") for held in ("5", "'<!channel>'", f"{'m' * 21}")),
        *((key, held, "it should hold true or false") for key in ("temporary", "shields") for held in ("1", "maybe")),
    ],
)
def test_a_wrong_value_of_a_remedy_is_one_line_that_names_it_and_what_it_should_hold(
    tmp_path: Path, key: str, held: str, should: str
) -> None:
    told = problem(tmp_path, f"remedies: {{raise_timeout: {{{key}: {held}}}}}")
    assert told.startswith(f"remedies: raise_timeout: {key} holds ")
    assert should in told


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("[]", "remedies should hold a map"),
        ("{shed: []}", "remedies: shed should hold a map of what, variable, value, off_value, "),
        ("{fallback: {vlaue: x}}", "remedies: fallback: unknown key 'vlaue'; did you mean value?"),
        ("{restart: {value: x}}", "remedies: restart sets no variable"),
        ("{fallbck: {value: x}}", "remedies: fallbck has no what and no variable, which one of your own needs; "),
        ("{Shed: {}}", "remedies: a name holds 'Shed'; it should hold up to 40 of a-z, 0-9 and _"),
        ("{5: {}}", "remedies: a name holds 5; "),
        (f"{{{'x' * 41}: {{}}}}", "remedies: a name holds 'xxx"),
        ("{revert: {what: x, variable: X, value: x}}", "remedies: a name holds 'revert'; "),
        ("{limit_concurrency: {value: 2000}}", "remedies: limit_concurrency: value holds '2000'; it should hold a "),
        ("{limit_concurrency: {value: few}}", "remedies: limit_concurrency: value holds 'few'; it should hold a "),
        ("{limit_concurrency: {least: 9}}", "remedies: limit_concurrency: value holds '5'; it should hold a "),
        ("{fallback: {least: 9}}", "remedies: fallback: least and most go together"),
        ("{fallback: {least: 1, most: 2}}", "remedies: fallback: it takes off_value, or least and most"),
        ("{fallback: {value: 'False'}}", "remedies: fallback: value and off_value are both 'False'"),
        (
            "{" + ", ".join(f"r{n}: {{what: x, variable: X, value: x}}" for n in range(91)) + "}",
            "remedies should hold at most 90, or no menu can show them",
        ),
    ],
)
def test_what_cannot_be_a_remedy_is_told(tmp_path: Path, held: str, told: str) -> None:
    assert problem(tmp_path, f"remedies: {held}").startswith(told)


def test_a_misspelt_name_of_one_of_the_bots_own_is_told_with_the_nearest(tmp_path: Path) -> None:
    assert problem(tmp_path, "remedies: {fallbck: {value: x}}").endswith("did you mean fallback?")


@pytest.mark.parametrize("key", ["value", "off_value", "what", "unit", "variable", "least", "temporary"])
def test_a_value_that_looks_like_a_secret_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    for value in ("ghp_planted0123456789planted", "x" * 100 + " ghp_planted0123456789planted"):
        with pytest.raises(SettingsError) as caught:
            configured(tmp_path, f"remedies: {{fallback: {{{key}: '{value}'}}}}")
        assert "planted" not in str(caught.value)


APPROVERS = """
approvers:
  - {remedies: [rotate_key, shed_batch], severities: [P1, P2], groups: [S0ONCALL], approvals: 2, requester: false}
  - {remedies: [rotate_key], users: [U0ROBIN, W0ADA], approvals: 2}
  - {users: [U0ROBIN], requester: true}
remedies:
  shed_batch: {what: leaves batch work undone, variable: BATCH_ENABLED, value: "false"}
mitigations:
  approve_within: 5
  start_within: 0.5
  rollout_within: 30
  verify_within: 20
  verify_every: 2.5
  per_hour: 0
  successes: 1
  remind_after: 12
  key_by_form: true
may: {mitigate: [U0ROBIN]}
"""


def test_every_key_of_approvers_and_mitigations_is_read(tmp_path: Path) -> None:
    policy = configured(tmp_path, APPROVERS).policy
    assert policy.mitigations == Mitigations(
        approvers=(
            ApprovalRule(
                remedies=frozenset({"rotate_key", "shed_batch"}),
                severities=frozenset({Severity.P1, Severity.P2}),
                groups=frozenset({"S0ONCALL"}),
                approvals=2,
                requester=False,
            ),
            ApprovalRule(remedies=frozenset({"rotate_key"}), users=frozenset({"U0ROBIN", "W0ADA"}), approvals=2),
            ApprovalRule(users=frozenset({"U0ROBIN"}), requester=True),
        ),
        approve_within=5 * MINUTE,
        start_within=MINUTE / 2,
        rollout_within=30 * MINUTE,
        verify_within=20 * MINUTE,
        verify_every=timedelta(seconds=2.5),
        per_hour=0,
        successes=1,
        remind_after=timedelta(hours=12),
        key_by_form=True,
    )
    assert policy.may == {Act.MITIGATE: frozenset({"U0ROBIN"})}


_MINUTES = "it should hold a number of minutes above 0"
_SECONDS = "it should hold a number of seconds from 1 to 3600"
_HOURS = "it should hold a number of hours above 0"


@pytest.mark.parametrize(
    ("key", "held", "should"),
    [
        *(
            (key, held, _MINUTES)
            for key in ("approve_within", "start_within", "rollout_within", "verify_within")
            for held in ("0", "-1", "soon", "true", "[5]", "~", ".nan")
        ),
        *(("verify_every", held, _SECONDS) for held in ("0", "0.5", "3601", "true", "often", ".nan")),
        *(("remind_after", held, _HOURS) for held in ("0", "-1", "8761", "true", "later", ".inf")),
        *(("per_hour", held, "it should hold a whole number from 0 to 100") for held in ("-1", "101", "1.5", "no")),
        *(("successes", held, "it should hold a whole number from 1 to 100") for held in ("0", "101", "1.5", "~")),
        *(("key_by_form", held, "it should hold true or false") for held in ("1", "maybe")),
    ],
)
def test_a_wrong_value_of_mitigations_is_one_line_that_names_it_and_what_it_should_hold(
    tmp_path: Path, key: str, held: str, should: str
) -> None:
    told = problem(tmp_path, f"mitigations: {{{key}: {held}}}")
    assert told.startswith(f"mitigations: {key} holds ")
    assert should in told


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("[]", "mitigations should hold a map"),
        ("{aprove_within: 5}", "mitigations: unknown key 'aprove_within'; did you mean approve_within?"),
        (
            "{successes: 4, verify_every: 60, verify_within: 3}",
            "mitigations: 4 successes, one each 60 s (verify_every), take longer than verify_within, 3 minutes",
        ),
    ],
)
def test_what_cannot_be_of_mitigations_is_told(tmp_path: Path, held: str, told: str) -> None:
    assert problem(tmp_path, f"mitigations: {held}") == told


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("{users: [U0ROBIN]}", "approvers should hold a list of maps, such as "),
        ("[U0ROBIN]", "approvers should hold a list of maps, such as "),
        ("[{users: [U0ROBIN], approval: 1}]", "approvers: rule 1: unknown key 'approval'; did you mean approvals?"),
        ("[{users: ['@robin']}]", "approvers: rule 1: users holds ['@robin']; it should hold a list of Slack user ids"),
        ("[{users: U0ROBIN}]", "approvers: rule 1: users holds 'U0ROBIN'; "),
        ("[{groups: [U0ROBIN]}]", "approvers: rule 1: groups holds ['U0ROBIN']; it should hold a list of user groups"),
        ("[{users: [U0ROBIN], remedies: []}]", "approvers: rule 1: remedies holds []; it should hold a list of "),
        ("[{users: [U0ROBIN], remedies: fallback}]", "approvers: rule 1: remedies holds 'fallback'; "),
        ("[{users: [U0ROBIN], remedies: [[a]]}]", "approvers: rule 1: remedies holds [['a']]; "),
        (
            "[{users: [U0ROBIN], remedies: [fallbck]}]",
            "approvers: rule 1: remedies holds ['fallbck']; it should hold remedies that there are; did you mean fallb",
        ),
        ("[{users: [U0ROBIN], remedies: [revert]}]", "approvers: rule 1: remedies holds ['revert']; "),
        ("[{users: [U0ROBIN], severities: [P5]}]", "approvers: rule 1: severities holds ['P5']; it should hold sev"),
        ("[{users: [U0ROBIN], severities: []}]", "approvers: rule 1: severities holds []; "),
        *(
            (f"[{{users: [U0ROBIN], approvals: {held}}}]", "approvers: rule 1: approvals holds ")
            for held in ("0", "11", "1.5", "true", "two")
        ),
        ("[{users: [U0ROBIN], requester: 1}]", "approvers: rule 1: requester holds 1; it should hold true or false"),
        ("[{}]", "approvers: rule 1 asks for 1 approvals and lists 0 users and no groups, so nothing could be app"),
        ("[{users: [U0ROBIN, U0ROBIN], approvals: 2}]", "approvers: rule 1 asks for 2 approvals and lists 1 users and"),
        ("[{users: [U0ROBIN]}, {users: [U0ADA]}]", "approvers: rule 2 is never used, since one before it fits all"),
        (
            "[{users: [U0ROBIN], remedies: [fallback, restart]}, "
            "{users: [U0ADA], remedies: [restart], severities: [P1]}]",
            "approvers: rule 2 is never used, since one before it fits all",
        ),
    ],
)
def test_what_cannot_be_a_rule_of_approval_is_told(tmp_path: Path, held: str, told: str) -> None:
    assert problem(tmp_path, f"approvers: {held}").startswith(told)


@pytest.mark.parametrize(
    "held",
    [
        "[{groups: [S0ONCALL], approvals: 3}]",
        "[{users: [U0ROBIN], remedies: [restart]}, {users: [U0ADA]}]",
        "[{users: [U0ROBIN], severities: [P1]}, {users: [U0ADA], severities: [P1, P2]}]",
        "[{users: [U0ROBIN], severities: [P1]}, {users: [U0ADA], remedies: [restart]}]",
    ],
)
def test_rules_of_which_each_can_be_used_are_taken(tmp_path: Path, held: str) -> None:
    assert configured(tmp_path, f"approvers: {held}").policy.mitigations.approvers


def test_a_remedy_that_is_wrong_is_not_told_to_be_missing_as_well(tmp_path: Path) -> None:
    told = problem(tmp_path, "remedies: {shed: {what: x}}\napprovers: [{users: [U0ROBIN], remedies: [shed]}]")
    assert told.startswith("remedies: shed has no variable and no value")


def test_all_wrong_values_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(
            tmp_path,
            "remedies: {shed: {what: 5, value: true}, raise_timeout: {unit: 5}}\n"
            "approvers: [{user: [U0ROBIN]}, {users: [U0ROBIN], approvals: 0, remedies: [nothing]}]\n"
            "mitigations: {successes: 0, per_hour: x}\n",
        )
    assert len(caught.value.problems) == 8


def test_the_readmes_example_is_read_and_shows_the_defaults(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^    targets:.*?(?=^\S)", README.read_text(), re.MULTILINE | re.DOTALL)
    settings = configured(tmp_path, textwrap.dedent(shown).replace("${EU_MISTRAL_KEY}", "planted"))
    held = settings.policy.mitigations
    assert held == Mitigations(approvers=held.approvers)
    assert len(held.approvers) == 2
    assert settings.remedies["limit_concurrency"] == ENV_REMEDIES["limit_concurrency"]
    assert list(load(settings.remedies))[-1] == "shed_batch"
