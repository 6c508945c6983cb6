"""The name of an incident's own channel; pure."""

import re
import unicodedata

from bot.domain.incident import Incident
from bot.domain.policy import Policy

# Slack: at most 80 of a-z, 0-9, - and _.
_CHARS = 80


def channel_name(incident: Incident, policy: Policy) -> str:
    """By the policy's template; it always carries the incident's number, so that no two are the same."""
    plain = unicodedata.normalize("NFKD", incident.title).encode("ascii", "ignore").decode()
    values = {
        "id": str(incident.id),
        "date": f"{incident.declared_at:%Y-%m-%d}",
        "severity": incident.severity.lower(),
        "title": plain,
    }
    named = re.sub(r"\{(id|date|severity|title)\}", lambda found: values[found[1]], policy.channel_name)
    slug = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_-]+", "-", named.lower())).strip("-")
    if not re.search(rf"(?<!\d){incident.id}(?!\d)", slug[:_CHARS]):
        slug = f"inc-{incident.id}-{slug}"
    return slug[:_CHARS].rstrip("-")
