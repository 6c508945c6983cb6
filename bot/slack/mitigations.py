"""Mitigations in Slack: the commands and the buttons. Forms are in ``mitigation_forms``."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.incident import Refusal
from bot.domain.policy import Act
from bot.domain.redaction import redact
from bot.filters import escape
from bot.handlers.mitigation import MitigationHandler
from bot.ports import Reply
from bot.slack import parse
from bot.slack.approvers import Approvers
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.mitigation_forms import MitigationForms
from bot.slack.place import Place

_SHOWN, _READ = 20, 100
# Of a section's 3,000 characters; escaping makes five of one at worst.
_PART_CHARS, _PIECE_CHARS = 2800, 500

ASK = "mitigate_"
BUTTONS = ("approve", "reject", "glass", "key", "revert", "keep", "kubectl")


@dataclass(frozen=True, kw_only=True)
class SlackMitigations:
    """Raises BotError, whose sentence goes to whoever asked."""

    handler: MitigationHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    approvers: Approvers
    forms: MitigationForms

    async def command(self, place: Place, asked: parse.OnMitigation) -> None:
        match asked.verb:
            case "revert":
                await self._revert(place, asked.remedy)
            case "freeze":
                await self._freeze(place, asked.text)
            case "unfreeze":
                await self._unfreeze(place)
            case _ if asked.remedy is None:
                await self._remedies(place, asked.target)
            case _:
                await self.forms.ask(place, asked.remedy, target=asked.target, revision=asked.text)

    async def click(self, place: Place, name: str, value: str, request: str) -> None:
        """A button of a card: ``value`` is the run's id, or what the triage was about."""
        if name.startswith(ASK):
            await self.forms.ask(place, name.removeprefix(ASK), about=value)
        elif name == "approve":
            await self.approvers.approve(value, place.user, request)
        elif name == "kubectl":
            await self._kubectl(place, value)
        else:
            await self.forms.because(place, name, value)

    async def _remedies(self, place: Place, target: str) -> None:
        await self.incidents.allowed(Act.MITIGATE, place.user)
        context = {"target": target, "remedies": list(self.handler.remedies.values())}
        await self.messenger.answer(place, Reply(template="remedies", context=context))

    async def _revert(self, place: Place, name: str | None) -> None:
        """The form at once where only one thing can be meant, else what is in place."""
        await self.incidents.allowed(Act.MITIGATE, place.user)
        held = [run for run in await self.handler.store.in_place(_READ) if name in (None, run.remedy)]
        if not held:
            what = f"{name} is not in place" if name else "Nothing temporary is in place"
            raise Refusal(f"{what}; what a mitigation has changed otherwise is taken back on its card.")
        if len(held) == 1:
            await self.forms.because(place, "revert", held[0].id)
        else:
            context = {"runs": held, "most": _SHOWN}
            await self.messenger.answer(place, Reply(template="in_place", context=context))

    async def _freeze(self, place: Place, reason: str) -> None:
        await self.incidents.allowed(Act.MITIGATE, place.user)
        turned = await self.handler.freeze(place.user, reason)
        how = "Mitigations are frozen" if turned else "Mitigations were frozen already"
        await self.messenger.tell(place, f"{how}: none begins. `/mistral unfreeze` ends that.")

    async def _unfreeze(self, place: Place) -> None:
        await self.incidents.allowed(Act.MITIGATE, place.user)
        turned = await self.handler.unfreeze(place.user)
        await self.messenger.tell(place, f"Mitigations {'may begin again' if turned else 'were not frozen'}.")

    async def _kubectl(self, place: Place, identity: str) -> None:
        run = await self.handler.one(identity)
        if not await self.approvers.may(run, place.user):
            await self.incidents.may_read(place.user)
        lines = await self.handler.commands(run.target, run.remedy, run)
        await self.messenger.answer(place, Reply(template="commands", context={"parts": in_parts(lines)}))


def in_parts(lines: Sequence[str]) -> list[str]:
    """The lines as they fit into sections; one that is too long for any is in pieces, and nothing is left out."""
    parts: list[str] = []
    for line in map(redact, lines):
        fits = len(escape(line)) <= _PART_CHARS
        for piece in [line] if fits else [line[at : at + _PIECE_CHARS] for at in range(0, len(line), _PIECE_CHARS)]:
            if parts and len(escape(f"{parts[-1]}\n{piece}")) <= _PART_CHARS:
                parts[-1] += f"\n{piece}"
            else:
                parts.append(piece)
    return parts
