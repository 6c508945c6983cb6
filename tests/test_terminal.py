"""What a terminal shows: a triage with and without a tty, and text from outside that would like to act on it."""

import asyncio
import contextlib
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.handlers.doctor import Examined
from bot.ports import CheckResult
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import AnswerSpec, MistralSpec, ProviderStatusSpec, load_scenarios
from bot.terminal import show_examined

SCENARIOS = load_scenarios()
PROBES = (
    *("mistral api", "canary", "control", "health", "prometheus", "pods", "rollout"),
    *("logs", "secret", "egress", "provider status"),
)
# clears the screen, sets the window's title, turns text around, and closes a tag of rich's that is not open
HOSTILE = "[red]hot[/red][/] \x1b[2J\x1b]0;owned\x07 \u202egnp \\"


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    held = Sandbox(request.param)
    await held.start()
    yield held
    await held.close()


def scenario(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sandbox", [SCENARIOS[name]], indirect=True, ids=[name])


hostile = pytest.mark.parametrize(
    "sandbox",
    [
        replace(
            SCENARIOS["the provider is down"],
            mistral=MistralSpec(
                models=AnswerSpec(status=503, body={"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}),
                canary={"mistral-small-latest": AnswerSpec(status=503, body={"type": HOSTILE})},
            ),
            provider_status=ProviderStatusSpec(
                indicator="major", incidents=({"name": f"{HOSTILE} API", "impact": "major", "components": ["API"]},)
            ),
        )
    ],
    indirect=True,
    ids=[""],
)


async def piped(sandbox: Sandbox, **environ: str) -> tuple[int | None, str]:
    """(exit status, stdout) of ``triage`` whose stdout is a pipe."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "triage"),
        env={**sandbox.environment(), "COLUMNS": "200", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    return process.returncode, out.decode()


async def on_a_tty(sandbox: Sandbox) -> tuple[int | None, str]:
    """(exit status, everything written) of ``triage`` in a terminal."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "triage"),
        env={**sandbox.environment(), "COLUMNS": "200", "LINES": "60", "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)

    def read() -> bytes:
        pieces = []
        with contextlib.suppress(OSError):  # a terminal that everybody has left cannot be read
            while piece := os.read(ours, 65_536):
                pieces.append(piece)
        return b"".join(pieces)

    out = await asyncio.to_thread(read)
    await process.wait()
    os.close(ours)
    return process.returncode, out.decode()


@scenario("rate limited under the usual traffic")
async def test_a_pipe_gets_the_report_once_and_without_control_characters(sandbox: Sandbox) -> None:
    status, out = await piped(sandbox)
    assert status == 1
    lines = out.splitlines()
    assert re.match(r"P2 .+ \(rate_limited\)$", lines[0])
    assert re.match(r"high confidence, \d+ ms, target default$", lines[1])
    shown = [line for line in lines if re.match(r"[✓✗?] ", line)]
    assert len(shown) == len(PROBES)
    for probe, line in zip(PROBES, shown, strict=True):
        assert re.match(rf"[✓✗?] {probe} +\d+ ms \S", line)
    assert "Remedies: rate_limit_queue, limit_concurrency" in lines
    assert any(line.startswith("How: Mistral API returns errors → ") for line in lines)
    assert any(line.startswith("• ") for line in lines)
    assert "\x1b" not in out


@scenario("rate limited under the usual traffic")
async def test_a_terminal_gets_it_live_and_in_colour(sandbox: Sandbox) -> None:
    status, out = await on_a_tty(sandbox)
    assert status == 1
    assert "\x1b[1;33mP2\x1b[0m" in out
    assert out.count("mistral api") > 1, "it is drawn again with each finding"
    final = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.rpartition("P2")[2])
    assert "Remedies: rate_limit_queue, limit_concurrency" in final
    assert tuple(re.findall(rf"^[✓✗?] ({'|'.join(PROBES)}) ", final, re.MULTILINE)) == PROBES


@scenario("all is well")
async def test_a_terminal_that_knows_ascii_alone_is_no_reason_to_fail(sandbox: Sandbox) -> None:
    status, out = await piped(sandbox, PYTHONIOENCODING="ascii")
    assert status == 0
    assert out.startswith("P4 ")
    assert out.isascii()


@hostile
async def test_the_line_about_health_is_one_line_of_text_whatever_the_encoding(sandbox: Sandbox) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "health"),
        env={**sandbox.environment(), "PYTHONIOENCODING": "ascii"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err, out.count(b"\n")) == (1, b"", 1)
    assert out.startswith(b"UNHEALTHY: 503 [red]hot")
    assert out.decode("ascii").rstrip("\n").isprintable()


@hostile
async def test_hostile_text_is_shown_as_text_in_a_pipe(sandbox: Sandbox) -> None:
    status, out = await piped(sandbox)
    assert status == 1
    assert "503 [red]hot[/red][/] ·[2J·]0;owned· ·gnp \\" in out
    assert all(character.isprintable() for character in out if character != "\n")


@hostile
async def test_hostile_text_is_shown_as_text_in_a_terminal(sandbox: Sandbox) -> None:
    status, out = await on_a_tty(sandbox)
    assert status == 1
    assert "503 [red]hot[/red][/] ·[2J·]0;owned· ·gnp \\" in out
    # what is left of the control sequences are rich's own: colours, the cursor, and lines of the live table
    assert set(re.findall(r"\x1b(?:\[[0-9;?]*)?(.)", out)) <= set("mhlAK")
    assert not {"\u202e", "\x07"} & set(out)


@pytest.mark.parametrize(("ok", "status", "last"), [(True, 0, "all is well"), (False, 1, "1 to mend")], ids=str)
async def test_what_the_doctor_finds_is_text_and_decides_the_exit_status(
    status: int, last: str, capsys: pytest.CaptureFixture[str], *, ok: bool
) -> None:
    async def examined() -> AsyncIterator[Examined]:
        result = CheckResult(what=HOSTILE, ok=ok, detail=HOSTILE, mend="" if ok else HOSTILE)
        yield Examined(system="Slack", target="default", results=())
        yield Examined(system="Service", target="[blink]", results=(result,))

    assert await show_examined(examined()) == status
    out = capsys.readouterr().out
    assert out.splitlines()[:3] == ["Slack", "  not configured", "Service ([blink])"]
    assert out.splitlines()[-1] == last
    assert out.count("[red]hot[/red][/] ·[2J") == (2 if ok else 3)
    assert "\x1b" not in out
