"""The name of an incident's own channel; pure."""

import re
import unicodedata

from bot.domain.incident import Incident
from bot.domain.policy import Policy

# Slack: at most 80 of a-z, 0-9, - and _.
_CHARS = 80


def channel_name(incident: Incident, policy: Policy) -> str:
    """By the policy's template; the incident's number always leads what people wrote, so that no two are the same.

    Nothing that changes is in it: after a crash the channel is found again by its name.
    """
    plain = unicodedata.normalize("NFKD", incident.title).encode("ascii", "ignore").decode()
    values = {
        "id": str(incident.id),
        "date": f"{incident.declared_at:%Y-%m-%d}",
        "title": plain,
    }
    named = re.sub(r"\{(id|date|title)\}", lambda found: values[found[1]], policy.channel_name)
    slug = _slug(named)
    if not _tells_apart(slug, incident, policy.channel_name):
        slug = f"inc-{incident.id}-{slug}"
    return slug[:_CHARS].rstrip("-")


def _tells_apart(slug: str, incident: Incident, template: str) -> bool:
    """Whether the number stands whole where the template has it, after nothing that people wrote."""
    before = template.partition("{id}")[0]
    if before == template or "{title}" in before:
        return False
    lead = _slug(before.replace("{date}", f"{incident.declared_at:%Y-%m-%d}") + "0")[:-1]
    return re.match(rf"{re.escape(lead)}(?<!\d){incident.id}(?!\d)", slug[:_CHARS]) is not None


def _slug(text: str) -> str:
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_-]+", "-", text.lower())).strip("-")
