"""Slack: are both tokens accepted, has the bot the scopes that it uses, and may it post in INCIDENT_CHANNEL."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from bot.domain.scopes import SCOPES
from bot.ports import CheckResult, Exchange, ProbeRun
from bot.settings import Settings
from bot.variables import Secret

_REINSTALL = "Install the Slack app again from `mistral-bot manifest` and copy its"


@dataclass(frozen=True)
class SlackCheck:
    name: str = "Slack"
    per_target: bool = False

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        slack = settings.slack
        if slack.bot_token is None and slack.app_token is None and slack.signing_secret is None:
            return ()
        results = [
            CheckResult(what="settings", ok=False, detail=problem, mend="Set it.") for problem in slack.problems()
        ]
        if slack.bot_token is not None:
            answer = await self._call(run, settings, "auth.test", slack.bot_token)
            results += _token_results(answer)
            if settings.incident_channel is not None and not _error(answer):
                info = await self._call(
                    run, settings, "conversations.info", slack.bot_token, channel=settings.incident_channel
                )
                results.append(_channel_result(info, _scopes(answer)))
        if slack.app_token is not None:
            answer = await self._call(run, settings, "apps.connections.open", slack.app_token)
            error = _error(answer)
            results.append(
                CheckResult(
                    what="app token (Socket Mode)",
                    ok=not error,
                    detail=error or "opens a connection",
                    mend=f"{_REINSTALL} app-level token (connections:write) to SLACK_APP_TOKEN." if error else "",
                )
            )
        return results

    async def _call(self, run: ProbeRun, settings: Settings, method: str, token: Secret, **arguments: str) -> Exchange:
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        # not every method takes JSON, and all take a query
        query = f"?{urlencode(arguments)}" if arguments else ""
        url = f"{settings.slack.api_url}{method}{query}"
        return await run.http.fetch("POST", url, timeout_s=run.timeout_s, headers=headers)


def _error(answer: Exchange) -> str:
    """Slack's word for what is wrong, or how the call failed; empty where all is well."""
    if answer.failure is not None or answer.status != 200:
        return f"Slack's API answers {answer.failure or answer.status}"
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "Slack's API does not answer with JSON"
    if not isinstance(body, dict) or body.get("ok") is not True:
        word = body.get("error") if isinstance(body, dict) else None
        return f"Slack says {str(word)[:80]}" if word else "Slack's API does not answer as Slack does"
    return ""


def _scopes(answer: Exchange) -> set[str]:
    return {scope.strip() for scope in answer.headers.get("x-oauth-scopes", "").split(",")}


def _channel_result(answer: Exchange, scopes: set[str]) -> CheckResult:
    """Whether INCIDENT_CHANNEL is there and may be posted in, as conversations.info answers."""
    what = "INCIDENT_CHANNEL"
    if error := _error(answer):
        mend = "Set it to the id of a channel (C…, in the channel's details); invite the bot into a private one."
        return CheckResult(what=what, ok=False, detail=error, mend=mend)
    channel: Any = json.loads(answer.body).get("channel")
    held = channel if isinstance(channel, dict) else {}
    name = f"#{str(held.get('name') or '?')[:80]}"
    if held.get("is_archived"):
        mend = "Unarchive it, or set INCIDENT_CHANNEL to the id of another."
        return CheckResult(what=what, ok=False, detail=f"{name} is archived", mend=mend)
    if held.get("is_member"):
        return CheckResult(what=what, ok=True, detail=f"the bot is in {name}")
    if not held.get("is_private") and "chat:write.public" in scopes:
        told = f"the bot may post in {name}; once it is invited it pins the cards there, too"
        return CheckResult(what=what, ok=True, detail=told)
    return CheckResult(what=what, ok=False, detail=f"the bot is not in {name}", mend="Invite it there with /invite.")


def _token_results(answer: Exchange) -> list[CheckResult]:
    error = _error(answer)
    if error:
        return [
            CheckResult(
                what="bot token", ok=False, detail=error, mend=f"{_REINSTALL} bot token (xoxb-…) to SLACK_BOT_TOKEN."
            )
        ]
    held = _scopes(answer)
    missing = [f"{scope} ({purpose})" for scope, purpose in SCOPES.items() if scope not in held]
    return [
        CheckResult(what="bot token", ok=True, detail="is accepted"),
        CheckResult(
            what="scopes",
            ok=not missing,
            detail=f"missing: {', '.join(missing)}" if missing else "all that are used are granted",
            mend="Add them under OAuth & Permissions, or paste `mistral-bot manifest`, and reinstall."
            if missing
            else "",
        ),
    ]


CHECK = SlackCheck()
