"""The texts that updates come filled in with, for each cause and status: ready to send as they are."""

from dataclasses import dataclass

from bot.domain.causes import CAUSES
from bot.domain.incident import Incident
from bot.domain.publication import TEXT_CHARS, TITLE_CHARS
from bot.render import Renderer


@dataclass(frozen=True, kw_only=True)
class UsualTexts:
    """``names_provider``: whether they name Mistral. They are ``templates/updates``, plain text."""

    renderer: Renderer
    names_provider: bool

    def title(self, incident: Incident) -> str:
        """What the incident is called in public."""
        return self._text("title", incident, incident.status, TITLE_CHARS)

    def public(self, incident: Incident, status: str, *, again: bool) -> str:
        """What users see; ``again``: the public has been told of that status before. ``status``: a public one."""
        return self._text("public", incident, status, TEXT_CHARS, again=again)

    def workaround(self, incident: Incident, status: str) -> str:
        """What users can do meanwhile; empty: nothing."""
        return self._text("workaround", incident, status, TEXT_CHARS)

    def stakeholders(self, incident: Incident, status: str, *, again: bool) -> str:
        """For people of the company who do not work on it."""
        return self._text("stakeholders", incident, status, TEXT_CHARS, again=again)

    def _text(self, name: str, incident: Incident, status: str, most: int, *, again: bool = False) -> str:
        cause = CAUSES.get(incident.cause or "")
        context = {
            "cause": "" if cause is None else cause.name,
            "family": "" if cause is None else cause.family,
            "severity": incident.severity,
            "status": status,
            "again": again,
            "names_provider": self.names_provider,
        }
        return self.renderer.text(f"updates/{name}.j2", context)[:most]
