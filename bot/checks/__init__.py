"""What ``mistral-bot doctor`` looks at: one system a file, which ends in ``CHECK`` if it needs nothing."""

from bot.ports import Check, Database


def load(database: Database) -> tuple[Check, ...]:
    """The checks in the order in which they are told."""
    from bot.checks import alerts, kubernetes, mistral, pagers, prometheus, service, slack, statuspage
    from bot.checks.database import DatabaseCheck

    return (
        slack.CHECK,
        mistral.CHECK,
        service.CHECK,
        prometheus.CHECK,
        kubernetes.CHECK,
        DatabaseCheck(database),
        pagers.CHECK,
        alerts.CHECK,
        statuspage.CHECK,
    )
