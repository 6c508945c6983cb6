"""Secrets of every kind, planted wherever the bot reads, are in nothing that it says, logs or posts."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox import kubernetes
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import (
    AnswerSpec,
    ClusterSpec,
    Expect,
    MistralSpec,
    PrometheusSpec,
    ProviderStatusSpec,
    Scenario,
)
from bot.sandbox.slack import APP_TOKEN, BOT_TOKEN
from bot.sandbox.slack.faults import server_error
from tests.planted import MARK, PLANTED, P

SERVICE_KEY = f"{P}ServiceKey"
SAID = " and ".join(PLANTED.values())
LEAKY = Scenario(
    name="everything leaks",
    mistral=MistralSpec(
        models=AnswerSpec(status=401, body={"detail": f"Invalid API Key {SERVICE_KEY}; {SAID}"}),
        canary={
            "mistral-small-latest": AnswerSpec(
                status=400, body={"message": SAID, "type": f"type {SERVICE_KEY}", "code": f"token={P}"}
            )
        },
    ),
    service=AnswerSpec(status=503, body={"services": {"mistral": {"status": f"no, password={P}"}}}),
    prometheus=PrometheusSpec(requests=20, errors={"401": 8}),
    cluster=ClusterSpec(
        revision=4,
        rollout_minutes_ago=10,
        logs=tuple(f"ERROR mistral call failed: 401 {text}" for text in PLANTED.values()),
        changes={"DB_PASSWORD": f"{P}", "CALLBACK": f"https://ada:{P}@example.com/hook"},
    ),
    provider_status=ProviderStatusSpec(
        indicator="major", incidents=({"name": f"API down, api_key={P}", "impact": "major", "components": ["API"]},)
    ),
    expect=Expect(cause="invalid_key", severity="P1"),
)


def environment(sandbox: Sandbox, **more: str) -> dict[str, str]:
    held = sandbox.environment()
    return {
        **held,
        "SERVICE_HEALTH_URL": held["SERVICE_HEALTH_URL"].replace("http://", f"http://ada:{P}@"),
        "PROMETHEUS_URL": held["PROMETHEUS_URL"].replace("http://", f"http://ada:{P}@"),
        "PROMETHEUS_TOKEN": f"{P}Prometheus",
        "ALERTMANAGER_TOKEN": f"{P}Alertmanager",
        "STATUSPAGE_API_KEY": f"{P}Statuspage",
        "STATUSPAGE_PAGE_ID": "page1",
        "PAGERDUTY_ROUTING_KEY": f"{P}PagerDuty",
        "DATABASE_URL": f"postgresql+psycopg://ada:{P}@127.0.0.1:9/bot",
        "HTTPS_PROXY": f"http://ada:{P}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        **more,
    }


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    held = Sandbox(LEAKY)
    held.world.service_key = SERVICE_KEY
    await held.start()
    yield held
    await held.close()


def assert_silent(said: str, where: str) -> None:
    for secret in (MARK, BOT_TOKEN, APP_TOKEN, kubernetes.TOKEN):
        at = said.lower().find(secret.lower())
        assert at < 0, f"{where}: {said[max(0, at - 80) : at + 40]!r}"


@pytest.mark.parametrize(
    "arguments", [["triage"], ["triage", "--output", "json"], ["health"], ["doctor"]], ids=lambda one: " ".join(one)
)
async def test_no_command_of_the_terminal_tells_a_secret(sandbox: Sandbox, arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        env=environment(sandbox),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out
    assert_silent(out.decode(), "stdout")
    assert_silent(err.decode(), "stderr")


BROKEN = {
    "nothing": "`invalid_key`",
    "a template": "cannot be rendered",
    "Slack": "`invalid_key`",
    "the upstreams": "`provider_unreachable`",
}


@pytest.mark.parametrize(("broken", "ends"), BROKEN.items(), ids=BROKEN.keys())
async def test_no_message_and_no_line_of_the_log_tells_a_secret(
    sandbox: Sandbox, broken: str, ends: str, tmp_path: Path
) -> None:
    more = {}
    if broken == "a template":
        (tmp_path / "slack").mkdir()
        (tmp_path / "slack" / "triage.j2").write_text("{{ diagnosis.nothing }}")
        more = {"TEMPLATES_DIR": str(tmp_path)}
    if broken == "the upstreams":
        dead = f"https://ada:{P}@service.invalid:9/health?token={P}"
        more = {"SERVICE_HEALTH_URL": dead, "PROMETHEUS_URL": dead, "MISTRAL_API_URL": dead, "MISTRAL_STATUS_URL": dead}
    if broken == "Slack":
        sandbox.slack.faults.add("chat.postMessage", *[server_error()] * 20)
    slack = sandbox.slack.workspace
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot"), env=environment(sandbox, **more), stderr=asyncio.subprocess.PIPE
    )
    try:
        await sandbox.slack.wait_connected()
        await slack.command("health")
        await slack.command("triage")
        await slack.command(f"token={P}")
        await slack.wait_for(lambda: any(ends in message.all_text for message in slack.messages))
        await slack.wait_for(lambda: broken != "nothing" or any(message.files for message in slack.messages))
    finally:
        process.terminate()
        _, err = await process.communicate()
    for call in slack.calls:
        assert_silent(str(call.arguments), call.method)
    for message in slack.messages:
        assert_silent(message.all_text, "a message")
    assert b"listening" in err
    assert_silent(err.decode(), "the log")
