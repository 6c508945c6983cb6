"""The forms of mitigations: asking for one, and the reason for rejecting, reverting, keeping or approving alone.

What is submitted is stored before Slack closes the form, as in ``forms``.
"""

import json
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck

from bot.domain import mitigation
from bot.domain.acts import Declaration
from bot.domain.approvals import GLASS_CHARS
from bot.domain.causes import Severity
from bot.domain.caution import why_never
from bot.domain.incident import Incident, Refusal
from bot.domain.policy import Act
from bot.domain.runs import Run
from bot.errors import BotError
from bot.handlers.mitigation import Asked, MitigationHandler
from bot.ports import Remedy, Reply
from bot.settings import DEFAULT_TARGET
from bot.slack.approvers import Approvers
from bot.slack.form_parts import SEVERITIES, kept_report, stored, values
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place

logger = logging.getLogger(__name__)

# As many as a menu in Slack has.
_READ = 100
_OPTION_CHARS = 75
# The form's metadata takes 3,000 characters in all.
_NEVER_CHARS = 600

# act -> (the form's title, what the button says, what it means, a hint)
_BECAUSE = {
    "reject": ("Reject", "Reject", "Nothing is changed.", ""),
    "glass": (
        "Break the glass",
        "Approve alone",
        "You approve it alone, though the policy asks for others; that is recorded and announced.",
        f"At least {GLASS_CHARS} characters: why it cannot wait.",
    ),
    "revert": ("Take it back", "Make the preview", "You see first what taking it back would change.", ""),
    "key": (
        "Enter the new key",
        "Check and use it",
        "Mistral is asked whether it takes the key; then it is written to the Secret, and kept nowhere else.",
        "",
    ),
    "keep": ("Keep it", "Keep", "It stays in place, and the incident can be resolved.", ""),
}
FORMS = ("mitigate", *_BECAUSE)
_KEY_SLOW = "Mistral is slow to say whether it takes the key; look at the card, and send it again if it still waits."


