"""Every row of the decision table over the wire: at least two cases of our own for each, diagnosed as the table says.

The bot's probes and diagnosis run in this process against the sandbox's servers. What each case expects, its row too,
was worked out by hand from decision-table.md.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from bot.configuration import load as load_settings
from bot.domain.report import TriageReport
from bot.domain.table import ROWS
from bot.handlers.triage import TriageHandler
from bot.probes import load
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import Scenario, load_scenarios
from bot.worlds import prober

CASES = load_scenarios(Path(__file__).with_name("rows.yaml"))
# the sandbox's own, where they name a row: those that it was given name none
SHOWN = {name: one for name, one in load_scenarios().items() if one.expect.row is not None}
# For what is left without an answer. Longer for the canaries, of which others may have to answer meanwhile.
SHORT_S, CANARY_S = 0.6, 1.2
# Usually less: but here the key's source decides, however busy the machine is.
KEY_S = 5.0
CLUSTER_PROBES = ("pods", "rollout", "logs", "secret", "egress")


def each(scenarios: dict[str, Scenario]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scenario", scenarios.values(), ids=scenarios.keys())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One certificate: to load the system's for each case would take a third of the time."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return file


def short(scenario: Scenario) -> Iterator[str]:
    """What is left without an answer, as the time-outs call it."""
    if scenario.mistral and scenario.mistral.models.fail == "timeout":
        yield "mistral_api"
    if scenario.mistral and any(one.fail == "timeout" for one in scenario.mistral.canary.values()):
        yield "canary"
    if scenario.service and scenario.service.fail == "timeout":
        yield "health"
    if scenario.prometheus and scenario.prometheus.fail == "timeout":
        yield "prometheus"
    if scenario.cluster and scenario.cluster.fail == "timeout":
        yield from (*CLUSTER_PROBES, "service_key")


async def triage(scenario: Scenario, folder: Path, authority: Path) -> TriageReport:
    """One triage of ``scenario``; only what would hang has less time than usual."""
    config, sandbox = folder / "bot.yaml", Sandbox(scenario)
    timeouts = {"service_key": KEY_S} | {name: CANARY_S if name == "canary" else SHORT_S for name in short(scenario)}
    config.write_text(yaml.safe_dump({"timeouts": timeouts}))
    try:
        await sandbox.start()
        files = {"MISTRAL_BOT_CONFIG": str(config), "SSL_CERT_FILE": str(authority)}
        settings = load_settings(sandbox.environment() | files)
        async with prober(settings) as asks:
            return await TriageHandler(prober=asks, probes=load()).run("default")
    finally:
        await sandbox.close()


def check(report: TriageReport, scenario: Scenario) -> None:
    found, expect = report.diagnosis, scenario.expect
    seen = {finding.probe: finding.summary for finding in report.findings}
    assert (found.row, found.cause, found.severity) == (expect.row, expect.cause, expect.severity), seen
    assert found.mitigations == expect.mitigations
    assert not set(found.mitigations) & set(expect.never)


@each(CASES)
async def test_a_case_of_a_row_is_diagnosed_as_the_table_says(
    scenario: Scenario, tmp_path: Path, authority: Path
) -> None:
    report = await triage(scenario, tmp_path, authority)
    check(report, scenario)
    assert report.diagnosis.also == scenario.expect.also
    assert set(report.diagnosis.never) == set(scenario.expect.never)


@each(SHOWN)
async def test_a_scenario_of_the_sandboxs_own_matches_the_row_that_it_names(
    scenario: Scenario, tmp_path: Path, authority: Path
) -> None:
    report = await triage(scenario, tmp_path, authority)
    check(report, scenario)
    assert set(scenario.expect.also) <= set(report.diagnosis.also)
    assert set(scenario.expect.never) <= set(report.diagnosis.never)


def test_every_row_of_the_table_is_the_first_to_match_in_at_least_two_cases() -> None:
    shown = Counter(scenario.expect.row for scenario in (*CASES.values(), *SHOWN.values()))
    assert {row.number: shown[row.number] for row in ROWS if shown[row.number] < 2} == {}
    assert set(shown) == {row.number for row in ROWS}
