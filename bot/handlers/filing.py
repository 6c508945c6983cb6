"""Files that must reach somebody: a bundle into the thread of its card, a postmortem with its message, or onto disk.

After an attempt whose end is not known it looks what is there before it sends anything again.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bot.domain.incident import FOLDER, Incident
from bot.errors import Forbidden, MessageError, Unreachable
from bot.ports import Clock, Delivery, File, MessageRef, Messenger, Reply, Store

# So long a bundle that lies on another process's disk is waited for: that one may be starting.
_ELSEWHERE = timedelta(hours=6)
_EARLIER = timedelta(minutes=2)

Publish = Callable[[Incident, int], Awaitable[Sequence[File]]]


@dataclass(frozen=True, kw_only=True)
class Filer:
    """``evidence``: where bundles lie; ``folder``: where postmortems go on disk; ``publish`` makes their files."""

    store: Store
    messenger: Messenger
    clock: Clock
    evidence: Path
    folder: Path | None
    publish: Publish

    async def send(self, delivery: Delivery, incident: Incident | None) -> MessageRef | None:
        """Once; where it stands. Raises BotError."""
        if delivery.message.template == "evidence":
            return await self._bundle(delivery, incident)
        if incident is None:
            return None
        files = await self.publish(incident, int(delivery.message.context["version"]))
        if delivery.message.to == FOLDER:
            if self.folder is None:
                raise Forbidden("the folder of the postmortems is not configured any more (postmortem: folder)")
            # one an incident: a new version takes the old one's place
            own = [replace(file, name=f"{incident.name}.md") if file.name.endswith(".md") else file for file in files]
            await asyncio.to_thread(_written, self.folder, own)
            return None
        return await self._posted(delivery, incident, files)

    async def _bundle(self, delivery: Delivery, incident: Incident | None) -> MessageRef | None:
        identity = str(delivery.message.context["collection"])
        collection = await self.store.collection(identity)
        card = await self.store.shown("evidence", identity)
        if collection is None:
            return None
        if card is None:
            raise Unreachable("the bundle's card has not been posted yet")
        path = self.evidence / collection.name
        if not await asyncio.to_thread(path.is_file):
            if self.clock.now() - delivery.created_at > _ELSEWHERE:
                raise Forbidden(f"{collection.name} is not in EVIDENCE_DIR any more, and was not uploaded")
            raise Unreachable(f"{collection.name} is not on this machine's disk")
        thread = None if incident is None else (await place(self.store, incident))[1]
        where = card if thread is None else replace(card, ts=thread)
        await self._uploaded(delivery, where, [File(name=collection.name, title=collection.name, path=path)])
        return card

    async def _posted(self, delivery: Delivery, incident: Incident, files: Sequence[File]) -> MessageRef:
        """A message, and the files in its thread."""
        message = delivery.message
        channel, thread = await place(self.store, incident)
        since = delivery.created_at - _EARLIER
        found = None
        if delivery.unsure:
            found = await self.messenger.find(channel, delivery.id, since=since, thread_ts=thread)
        if found is None:
            reply = Reply(template="postmortem_published", context={**message.context, "incident": incident})
            found = await self.messenger.post(channel, reply, thread_ts=thread, aloud=True, delivery=delivery.id)
        where = found if thread is None else MessageRef(channel=found.channel, ts=thread)
        await self._uploaded(delivery, where, files)
        return found

    async def _uploaded(self, delivery: Delivery, where: MessageRef, files: Sequence[File]) -> None:
        there = await self.messenger.file_names(where) if delivery.unsure else frozenset()
        for file in files:
            if file.name in there:
                continue
            try:
                await self.messenger.upload(where, file)
            except MessageError as error:
                if not error.passing:
                    raise
                # what came before it is there: the next attempt must look
                raise Unreachable(str(error)) from error


async def place(store: Store, incident: Incident) -> tuple[str, str | None]:
    """(channel, thread) of what is said of an incident: in a channel of its own everything stands in the channel."""
    card = await store.card(incident.id, incident.home)
    return incident.home, None if card is None or incident.own_channel else card.ts


def _written(folder: Path, files: Sequence[File]) -> None:
    """Each whole, or as it was before."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".postmortem-", delete=False) as held:
                try:
                    held.write(file.content)
                    held.flush()
                    os.fsync(held.fileno())
                    Path(held.name).chmod(0o644)
                    Path(held.name).replace(folder / file.name)
                except BaseException:
                    Path(held.name).unlink(missing_ok=True)
                    raise
    except OSError as error:
        raise Unreachable(f"the postmortem cannot be written to {folder}: {error.strerror}") from error
