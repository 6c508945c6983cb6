"""What is said, and ways to say it: Slack, charts and pagers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bot.domain.incident import Incident


@dataclass(frozen=True, kw_only=True)
class File:
    """Something to upload: ``content``, or what is on disk at ``path``."""

    name: str
    title: str
    content: bytes = field(default=b"", repr=False)
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a handler says: a template and its values, what goes to the message's thread, and files for it."""

    template: str
    context: Mapping[str, Any]
    thread: "tuple[Reply, ...]" = ()
    files: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MessageRef:
    """A message that was posted."""

    channel: str
    ts: str


class Charts(Protocol):
    async def error_rate(
        self, points: Sequence[tuple[datetime, float]], *, onset: datetime | None, rollouts: Sequence[datetime]
    ) -> bytes:
        """A PNG of the error share over time; raises BotError where it cannot be drawn."""

    async def lines(
        self,
        title: str,
        series: Mapping[str, Sequence[tuple[datetime, float]]],
        *,
        unit: str,
        marks: Sequence[tuple[datetime, str]] = (),
    ) -> bytes:
        """A PNG of what each series was over time; raises as ``error_rate`` does."""

    async def bars(self, title: str, labels: Sequence[str], stacks: Mapping[str, Sequence[float]]) -> bytes:
        """A PNG of a bar for each label, of parts that are called as in ``stacks``; raises as ``error_rate`` does."""


class Messenger(Protocol):
    """Slack's Web API as the bot uses it; what is sent is rendered here, as late as can be. Raises MessageError."""

    async def post(
        self,
        channel: str,
        reply: Reply,
        *,
        thread_ts: str | None = None,
        aloud: bool = False,
        delivery: str | None = None,
    ) -> MessageRef:
        """A new message in the channel or in a thread of it (``aloud``: shown in the channel too).

        ``delivery`` goes into the message's metadata, so that :meth:`find` finds it.
        """

    async def complete(
        self, message: MessageRef, reply: Reply, *, thread_ts: str | None, delivery: str, since: datetime
    ) -> None:
        """Posts what is missing of the rest of a long text, whose beginning ``message`` is."""

    async def find(self, channel: str, delivery: str, *, since: datetime, thread_ts: str | None) -> MessageRef | None:
        """The message with that delivery id, posted at or after ``since``."""

    async def update(self, message: MessageRef, reply: Reply) -> None:
        """The same message with new content."""

    async def upload(self, message: MessageRef, file: File) -> None:
        """A file in the message's thread."""

    async def file_names(self, message: MessageRef) -> frozenset[str]:
        """What the files in the message's thread are called."""

    async def pin(self, message: MessageRef) -> None:
        """Pins the message; one that is pinned already stays so."""

    async def make_channel(self, name: str) -> str:
        """The id of the channel called ``name``, made now if there is none."""

    async def invite(self, channel: str, users: Sequence[str]) -> None:
        """Whoever is there already, or can never be invited, is passed over."""


class Pager(Protocol):
    """Wakes somebody. Each file in ``pagers/`` ends in ``PAGER``, a factory of one of these."""

    @property
    def name(self) -> str:
        """A word, another than any other pager's: each has deliveries of its own."""

    async def page(self, action: str, incident: Incident) -> None:
        """``action``: trigger, acknowledge or resolve; the same one twice does nothing more. Raises UpstreamError."""
