"""The command line, as a person or a script meets it: real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def mistral_bot(*arguments: str, home: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """The command in an environment of its own: what is not passed is not set."""
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "SLACK_API_URL": "http://127.0.0.1:9/", **environ}
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments], capture_output=True, text=True, timeout=60, env=own, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trage"], "invalid choice"),
        (["triage", "--output", "xml"], "invalid choice"),
        (["triage", "nowhere"], "there is no target called 'nowhere'"),
        (["health", "nowhere"], "there is no target called 'nowhere'"),
        (["sandbox", "--scenario", "no such"], "no such"),
        (["manifest", "--url", "bot.example.com"], "is no address for Slack: say it as https://bot.example.com"),
    ],
)
def test_a_wrong_command_line_exits_2_with_one_line_on_stderr(arguments: list[str], told: str, tmp_path: Path) -> None:
    ended = mistral_bot(*arguments, home=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_wrong_settings_exit_2_with_a_line_each_and_no_secret(tmp_path: Path) -> None:
    ended = mistral_bot("triage", home=tmp_path, PORT="x", MISTRAL_API_KEY="hunter2 hunter2")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 2
    assert "hunter2" not in ended.stderr


def test_run_without_slack_is_a_clear_error(tmp_path: Path) -> None:
    ended = mistral_bot(home=tmp_path)
    assert ended.returncode == 2
    assert "SLACK_APP_TOKEN" in ended.stderr
    assert "SLACK_SIGNING_SECRET" in ended.stderr


def test_triage_with_nothing_configured_is_inconclusive(tmp_path: Path) -> None:
    ended = mistral_bot("triage", "--output", "json", home=tmp_path, MISTRAL_STATUS_URL="")
    report = json.loads(ended.stdout)
    assert ended.returncode == 3
    assert (report["cause"], report["severity"], report["mitigations"]) == ("inconclusive", "P4", [])
    assert len(report["findings"]) == 11
    assert all(
        "not configured" in finding["summary"] for finding in report["findings"] if finding["probe"] not in ("control",)
    )


def test_health_of_a_closed_port_is_unhealthy_in_one_line(tmp_path: Path) -> None:
    ended = mistral_bot("health", home=tmp_path, MISTRAL_API_KEY="k" * 32, MISTRAL_API_URL="http://127.0.0.1:9")
    assert ended.returncode == 1
    assert ended.stdout.startswith("UNHEALTHY: ")
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["triage", "--output", "json"], ["triage"], ["health"], ["manifest"]], ids=" ".join
)
def test_a_reader_that_has_left_is_no_error_to_tell(arguments: list[str], tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SLACK_API_URL": "http://127.0.0.1:9/"}
    ended = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
        env={**own, "MISTRAL_STATUS_URL": ""},
        check=False,
    )
    os.close(theirs)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize(("arguments", "status"), [(["health"], 1), (["triage", "--output", "json"], 1)])
def test_a_resolver_that_hangs_does_not_hold_up_the_end(arguments: list[str], status: int, tmp_path: Path) -> None:
    patch = "import socket, time\nsocket.getaddrinfo = lambda *asked, **options: time.sleep(600)\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    own = {"deadline": 1.0, "default": 0.3, "canary": 0.3}
    (tmp_path / "bot.yaml").write_text(json.dumps({"timeouts": own}))
    ended = mistral_bot(
        *arguments,
        home=tmp_path,
        PYTHONPATH=str(tmp_path),
        MISTRAL_BOT_CONFIG=str(tmp_path / "bot.yaml"),
        MISTRAL_API_KEY="k" * 32,
        SERVICE_HEALTH_URL="http://service.test/",
        PROMETHEUS_URL="http://prometheus.test/",
    )
    assert (ended.returncode, ended.stderr) == (status, "")
    assert "dns" in ended.stdout


def test_text_that_stdout_cannot_encode_is_no_reason_to_fail(tmp_path: Path) -> None:
    held = {"KUBECONFIG": str(tmp_path / "não há"), "PYTHONIOENCODING": "ascii", "MISTRAL_STATUS_URL": ""}
    ended = mistral_bot("triage", "--output", "json", home=tmp_path, **held)
    assert (ended.returncode, ended.stderr) == (3, "")
    pods = next(finding for finding in json.loads(ended.stdout)["findings"] if finding["probe"] == "pods")
    assert pods["summary"] == f"the kubeconfig {tmp_path / 'não há'} is not there"


def test_the_manifest_is_printed_without_any_settings(tmp_path: Path) -> None:
    ended = mistral_bot("manifest", home=tmp_path, PORT="wrong")
    assert ended.returncode == 0
    assert "/mistral" in ended.stdout


def test_nothing_of_the_bots_needs_the_sandbox_or_what_it_is_made_of() -> None:
    program = """
import importlib, pkgutil, sys
for name in ("bot.sandbox", "time_machine"):
    sys.modules[name] = None
import bot
named = [one.name for one in pkgutil.walk_packages(bot.__path__, "bot.", onerror=lambda _: None)]
for name in named:
    if not name.startswith("bot.sandbox") and not name.endswith("__main__"):
        importlib.import_module(name)
print(len(named))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.stderr == ""
    assert int(told.stdout) > 150


def test_the_bot_starts_without_sqlalchemys_orm() -> None:
    program = "import sys, bot.serve; print([name for name in sys.modules if name.startswith('sqlalchemy.orm')])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (told.stderr, told.stdout) == ("", "[]\n")
