"""Atlassian Statuspage: is the key taken, and does the page have the components that the settings name."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.clients.mistral import parse_json
from bot.ports import CheckResult, ProbeRun
from bot.settings import Settings

# As many as are asked for; of a page with more it is not known what it lacks.
_COMPONENTS = 100
_MEND = "Check STATUSPAGE_API_KEY, STATUSPAGE_PAGE_ID and STATUSPAGE_API_URL."


@dataclass(frozen=True)
class StatuspageCheck:
    name: str = "Statuspage"
    per_target: bool = False

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        key, page = settings.statuspage_api_key, settings.statuspage_page_id
        if key is None and page is None:
            return ()
        if key is None or page is None:
            unset = "STATUSPAGE_API_KEY" if key is None else "STATUSPAGE_PAGE_ID"
            return (CheckResult(what="settings", ok=False, detail=f"{unset} is not set", mend="Set both, or neither."),)
        answer = await run.http.fetch(
            "GET",
            f"{settings.statuspage_api_url.rstrip('/')}/pages/{page}/components?page=1&per_page={_COMPONENTS}",
            timeout_s=run.timeout_s,
            headers={"Authorization": f"OAuth {key.reveal()}"},
        )
        listed = parse_json(answer.body) if answer.failure is None and answer.status == 200 else None
        if not isinstance(listed, list):
            detail = f"no usable answer ({answer.failure or answer.status})"
            return (CheckResult(what="page", ok=False, detail=detail, mend=_MEND),)
        names = {one.get("name") for one in listed if isinstance(one, dict)}
        lacking = [name for name in settings.components if name not in names]
        if lacking and len(listed) < _COMPONENTS:
            mend = "Name them in `components:` as the page does, or add them there; the rest is told all the same."
            detail = f"the page has no component called {', '.join(lacking)}"
            return (CheckResult(what="components", ok=False, detail=detail, mend=mend),)
        return (CheckResult(what="page", ok=True, detail=f"answers, {len(listed)} components"),)


CHECK = StatuspageCheck()
