"""What people ask for after an incident, wired by hand."""

from bot.clients.charts import ChartProcess
from bot.handlers.action import ActionHandler
from bot.handlers.evidence import EvidenceHandler
from bot.handlers.insight import InsightHandler
from bot.handlers.postmortem import PostmortemHandler
from bot.settings import Settings
from bot.slack.actions import SlackActions
from bot.slack.aftermath import Aftermath
from bot.slack.evidence import SlackEvidence
from bot.slack.incidents import SlackIncidents
from bot.slack.metrics import SlackMetrics
from bot.slack.postmortem import SlackPostmortem


def aftermath(
    settings: Settings,
    incidents: SlackIncidents,
    evidence: EvidenceHandler,
    postmortems: PostmortemHandler,
    actions: ActionHandler,
) -> Aftermath:
    """All of it, in Slack."""
    messenger, targets = incidents.messenger, tuple(target.name for target in settings.targets)
    insight = InsightHandler(store=actions.store, clock=actions.clock, policy=settings.policy)
    return Aftermath(
        evidence=SlackEvidence(handler=evidence, incidents=incidents, messenger=messenger, targets=targets),
        postmortem=SlackPostmortem(handler=postmortems, incidents=incidents, messenger=messenger),
        actions=SlackActions(handler=actions, incidents=incidents, messenger=messenger),
        metrics=SlackMetrics(handler=insight, incidents=incidents, charts=ChartProcess(), messenger=messenger),
    )
