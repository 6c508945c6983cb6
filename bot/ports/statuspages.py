"""Where the public is told, and what is stored for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bot.domain.publication import PublicIncident, PublicView


class StatusPage(Protocol):
    """Each file in ``statuspages/`` ends in ``STATUS_PAGE``, a factory of one of these, or of None: not configured."""

    @property
    def name(self) -> str:
        """What the settings, the card and the log call it: a word of at most 20 characters."""

    async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
        """Makes the page say what ``incident`` says, and each of its components be as ``view.states`` has it.

        All updates that the page lacks are added, in order, each once, whatever an earlier call has done and its
        answer told: it is called again until it returns. ``known`` is what it has returned before (at most 40
        characters): how the page names the incident. Raises UpstreamError; Forbidden for what will not work later.
        """

    def link(self, incident: PublicIncident, known: str | None) -> str | None:
        """The URL of the incident's page; None: it is not known."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """How far a page is. ``state``: sent, waiting, sending or dead; ``error``: why it is not sent."""

    page: str
    state: str
    known: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What somebody has filled in and not yet sent. ``held`` are JSON values."""

    id: str
    incident: int
    by: str
    held: Mapping[str, Any]


class Publications(Protocol):
    """What the public has been told; it is written with a Change's ``publication``."""

    async def public(self, incident: int) -> PublicIncident | None: ...

    async def public_incidents(
        self, *, open_only: bool = False, limit: int, since: "PublicIncident | None" = None
    ) -> Sequence[PublicIncident]:
        """The newest first; ``since``: those that began before that one."""

    async def public_called(self, slug: str) -> PublicIncident | None: ...

    async def public_version(self) -> tuple[int, int]:
        """Another one after each change of what the public is told; cheap to ask for."""

    async def published(self, incident: int) -> Sequence[Published]:
        """Each page that the incident was to be published on."""

    async def keep_draft(self, draft: Draft) -> None:
        """In place of one with the same id."""

    async def draft(self, identity: str) -> Draft | None: ...
