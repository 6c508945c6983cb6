"""Alerts: may Alertmanager call, and is there a channel for what comes of it. Nothing is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings


@dataclass(frozen=True)
class AlertsCheck:
    name: str = "Alerts"
    per_target: bool = False

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        if settings.alertmanager_token is None:
            return ()
        problems = settings.alert_problems()
        return (
            CheckResult(
                what="settings",
                ok=not problems,
                detail=problems[0] if problems else "POST /alerts is open to whoever has ALERTMANAGER_TOKEN",
                mend="Set it." if problems else "",
            ),
        )


CHECK = AlertsCheck()
