"""Pagers: which ones are set; none is called, since somebody would be woken."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings


@dataclass(frozen=True)
class PagersCheck:
    name: str = "Pagers"
    per_target: bool = False

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        held = (
            ("PagerDuty", settings.pagerduty_routing_key, "PAGERDUTY_ROUTING_KEY"),
            ("webhook", settings.pager_webhook_url, "PAGER_WEBHOOK_URL"),
        )
        return tuple(
            CheckResult(what=what, ok=True, detail=f"{variable} is set ({len(secret.reveal())} characters); not tried")
            for what, secret, variable in held
            if secret is not None
        )


CHECK = PagersCheck()
