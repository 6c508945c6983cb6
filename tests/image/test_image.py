"""The image without an engine: its steps in a plain folder, and what they make started as whom nobody trusts.

The base image's python is Debian's here. What only an engine does (layers, namespaces, the read-only mount) is not
shown; that the bot writes nowhere but in its volume is, since nothing else belongs to its user.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.image.context import context_of
from tests.image.dockerfile import Stage, build, instructions
from tests.needed import fail_or_skip

CHECKOUT = Path(__file__).parent.parent.parent
DOCKERFILE = CHECKOUT / "Dockerfile"
PYTHON = Path("/usr/bin/python3.11")
DIGEST = "sha256:" + "0" * 64
_UID = 10001


def test_hadolint_finds_nothing() -> None:
    linted = subprocess.run([CHECKOUT / ".venv/bin/hadolint", DOCKERFILE], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_base_image_is_pinned_by_a_digest_that_is_asked_for() -> None:
    steps = instructions(DOCKERFILE.read_text())
    assert ("ARG", "PYTHON_DIGEST") in steps, "no default: a digest that nobody looks after would grow old"
    bases = [rest.split()[0] for word, rest in steps if word == "FROM"]
    assert bases == ["python:3.11-slim-bookworm@${PYTHON_DIGEST}"] * 2


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """Built once; below /tmp, since the user of the image must be able to reach it."""
    if os.getuid() != 0 or not PYTHON.exists():
        fail_or_skip("the image's steps change owners: run this as root, with Debian's python3.11")
    folder = Path(tempfile.mkdtemp(prefix="mistral-bot-image-"))
    folder.chmod(0o755)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(PYTHON)
    (tools / "pip").symlink_to(CHECKOUT / ".venv/bin/pip")
    context = context_of(CHECKOUT, folder / "context")
    old = os.umask(0o022)
    try:
        yield build(DOCKERFILE, context, folder, tools, PYTHON_DIGEST=DIGEST, VERSION="9.9", REVISION="abc")
    finally:
        os.umask(old)
        shutil.rmtree(folder)


def as_its_user(image: Stage, words: list[str], **environ: str) -> subprocess.Popen[bytes]:
    program = shutil.which(words[0], path=image.here(image.environ["PATH"]))
    assert program is not None
    own = {name: image.here(value) for name, value in image.environ.items()}
    return subprocess.Popen(
        ["setpriv", f"--reuid={_UID}", f"--regid={_UID}", "--clear-groups", "--no-new-privs", program, *words[1:]],
        env={**own, **environ},
        cwd=image.path(image.workdir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def told_by(image: Stage, *words: str, **environ: str) -> tuple[int, str]:
    process = as_its_user(image, list(words), **environ)
    out, err = process.communicate(timeout=60)
    return process.returncode, (out + err).decode()


def test_what_is_in_it(image: Stage) -> None:
    assert image.base == f"python:3.11-slim-bookworm@{DIGEST}"
    assert image.user == f"{_UID}:{_UID}", "a number: Kubernetes cannot check that a name is not root"
    assert image.volumes == ["/data"]
    assert image.stop_signal == "SIGTERM"
    assert (image.entrypoint, image.command) == (["mistral-bot"], ["run"])
    assert image.labels["org.opencontainers.image.version"] == "9.9"
    assert image.labels["org.opencontainers.image.revision"] == "abc"
    held = {path.relative_to(image.root).as_posix() for path in image.root.rglob("*")}
    assert not [name for name in held if name.startswith(("app/bot/sandbox", "app/tests", "build", "app/bench"))]
    for tool in ("pip", "pytest", "hatchling", "ruff", "mypy"):
        assert not list(image.path("/opt/mistral-bot").glob(f"lib/python3.11/site-packages/{tool}")), tool
    assert "app/bot/__pycache__/app.cpython-311.pyc" in held, "compiled, since it cannot be when it runs"
    assert "app/templates/slack/triage.j2" in held


def test_nothing_in_it_but_its_volume_is_its_users(image: Stage) -> None:
    volume = image.path("/data")
    assert volume.stat().st_uid == _UID
    for path in image.root.rglob("*"):
        if not path.is_symlink() and not path.is_relative_to(volume):
            held = path.lstat()
            assert held.st_uid != _UID, path
            assert not held.st_mode & 0o022, path


def test_its_commands_run_and_the_sandbox_is_said_not_to_be_there(image: Stage) -> None:
    assert told_by(image, "mistral-bot", "manifest")[0] == 0
    status, said = told_by(image, "mistral-bot", "sandbox")
    assert (status, said) == (2, "mistral-bot: the sandbox is not part of this installation; a checkout has it\n")
    status, said = told_by(image, "mistral-bot", "run")
    assert status == 2
    assert "SLACK_BOT_TOKEN is not set" in said


def test_it_draws_charts(image: Stage) -> None:
    drawn = as_its_user(image, ["python", "-m", "bot.clients.charts"])
    png, _ = drawn.communicate(json.dumps({"kind": "bars", "title": "x", "labels": ["a"], "stacks": {}}).encode(), 60)
    assert (drawn.returncode, png[:4]) == (0, b"\x89PNG")


async def test_it_starts_as_nobodys_user_triages_and_ends_in_ten_seconds(image: Stage) -> None:
    sandbox = Sandbox(load_scenarios()["rate limited under the usual traffic"])
    await sandbox.start()
    environ = {name: value for name, value in sandbox.environment().items() if name in _OF_THE_WORLD or "URL" in name}
    environ.pop("DATABASE_URL")
    before = _written(image)
    bot = as_its_user(image, [*image.entrypoint, *image.command], **environ)
    try:
        await sandbox.slack.wait_connected()
        await sandbox.ready()
        health = [*image.health[:-1], image.health[-1]]
        assert (await asyncio.to_thread(told_by, image, *health, PORT=environ["PORT"]))[0] == 0
        assert (await asyncio.to_thread(told_by, image, *health, PORT="1"))[0] != 0
        slack = sandbox.slack.workspace
        await slack.command("triage")
        await slack.wait_for(lambda: any("Declare" in str(one.blocks) for one in slack.messages))
        began = time.monotonic()
        bot.send_signal(signal.SIGTERM)
        _, err = await asyncio.to_thread(bot.communicate, timeout=15)
        assert (bot.returncode, time.monotonic() - began < 10) == (0, True)
        assert b'"event": "listening on' in err, "JSON, as a cluster's collectors read it"
    finally:
        bot.kill()
        await sandbox.close()
    written = _written(image) - before
    assert written, "its database"
    assert all(path.is_relative_to(image.path("/data")) for path in written)


_OF_THE_WORLD = frozenset(
    {"PORT", "HOST", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "MISTRAL_API_KEY", "KUBECONFIG", "INCIDENT_CHANNEL"}
)


def _written(image: Stage) -> set[Any]:
    return {path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()}
