"""The terminal's face: a triage as it happens, what the doctor found, and what is on record."""

import io
import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bot.domain.incident import Incident
from bot.domain.insight import SPANS, Insight, Share
from bot.domain.report import TriageReport
from bot.domain.signals import Finding, Verdict
from bot.handlers.doctor import Examined
from bot.handlers.records import Figures, Verified
from bot.handlers.triage import TriageHandler
from bot.ports import Pending, Written
from bot.settings import DEFAULT_TARGET

_MARKS = {Verdict.OK: ("✓", "green"), Verdict.BAD: ("✗", "bold red"), Verdict.UNKNOWN: ("?", "dim")}


async def show_live(handler: TriageHandler, target: str) -> TriageReport:
    """Runs a triage of ``target`` on stdout, a line a probe as it answers, then the diagnosis."""
    console = _console()
    findings: dict[str, Finding] = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def on_finding(finding: Finding) -> None:
            findings[finding.probe] = finding
            live.update(_findings([findings[p.name] for p in handler.probes if p.name in findings]), refresh=True)

        report = await handler.run(target, on_finding)
    console.print(_report(report))
    return report


async def show_examined(examined: AsyncIterator[Examined]) -> int:
    """What the doctor finds, as it finds it; returns 1 if anything is not ok, else 0."""
    console = _console()
    failed = 0
    async for one in examined:
        where = "" if one.target == DEFAULT_TARGET else f" ({one.target})"
        console.print(Text(_plain(f"{one.system}{where}"), style="bold"))
        if not one.results:
            console.print(Text("  not configured", style="dim"))
        for result in one.results:
            mark, style = ("✓", "green") if result.ok else ("✗", "bold red")
            console.print(Text(f"  {mark} ", style=style) + Text(_plain(f"{result.what}: {result.detail}")))
            if not result.ok:
                failed += 1
                console.print(Text(_plain(f"    {result.mend}"), style="yellow"))
    console.print(Text(f"{failed} to mend" if failed else "all is well", style="bold"))
    return 1 if failed else 0


def show_json(value: Any) -> None:
    """One value for scripts, in ASCII: whatever stdout's encoding is."""
    print(json.dumps(value, allow_nan=False))


def show_incidents(incidents: Iterable[Incident]) -> None:
    """A line each."""
    lines = [
        f"{one.name}  {one.severity}  {one.status:<13}  {one.declared_at:%Y-%m-%d %H:%M} UTC  {one.title}"
        for one in incidents
    ]
    _say(lines or ["no incidents"])


async def show_verified(verified: AsyncIterator[Verified]) -> int:
    """A line each, as it is found; returns 1 if any is not whole, else 0."""
    wrong = count = 0
    async for one in verified:
        count += 1
        wrong += one.fault is not None
        _say([f"{one.incident.name}  {one.fault or f'whole, {one.incident.entries} entries'}"])
    if not count:
        _say(["no incidents"])
    return 1 if wrong else 0


def show_pending(pending: Iterable[Pending]) -> None:
    """A line each."""
    lines = []
    for one in pending:
        delivery = one.delivery
        tried = f"{delivery.attempts} {'attempt' if delivery.attempts == 1 else 'attempts'}"
        about = "-" if delivery.incident is None else f"INC-{delivery.incident}"
        told = f"{one.state:<7}  {delivery.message.to}  {delivery.message.kind}  {about}  {tried}"
        lines.append(f"{told}  {delivery.error}" if delivery.error else told)
    _say(lines or ["nothing waits"])


def show_figures(held: Figures) -> None:
    """A line for each severity, then one for the deliveries."""
    resolved = {severity: (mtta, mttr, count) for severity, mtta, mttr, count in held.rows}
    lines = []
    for severity, count in held.open.items():
        mtta, mttr, ended = resolved.get(severity, (None, None, 0))
        lines.append(f"{severity}  {count} open  {ended} resolved  MTTA {_span(mtta)}  MTTR {_span(mttr)}")
    deliveries = ", ".join(f"{count} {state}" for state, count in held.deliveries.items())
    _say([*lines, f"deliveries: {deliveries}"])


