"""What each card says, from what is stored at the moment that it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.domain.approvals import HOW_TO_CONFIGURE, rule_for, second_person
from bot.domain.incident import Incident
from bot.domain.ledger import revertible
from bot.domain.policy import Policy
from bot.handlers.insight import similar_to
from bot.ports import Reply, StatusPage, Store


@dataclass(frozen=True, kw_only=True)
class Cards:
    """``pages``: the status pages by their names."""

    store: Store
    policy: Policy
    pages: Mapping[str, StatusPage]

    async def incident(self, incident: Incident) -> Reply:
        in_place = [run for run in await self.store.runs(incident.id) if run.in_place]
        public = await self.store.public(incident.id)
        published = await self.store.published(incident.id) if public is not None else ()
        context = {
            "incident": incident,
            "in_place": in_place,
            "triage": None if incident.triage is None else await self.store.triage(incident.triage),
            "alerts": await self.store.alert_figures(incident.id),
            "watching": await self.store.watching(incident.id),
            "public": public,
            "similar": await similar_to(self.store, incident) if incident.open else (),
            "published": [
                (one, self.pages[one.page].link(public, one.known) if one.page in self.pages and public else None)
                for one in published
            ],
        }
        return Reply(template="incident_card", context=context)

    async def proposal(self, identity: str) -> Reply | None:
        """The card of the proposal with that id; None: it is long forgotten."""
        proposal = await self.store.proposal(identity)
        if proposal is None:
            return None
        declared, triage = proposal.declared, proposal.key.triage
        context = {
            "proposal": proposal,
            "incident": None if declared is None else await self.store.incident(declared),
            "triage": None if triage is None else await self.store.triage(triage),
        }
        return Reply(template="proposal_card", context=context)

    async def evidence(self, incident: Incident | None, identity: str) -> Reply | None:
        """The card of the bundle with that id; None: there is none."""
        held = await self.store.collection(identity)
        context = {"incident": incident, "collection": held}
        return None if held is None else Reply(template="evidence_card", context=context)

    async def postmortem(self, incident: Incident) -> Reply | None:
        """None: it has not ended yet."""
        held = await self.store.postmortem(incident.id)
        context = {"incident": incident, "postmortem": held}
        return None if held is None else Reply(template="postmortem_card", context=context)

    async def run(self, incident: Incident, identity: str) -> Reply | None:
        """The card of the mitigation with that id; None: there is none."""
        run = await self.store.run(identity)
        if run is None:
            return None
        judged = replace(run, severity=incident.severity)  # as an approval is
        rule = rule_for(judged, self.policy.mitigations)
        context = {
            "incident": incident,
            "run": run,
            "rule": rule,
            "second_person": rule is not None and second_person(judged, rule),
            "how_to_configure": HOW_TO_CONFIGURE,
            "revertible": revertible(run),
        }
        return Reply(template="mitigation_card", context=context)
