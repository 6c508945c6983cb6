"""``/mistral evidence``: has a bundle collected, whose card says how far it is."""

from dataclasses import dataclass
from datetime import timedelta

from bot.domain.incident import Refusal
from bot.domain.policy import Act
from bot.domain.spans import span_of
from bot.errors import AlreadyDone
from bot.handlers.evidence import EvidenceHandler
from bot.settings import DEFAULT_TARGET
from bot.slack import parse
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger
from bot.slack.place import Place


@dataclass(frozen=True, kw_only=True)
class SlackEvidence:
    handler: EvidenceHandler
    incidents: SlackIncidents
    messenger: SlackMessenger
    targets: tuple[str, ...]

    async def command(self, place: Place, asked: parse.Afterwards, request: str) -> None:
        """Of the incident that is meant; in a channel without one, of a target."""
        await self.incidents.allowed(Act.TRIAGE, place.user)
        target, since = self._read(asked.text)
        number, incidents = asked.number, self.incidents.handler
        if number is None and target is None:
            found = await incidents.store.in_channel(place.channel)
            number = found[0].id if found else None
        if number is not None:
            incident = await incidents.meant(number, place.channel)
            target, about = incident.target, f"for {incident.name}"
        else:
            target = target or DEFAULT_TARGET
            about = f"of {target}"
        try:
            await self.handler.ask(
                number, target=target, channel=place.channel, user=place.user, since=since, request=request
            )
        except AlreadyDone:
            return
        await self.messenger.tell(place, f"Evidence {about} is being collected; its card shows how far it is.")

    def _read(self, text: str) -> tuple[str | None, timedelta]:
        """(target, how far back): zero where nothing is said."""
        target, since = None, timedelta()
        for word in text.split():
            span = span_of(word)
            if span is not None:
                since = span
            elif word in self.targets:
                target = word
            else:
                raise Refusal("Say it as `/mistral evidence`, `/mistral evidence INC-3 2h` or with a target's name.")
        return target, since