def show_insight(held: Insight, span: timedelta) -> None:
    """What the incidents of that span say together."""

    def share(one: Share) -> str:
        return f"{one.kept} of {one.all}" if one.all else "none yet"

    def counts(held: Mapping[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in held.items()) or "none"

    spans = [
        f"{name}  mean {_span(one.mean)}, median {_span(one.median)}, of {one.count} (from {first} to {then})"
        for (name, one), (first, then) in zip(held.spans.items(), SPANS.values(), strict=True)
    ]
    _say(
        [
            f"the last {span.days} days: {held.incidents} incidents",
            f"by severity: {counts(held.by_severity)}",
            f"by cause: {counts(held.by_cause)}",
            *spans,
            f"updates in time: {share(held.updates)}, responses in time: {share(held.responses)}",
            f"mitigations: {counts(held.mitigations)}; the same cause again: {held.recurrences}",
        ]
    )


class Collected:
    """How far a bundle is: one line on stderr that is written over, where somebody looks."""

    async def tell(self, doing: str, files: int, size: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{_plain(doing)}: {files} files, {size / 1e6:,.1f} MB", end="", file=sys.stderr, flush=True)


def show_collected(written: Written, folder: Path) -> None:
    """What is missing goes to stderr, the bundle's path is the last line on stdout."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    for one in written.manifest.missing:
        print(_plain(f"missing: {one.what}: {one.why}"), file=sys.stderr)
    for held in written.manifest.files:
        if held.cut:
            print(_plain(f"cut: {held.name}: {held.cut}"), file=sys.stderr)
    masked = sum(written.manifest.redacted.values())
    print(f"{len(written.manifest.files)} files, {written.size:,} bytes, {masked} secrets masked", file=sys.stderr)
    # not made printable: it is to be opened
    print(folder / written.name)


def _span(span: timedelta | None) -> str:
    if span is None:
        return "-"
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _say(lines: Iterable[str]) -> None:
    _forgive_stdout()
    for line in lines:
        print(_plain(line))


def _console() -> Console:
    _forgive_stdout()
    return Console(highlight=False)


def _forgive_stdout() -> None:
    """A mark that stdout's encoding lacks is no reason to fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _findings(findings: list[Finding] | tuple[Finding, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    for column in ("mark", "probe", "time", "summary"):
        table.add_column(column, justify="right" if column == "time" else "left", no_wrap=column != "summary")
    for finding in findings:
        mark, style = _MARKS[finding.verdict]
        subdued = "dim" if finding.verdict is Verdict.UNKNOWN else ""
        table.add_row(
            Text(mark, style=style),
            Text(finding.probe.replace("_", " "), style=subdued),
            Text(f"{finding.duration_ms} ms", style="dim"),
            Text(_plain(finding.summary), style=subdued),
        )
    return table


def _report(report: TriageReport) -> Group:
    found = report.diagnosis
    colour = {"P1": "bold red", "P2": "bold yellow", "P3": "yellow", "P4": "green"}[found.severity]
    lines: list[Text | Table] = [
        Text.assemble((found.severity, colour), " ", (_plain(found.headline), "bold"), (f" ({found.cause})", "dim")),
        Text(_plain(f"{found.confidence} confidence, {report.duration_ms} ms, target {report.target}"), style="dim"),
        Text(),
        _findings(report.findings),
        Text(),
        Text("How: " + " → ".join(found.way), style="dim"),
    ]
    if found.also:
        lines.append(Text("Also fits: " + ", ".join(found.also), style="dim"))
    if found.mitigations:
        lines.append(Text("Remedies: " + ", ".join(found.mitigations), style="bold"))
    lines += [Text(f"• {_plain(step)}") for step in found.advice]
    lines += [Text(f"! {_plain(warning)}", style="yellow") for warning in found.warnings]
    return Group(*lines)


def _plain(text: str) -> str:
    """Text from outside without what a terminal would obey."""
    return "".join(character if character.isprintable() else "·" for character in text)
