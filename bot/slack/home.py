"""App Home: my open incidents, all open ones, what is in place for a while, recent ones, and how fast they went."""

from dataclasses import dataclass

from bot.domain.figures import by_severity
from bot.domain.incident import Incident, Refusal
from bot.domain.reminding import local_day
from bot.ports import Reply
from bot.slack.incidents import SlackIncidents
from bot.slack.messenger import SlackMessenger

# How many a list shows, how many open ones are read, and how many resolved ones the figures are counted over.
_SHOWN, _RECENT, _READ, _COUNTED = 15, 5, 100, 100


@dataclass(frozen=True, kw_only=True)
class Home:
    incidents: SlackIncidents
    messenger: SlackMessenger

    async def show(self, user: str) -> None:
        """What ``user`` sees, as it is now; for whoever may not read it, a sentence that says so."""
        try:
            await self.incidents.may_read(user)
        except Refusal as refusal:
            await self.messenger.publish_home(user, Reply(template="sentence", context={"sentence": str(refusal)}))
            return
        await self._show(user)

    async def _show(self, user: str) -> None:
        handler = self.incidents.handler
        store = handler.store
        held = await store.listed(open_only=True, limit=_READ + 1)
        ended = await store.resolved(limit=_COUNTED)
        standing = await store.in_place(_SHOWN + 1)
        context = {
            "mine": [one for one in held if _has_part(one, user)],
            "open": held,
            "in_place": [(run, await store.incident(run.incident)) for run in standing],
            "recent": ended[:_RECENT],
            "figures": by_severity(ended),
            "actions": await store.actions(owner=user, open_only=True, limit=_SHOWN),
            "today": local_day(handler.clock.now(), handler.policy.calendar),
            "most": _SHOWN,
            "cut": len(held) > _READ,
            "counted": _COUNTED,
            "dead": (await store.waiting()).get("dead", 0),
        }
        await self.messenger.publish_home(user, Reply(template="home", context=context))


def _has_part(incident: Incident, user: str) -> bool:
    return user == incident.declared_by or user in incident.roles.values()