@dataclass(frozen=True, kw_only=True)
class MitigationForms:
    """``channel``: where incidents are announced; None: where they are declared."""

    handler: MitigationHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    approvers: Approvers
    channel: str | None

    async def ask(
        self, place: Place, name: str, *, target: str | None = None, about: str | None = None, revision: str = ""
    ) -> None:
        """Opens the form; ``about``: the triage that its button stands beneath, else the ``target`` alone."""
        await self.incidents.allowed(Act.MITIGATE, place.user)
        report = await kept_report(self.handler.store, about)
        target = target or str(report.get("target") or DEFAULT_TARGET)
        remedy = await self._askable(name, target)
        opened = await self._open_of(target)
        if not opened:
            await self.incidents.allowed(Act.DECLARE, place.user)
        # which of several is meant is said in the form: all are of the same service, and any may speak against it
        causes = [report.get("cause")] if report.get("cause") else [one.cause for one in opened]
        cause = causes[0] if len(causes) == 1 else None
        held = (why_never({**report, "cause": one}, name) for one in causes)
        never = next(filter(None, held), "")[:_NEVER_CHARS]
        metadata = {"channel": place.channel, "remedy": name, "target": target, "cause": cause, "never": never}
        if len(opened) == 1:
            metadata["incident"] = opened[0].id
        here = next((one for one in opened if place.channel in (one.home, one.channel)), None)
        context = {
            "metadata": metadata,
            "remedy": remedy,
            "target": target,
            "never": never,
            "incidents": [(str(one.id), f"{one.name} {one.severity} {one.title}"[:_OPTION_CHARS]) for one in opened],
            "incident": None if here is None else str(here.id),
            "title": str(report.get("headline", "")),
            "severity": report.get("severity"),
            "severities": SEVERITIES,
            "given": {"revision": revision} if revision else {},
        }
        await self._open(place, Reply(template="mitigate_modal", context=context))

    async def because(self, place: Place, act: str, identity: str) -> None:
        """Opens the form for the reason of ``act``; who comes too late for it is told at once."""
        run = await self.handler.one(identity)
        await self._allowed(act, run, place.user)
        self._must_be_possible(act, run, place.user)
        title, submit, told, hint = _BECAUSE[act]
        context = {
            "metadata": {"channel": place.channel, "run": run.id},
            "act": act,
            "run": run,
            "title": title,
            "submit": submit,
            "told": told,
            "hint": hint,
        }
        await self._open(place, Reply(template="run_modal", context=context))
        if act == "glass":
            # submitting it has two seconds for everything
            await self.approvers.groups_of(place.user)

    async def _allowed(self, act: str, run: Run, user: str) -> None:
        """Raises Refusal. Who approves alone or enters a key is the handler's to say; approvers may reject, too."""
        if act in ("glass", "key") or (act == "reject" and await self.approvers.may(run, user)):
            return
        await self.incidents.allowed(Act.MITIGATE, user)

    def _must_be_possible(self, act: str, run: Run, user: str) -> None:
        now = self.handler.clock.now()
        match act:
            case "revert":
                mitigation.revert_of(run, run.id, user, act, now)
            case "key":
                self.handler.may_enter_key(run, user)
            case "keep":
                mitigation.keep(run, user, act, now, self.handler.policy.mitigations)
            case _:
                mitigation.rejected(run, user, act, now)

    async def submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        """A form was sent: does what it says, and only then lets Slack close it."""
        told, user = values(view), str(body["user"]["id"])
        metadata = json.loads(view.get("private_metadata") or "{}")
        place = Place(channel=str(metadata.get("channel") or user), user=user)
        request, act = f"view:{view['id']}", str(view["callback_id"])
        work: Awaitable[str]
        if act == "mitigate":
            work = self._asked(told, metadata, place, request)
        else:
            work = self._decided(act, str(metadata["run"]), str(told.get("reason") or ""), place, request)
        slow = {"slow": _KEY_SLOW} if act == "key" else {}
        if sentence := await stored(ack, work, "reason", **slow):
            try:
                await self.messenger.tell(place, sentence)
            except BotError as error:
                logger.warning("nobody was told %r: %s", sentence, error)

    async def _asked(self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str) -> str:
        await self.incidents.allowed(Act.MITIGATE, place.user)
        never, target = str(metadata.get("never") or ""), str(metadata["target"])
        if never and not told.get("never"):
            raise Refusal("Tick the box first, which says what speaks against it.")
        remedy = await self._askable(str(metadata["remedy"]), target)
        named = {argument.name: str(told.get(f"argument_{argument.name}") or "") for argument in remedy.arguments}
        # first of all: what is refused here may be a key in the wrong field
        arguments = self.handler.checked(remedy.name, named)
        incident = await self._incident(told, metadata, place, request)
        asked = Asked(
            incident=incident.id,
            target=target,
            remedy=remedy.name,
            arguments=arguments,
            severity=incident.severity,
            user=place.user,
            reason=str(told.get("reason") or ""),
            never=never,
        )
        return self._elsewhere(place, incident, await self.handler.ask(asked, request))

    async def _incident(
        self, told: Mapping[str, Any], metadata: dict[str, Any], place: Place, request: str
    ) -> Incident:
        """The one that is meant; declared now where none of the target is open."""
        number = told.get("incident") or metadata.get("incident")
        if number:
            return await self.incidents.handler.one(int(number))
        if opened := await self._open_of(str(metadata["target"])):
            return opened[0]
        await self.incidents.allowed(Act.DECLARE, place.user)
        declaration = Declaration(
            target=str(metadata["target"]),
            title=str(told.get("title") or ""),
            severity=Severity(told["severity"]),
            cause=metadata.get("cause"),
            channel=self.channel or place.channel,
        )
        return await self.incidents.handler.declare(declaration, place.user, f"{request}:declare")

    async def _decided(self, act: str, identity: str, reason: str, place: Place, request: str) -> str:
        await self._allowed(act, await self.handler.one(identity), place.user)
        match act:
            case "glass":
                await self.approvers.approve(identity, place.user, request, glass=reason)
            case "key":
                await self.handler.enter_key(identity, place.user, reason)
                return "The key is taken; the card shows how it goes."
            case "revert":
                run = await self.handler.revert(identity, place.user, reason, request)
                return self._elsewhere(place, await self.incidents.handler.one(run.incident), run)
            case "reject":
                await self.handler.reject(identity, place.user, reason, request)
            case _:
                await self.handler.keep(identity, place.user, reason, request)
        return ""

    def _elsewhere(self, place: Place, incident: Incident, run: Run) -> str:
        """For whoever does not see the card where they are; empty: they do."""
        what = f"The {run.name} of {incident.name}"
        return "" if place.channel == incident.home else f"{what} is asked for; its card is in <#{incident.home}>."

    async def _askable(self, name: str, target: str) -> Remedy:
        """The remedy; raises Refusal where asking for it would, before an incident is declared for it."""
        await self.handler.may_ask(name, target)
        return self.handler.remedies[name]

    async def _open_of(self, target: str) -> list[Incident]:
        """The open incidents of the target, the newest first."""
        held = await self.handler.store.listed(open_only=True, limit=_READ)
        return [incident for incident in held if incident.target == target]

    async def _open(self, place: Place, form: Reply) -> None:
        if place.trigger_id is None:
            raise Refusal("That needs a command or a button.")
        await self.messenger.open_view(place.trigger_id, form)
