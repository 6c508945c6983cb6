"""What is declared from an alert's proposal, by a person."""

from datetime import timedelta

from bot.domain import acts
from bot.domain.acts import Declaration
from bot.domain.causes import Severity
from bot.domain.incident import Milestone
from tests.domain.incidents import ADA, POLICY
from tests.fakes import NOW


def test_an_alert_of_a_clock_that_is_ahead_began_when_it_was_declared_at_the_latest() -> None:
    for ahead, began in ((timedelta(minutes=5), NOW), (-timedelta(minutes=5), NOW - timedelta(minutes=5))):
        told = Declaration(
            target="default", title="It fails", severity=Severity.P2, channel="C1", first_alert=NOW + ahead
        )
        held = acts.declare(told, ADA, NOW, POLICY).incident
        assert held.milestones[Milestone.FIRST_ALERT] == began
