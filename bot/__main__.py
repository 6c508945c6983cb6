"""The command line: ``mistral-bot [run]``, triage, health, doctor, sandbox, manifest, and what is on record.

Exit status: 0 healthy or recovered, 1 a cause was found, 3 inconclusive, 2 the command line or the settings are wrong.
"""

import argparse
import asyncio
import contextlib
import gc
import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from bot.configuration import load
from bot.errors import BotError, SettingsError
from bot.settings import DEFAULT_TARGET, Settings

USAGE_ERROR = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line: scripts and people in a hurry read the last line alone."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mistral-bot", description="The incident bot for products built on the Mistral AI API.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the bot (what it does without a command, too)")
    triage = commands.add_parser("triage", help="one triage in the terminal")
    triage.add_argument("target", nargs="?", default=DEFAULT_TARGET, help="a target of the YAML file")
    triage.add_argument("--output", choices=("text", "json"), default="text", help="json: one object for scripts")
    health = commands.add_parser("health", help="one line: does Mistral's API answer? exit 0 healthy, 1 not")
    health.add_argument("target", nargs="?", default=DEFAULT_TARGET, help="a target of the YAML file")
    commands.add_parser("doctor", help="check every setting, scope, permission and endpoint; exit 1 if any fails")
    _add_records(commands)
    sandbox = commands.add_parser("sandbox", help="everything on loopback, with a page to use it in")
    sandbox.add_argument("--scenario", help="what the world does at first")
    sandbox.add_argument("--port", type=int, help="the page's port; a free one where it is taken")
    sandbox.add_argument(
        "--host", default="127.0.0.1", help="where the page listens, for others to join; loopback alone"
    )
    manifest = commands.add_parser("manifest", help="print the Slack app manifest")
    manifest.add_argument("--url", help="for HTTP mode: where Slack reaches the bot, such as https://bot.example.com")
    _add_evidence(commands)
    postmortem = commands.add_parser("postmortem", help="an incident's postmortem as Markdown, on stdout")
    postmortem.add_argument("incident", help="such as 7 or INC-7")
    postmortem.add_argument("--read", metavar="FILE", help="take the sections of an edited file as a new version")
    postmortem.add_argument("--by", default="", metavar="NAME", help="with --read: who wrote it")
    return parser


def _add_evidence(commands: "argparse._SubParsersAction[_Parser]") -> None:
    evidence = commands.add_parser("evidence", help="collect a bundle of evidence; prints its path")
    evidence.add_argument("what", nargs="?", help="an incident, such as 7; or verify: is FILE whole? exit 1 if not")
    evidence.add_argument("file", nargs="?", help="the bundle to verify")
    evidence.add_argument("--since", help="how far back the logs go, such as 90m or 1h", metavar="SPAN")
    evidence.add_argument("--target", default=DEFAULT_TARGET, help="without an incident: a target of the YAML file")


