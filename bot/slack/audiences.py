"""Who else may be told by a form: what it comes filled in with, and what somebody has made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.incident import Incident, Status
from bot.domain.policy import Act
from bot.domain.publication import ENDED, USUAL_STATES, ComponentState, PublicIncident, PublicStatus
from bot.domain.telling import audience
from bot.domain.updates import PUBLISH, RESOLVE, UPDATE, Public
from bot.ports import Store
from bot.slack.incidents import SlackIncidents
from bot.slack.usual import UsualTexts

_STATES = [
    (ComponentState.OPERATIONAL, "It works"),
    (ComponentState.DEGRADED, "Slower or worse than usual"),
    (ComponentState.PARTIAL, "Partly out of order"),
    (ComponentState.MAJOR, "Out of order"),
]
_GOING_ON = (PublicStatus.INVESTIGATING, PublicStatus.IDENTIFIED, PublicStatus.MONITORING)


@dataclass(frozen=True, kw_only=True)
class Audiences:
    """``pages`` are the status pages by their names, ``components`` what they list."""

    store: Store
    incidents: SlackIncidents
    texts: UsualTexts
    pages: tuple[str, ...]
    components: tuple[str, ...]

    async def offered(self, form: str, incident: Incident, user: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the template of the form shows, and what :meth:`stakeholders` and :meth:`public` are to be given back.

        Stakeholders are offered where policy names channels for the severity, or some were told before; the status page
        where there is one and ``user`` may publish; when an incident ends, only where it was published.
        """
        public = await self.store.public(incident.id)
        status = _status(form, incident, public)
        noticed = await self.store.noticed(incident.id)
        policy = self.incidents.handler.policy
        channels = () if form == PUBLISH else audience(incident.severity, noticed, policy)
        # for a channel that hears of it for the first time nothing is as it was
        told = bool(channels) and set(channels) <= set(noticed)
        was = {"status": status, "told": incident.status if told else None, "public": public and public.status}
        shown: dict[str, Any] = {"channels": channels, "stakeholders": "", "page": None}
        if channels:
            shown["stakeholders"] = self._stakeholders(incident, was, status)
        ends = form == RESOLVE
        on_page = bool(self.pages) and (not ends or (public is not None and public.open))
        if on_page and await self.incidents.may(Act.PUBLISH, user):
            shown["page"] = self._page(form, incident, public, was)
        return shown, was

    def stakeholders(self, told: Mapping[str, Any], incident: Incident, was: Mapping[str, Any], status: str) -> str:
        """What they are to be told, empty where nothing; a text that was left as it was follows ``status``."""
        said = str(told.get("stakeholders") or "")
        if _same(said, self._stakeholders(incident, was, str(was.get("status")))):
            return self._stakeholders(incident, was, status)
        return said

    async def public(
        self, form: str, told: Mapping[str, Any], incident: Incident, was: Mapping[str, Any], status: str
    ) -> Public | None:
        """What the public is to be told; None: somebody did not choose to publish."""
        if form != PUBLISH and not told.get("publish"):
            return None
        before = await self.store.public(incident.id)
        begun = str(was.get("status"))
        text, workaround = str(told.get("public_text") or ""), str(told.get("workaround") or "")
        if _same(text, self._public(incident, was, begun)):
            text = self._public(incident, was, status)
        if _same(workaround, self.texts.workaround(incident, begun)):
            workaround = self.texts.workaround(incident, status)
        if status in ENDED:
            components = _affected(incident, before)
        else:
            state = str(told.get("component_state") or USUAL_STATES[incident.severity])
            components = dict.fromkeys(told.get("components") or (), state)
        return Public(
            status=status,
            title=str(told.get("public_title") or "" if before is None or form == PUBLISH else before.title),
            text=text,
            workaround="" if status in ENDED else workaround,
            components=components,
        )

    def _page(
        self, form: str, incident: Incident, public: PublicIncident | None, was: Mapping[str, Any]
    ) -> dict[str, Any]:
        status = str(was["status"])
        affected = _affected(incident, public)
        worst = max(affected.values(), key=_badness, default=USUAL_STATES[incident.severity])
        choices = _GOING_ON if incident.open else (PublicStatus.RESOLVED, PublicStatus.POSTMORTEM)
        return {
            "published": public is not None,
            "ends": form == RESOLVE or not incident.open,
            "statuses": [(one.value, one.value.capitalize()) for one in choices],
            "status": status,
            "title": self.texts.title(incident) if public is None else public.title,
            "text": self._public(incident, was, status),
            "workaround": self.texts.workaround(incident, status),
            "known": list(self.components),
            "components": list(affected),
            "states": [(one.value, told) for one, told in _STATES],
            "state": worst,
        }

    def _stakeholders(self, incident: Incident, was: Mapping[str, Any], status: str) -> str:
        return self.texts.stakeholders(incident, status, again=was.get("told") == status)

    def _public(self, incident: Incident, was: Mapping[str, Any], status: str) -> str:
        return self.texts.public(incident, status, again=was.get("public") == status)


def _status(form: str, incident: Incident, public: PublicIncident | None) -> str:
    """The public status that a form begins with."""
    if form == UPDATE or (form == PUBLISH and incident.open):
        return incident.status.value
    if form == RESOLVE or public is None or public.open:
        return Status.RESOLVED.value
    return PublicStatus.POSTMORTEM.value


def _affected(incident: Incident, public: PublicIncident | None) -> dict[str, str]:
    """The components that the public knows of, else those of the incident."""
    if public is not None:
        return {name: state.value for name, state in public.components.items()}
    return dict.fromkeys(incident.components, USUAL_STATES[incident.severity].value)


def _badness(state: str) -> int:
    return list(ComponentState).index(ComponentState(state))


def _same(said: str, usual: str) -> bool:
    return said.strip() == usual.strip()
