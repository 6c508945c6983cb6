"""The doctor as a whole: every system in order, each target, and once as the command that people type."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.checks import load as load_checks
from bot.configuration import load
from bot.errors import BadAnswer
from bot.handlers.doctor import examine
from bot.ports import CheckResult, ProbeRun
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, PrometheusSpec
from bot.settings import Settings
from bot.store.inspection import SqlDatabase
from bot.worlds import prober
from tests.doctors import WELL


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(replace(WELL, prometheus=PrometheusSpec(requests=20, errors={"429": 1})))
    await held.start()
    yield held
    await held.close()


async def doctor(environ: dict[str, str]) -> tuple[int, str]:
    """(exit status, stdout) of the command; nothing may stand on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "doctor"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    return process.returncode or 0, out.decode()


async def test_the_command_exits_0_where_all_is_well_and_shows_no_secret(sandbox: Sandbox) -> None:
    environ = sandbox.environment()
    status, out = await doctor(environ)
    assert out.splitlines()[-1] == "all is well"
    assert status == 0
    systems = [line for line in out.splitlines() if not line.startswith(" ")]
    assert systems == [
        "Slack",
        "Mistral API",
        "Service",
        "Prometheus",
        "Kubernetes",
        "Database",
        "Pagers",
        "Alerts",
        "Statuspage",
        "all is well",
    ]
    key = sandbox.world.service_key
    assert f"{len(key)} characters, begins with {key[:4]}, from the secret" in out
    for secret in (key[:5], key[4:], environ["SLACK_BOT_TOKEN"], environ["SLACK_APP_TOKEN"]):
        assert secret not in out


async def test_the_command_exits_1_and_says_after_each_failure_how_to_mend_it(sandbox: Sandbox) -> None:
    sandbox.world.scenario = replace(sandbox.world.scenario, cluster=ClusterSpec(forbidden=("networkpolicies",)))
    environ = {**sandbox.environment(), "PROMETHEUS_ERRORS": "typo_total", "SLACK_APP_TOKEN": "xapp-planted"}
    status, out = await doctor(environ)
    assert (status, out.splitlines()[-1]) == (1, "3 to mend")
    lines = out.splitlines()
    failures = [number for number, line in enumerate(lines) if line.startswith("  ✗ ")]
    assert [lines[number] for number in failures] == [
        "  ✗ app token (Socket Mode): Slack says invalid_auth",
        "  ✗ typo_total: no such series",
        "  ✗ list networkpolicies: forbidden in default",
    ]
    mended = [" ".join(line.strip() for line in lines[number + 1 : number + 3]) for number in failures]
    assert "SLACK_APP_TOKEN" in mended[0]
    assert "PROMETHEUS_ERRORS" in mended[1]
    assert "Role in the namespace default" in mended[2]
    assert "planted" not in out


@dataclass(frozen=True)
class Broken:
    """A check that cannot be made."""

    name: str = "Broken"
    per_target: bool = True

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        raise BadAnswer(f"{run.target.name} makes no sense")


async def test_a_check_that_cannot_be_made_is_a_failure_of_its_target_alone(tmp_path: Path) -> None:
    targets = [{"name": "eu", "SERVICE_HEALTH_URL": "http://127.0.0.1:9/health"}]
    config = tmp_path / "config.yaml"
    await asyncio.to_thread(config.write_text, json.dumps({"targets": targets}))
    settings = load({"MISTRAL_BOT_CONFIG": str(config)})
    database = SqlDatabase(f"sqlite+aiosqlite:///{tmp_path}/none.db")
    async with prober(settings) as asks:
        found = [one async for one in examine(asks, [Broken(), *load_checks(database)], settings)]
    assert [(one.system, one.target) for one in found] == [
        *(("Broken", target) for target in ("default", "eu")),
        ("Slack", "default"),
        *((name, to) for name in ("Mistral API", "Service", "Prometheus", "Kubernetes") for to in ("default", "eu")),
        *((name, "default") for name in ("Database", "Pagers", "Alerts", "Statuspage")),
    ]
    (broken,) = found[1].results
    assert (broken.ok, broken.detail) == (False, "eu makes no sense")
    assert broken.mend == "Check what is set for Broken."
    assert [one.target for one in found if one.system == "Service" and one.results] == ["eu"]
