"""What ``mistral-bot doctor`` looks at: one system a file, each ending in ``CHECK``."""

from bot.ports import Check


def load() -> tuple[Check, ...]:
    """The checks in the order in which they are told."""
    from bot.checks import kubernetes, mistral, prometheus, service, slack

    return (slack.CHECK, mistral.CHECK, service.CHECK, prometheus.CHECK, kubernetes.CHECK)