def _add_records(commands: "argparse._SubParsersAction[_Parser]") -> None:
    incidents = commands.add_parser("incidents", help="every incident, the newest first")
    incidents.add_argument(
        "act",
        nargs="?",
        choices=("list", "verify"),
        default="list",
        help="verify: is each timeline whole? exit 1 if not",
    )
    deliveries = commands.add_parser("deliveries", help="what waits to be sent, or was given up")
    deliveries.add_argument(
        "act", nargs="?", choices=("list", "retry"), default="list", help="retry: what was given up waits again"
    )
    metrics = commands.add_parser("metrics", help="incidents, MTTD to MTTR, what was kept and what works")
    metrics.add_argument("--since", default="30d", metavar="SPAN", help="over how long, such as 30d, 12w or 1y")
    for parser in (incidents, deliveries, metrics):
        parser.add_argument("--output", choices=("text", "json"), default="text", help="json: for scripts")


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    with _importing():
        from bot import app
        from bot.clients.threads import Unawaited

        if arguments.command in (None, "run"):
            importlib.import_module("bot.serve")
    asyncio.get_running_loop().set_default_executor(Unawaited())
    match arguments.command:
        case "triage":
            return await app.triage(settings, arguments.target, as_json=arguments.output == "json")
        case "health":
            reply = await app.health(settings, arguments.target)
            word = "healthy" if reply.context["healthy"] else "UNHEALTHY"
            _say(f"{word}: {reply.context['sentence']}")
            return 0 if reply.context["healthy"] else 1
        case "doctor":
            return await app.doctor(settings)
        case "postmortem":
            incident = _number(arguments.incident) or 0
            if arguments.read is not None:
                return await app.read_postmortem(settings, incident, _read(arguments.read), arguments.by)
            return await app.postmortem(settings, incident)
        case "evidence":
            number, since = _number(arguments.what), _span(arguments.since)
            return await app.evidence(settings, number, target=arguments.target, since=since)
        case "incidents" | "deliveries" | "metrics":
            return await _records(arguments, settings)
        case _:
            return await app.serve(settings)


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """What is imported stays: to look through it for garbage, again and again, would be a fifth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def _records(arguments: argparse.Namespace, settings: Settings) -> int:
    from bot import app

    as_json = arguments.output == "json"
    match arguments.command, getattr(arguments, "act", None):
        case "incidents", "verify":
            return await app.verify(settings)
        case "incidents", _:
            return await app.incidents(settings, as_json=as_json)
        case "deliveries", "retry":
            return await app.retry(settings)
        case "deliveries", _:
            return await app.deliveries(settings, as_json=as_json)
        case _:
            return await app.metrics(settings, _long_span(arguments.since), as_json=as_json)


def _number(text: str | None) -> int | None:
    """An incident's, as 7 or INC-7; raises SettingsError."""
    if text is None:
        return None
    digits = text.upper().removeprefix("INC-")
    if not digits.isdecimal() or len(digits) > 9:
        raise SettingsError([f"{text!r} is no incident: give its number, such as 7 or INC-7"])
    return int(digits)


def _span(text: str | None) -> timedelta:
    """Zero where nothing was said; raises SettingsError."""
    from bot.domain.spans import span_of

    if text is None:
        return timedelta()
    span = span_of(text)
    if span is None:
        raise SettingsError([f"--since {text!r} is no span of time: say 90m, 1h, 2h30m or 1d, at most 7d"])
    return span


def _read(file: str) -> str:
    """Raises BotError."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BotError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error


def _long_span(text: str) -> timedelta:
    from bot.domain.spans import span_of

    span = span_of(text, timedelta(days=3660))
    if span is None:
        raise SettingsError([f"--since {text!r} is no span of time: say 30d, 12w or 1y"])
    return span


def _verified(what: str, file: str | None) -> int:
    """Whether the bundle is whole, in a line; or what is wrong with it, a line each."""
    from bot.clients.bundle_check import check

    if file is None:
        raise SettingsError([f"evidence {what} needs the bundle's file"])
    found = check(Path(file))
    for fault in found.faults:
        _say(fault)
    if found.faults:
        return 1
    about = f" of {found.incident}, whose timeline ends with {found.last_hash}" if found.incident else ""
    _say(f"whole: {found.files} files, {found.size:,} bytes{about}")
    return 0


def _sandbox(scenario: str | None, port: int | None, host: str) -> int:
    """Raises SettingsError in an image, which is built without it."""
    try:
        from bot.sandbox.run import run
    except ModuleNotFoundError as missing:
        if missing.name is None or not missing.name.startswith(("bot.sandbox", "time_machine")):
            raise
        raise SettingsError(["the sandbox is not part of this installation; a checkout has it"]) from None
    asyncio.run(run(scenario, port, host))
    return 0


def _say(line: str) -> None:
    """One line, whatever an upstream put into it and stdout can encode; ``terminal`` would cost a start too much."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    print("".join(character if character.isprintable() else "·" for character in line))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    try:
        status = _main(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # whoever read has left, as head does; what is still held back must not be written at the exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _main(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "manifest":
            from bot.slack.manifest import manifest_text

            print(manifest_text(arguments.url), end="")
            return 0
        if arguments.command == "sandbox":
            return _sandbox(arguments.scenario, arguments.port, arguments.host)
        if arguments.command == "evidence" and arguments.what == "verify":
            return _verified("verify", arguments.file)
        settings = load(os.environ)
        _log_to_stderr(settings)
        return asyncio.run(_run(arguments, settings))
    except SettingsError as error:
        print("\n".join(f"mistral-bot: {problem}" for problem in error.problems), file=sys.stderr)
        return USAGE_ERROR
    except BotError as error:
        print(f"mistral-bot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _log_to_stderr(settings: Settings) -> None:
    from bot.logs import RedactingFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(settings))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bot").setLevel(logging.INFO)
    logging.getLogger("slack_bolt").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
