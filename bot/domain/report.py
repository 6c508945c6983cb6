"""What one triage gives: its findings and diagnosis, and their fixed JSON form."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.causes import Family
from bot.domain.diagnosis import Diagnosis
from bot.domain.redaction import redact, redact_all
from bot.domain.signals import Finding, Logs

# Exit status of ``mistral-bot triage``; design.md, "Command line".
_EXIT_STATUS: Mapping[Family, int] = {Family.HEALTHY: 0, Family.INCONCLUSIVE: 3}


@dataclass(frozen=True, kw_only=True)
class TriageReport:
    """The result of one triage of ``target``; ``duration_ms`` is from its start to the last finding."""

    target: str
    started: datetime
    duration_ms: int
    findings: tuple[Finding, ...]
    diagnosis: Diagnosis

    @property
    def exit_status(self) -> int:
        """0 healthy or recovered, 1 a cause was found, 3 inconclusive."""
        return _EXIT_STATUS.get(self.diagnosis.family, 1)

    def as_json(self) -> dict[str, Any]:
        """The object that ``triage --output json`` prints."""
        found = self.diagnosis
        return {
            "target": self.target,
            "cause": found.cause,
            "family": found.family,
            "severity": found.severity,
            "confidence": found.confidence,
            "headline": found.headline,
            "also": list(found.also),
            "path": list(found.path),
            "duration_ms": self.duration_ms,
            "findings": [
                {
                    "probe": finding.probe,
                    "verdict": finding.verdict,
                    "summary": finding.summary,
                    "duration_ms": finding.duration_ms,
                    "data": redact_all(finding.data),
                }
                for finding in self.findings
            ],
            "mitigations": list(found.mitigations),
            "advice": list(found.advice),
            "warnings": list(found.warnings),
        }

    def as_kept(self) -> dict[str, Any]:
        """The same, as it is kept: with the patterns of the logs' error lines, by which incidents are compared."""
        logs = next((one.signal for one in self.findings if isinstance(one.signal, Logs)), None)
        patterns = [] if logs is None else [redact(one.text) for one in logs.patterns]
        return {**self.as_json(), "log_patterns": patterns}
