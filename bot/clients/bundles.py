"""A bundle of evidence on disk: a tar.gz that is written under a temporary name until it is whole.

Each file is spooled to disk first, since tar tells its size before it; secrets are masked and the archive is packed in
threads, so that nobody else waits. The manifest is the last file in it.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bot.domain.collecting import Held, Manifest, Missing
from bot.domain.scrubbing import Scrubber
from bot.errors import BotError, UpstreamError
from bot.ports import Clock, Written
from bot.settings import EvidenceSettings

if TYPE_CHECKING:
    from tarfile import TarFile

MANIFEST, INDEX = "manifest.json", "index.html"
PREFIX, SUFFIX = "evidence-", ".tar.gz"
_TEMPORARY = ".evidence-"
# What a name within a bundle may consist of; everything else is somebody's wish to be elsewhere.
_STRANGE = re.compile(r"[^\w.=@+-]", re.ASCII)
_PART_CHARS, _PARTS = 120, 6
# As gzip's and tar's own default.
_LEVEL = 6
# A temporary file that nobody has written to for so long is a dead process's.
_FORGOTTEN = timedelta(hours=1)


def safe_name(name: str) -> str:
    """A path that stays within the bundle, whatever a pod or a container is called."""
    parts = [_STRANGE.sub("_", part)[:_PART_CHARS] for part in name.split("/")]
    kept = [part for part in parts if part.strip(".")][:_PARTS]
    return "/".join(kept) or "unnamed"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the manifest says besides its files; see :class:`bot.domain.collecting.Manifest`."""

    incident: str | None
    title: str
    target: str
    why: Any
    begun: datetime
    since: timedelta
    entries: int
    last_hash: str


class BundleFile:
    """See :class:`bot.ports.Bundle`. ``name``: the file's, with PREFIX and SUFFIX; ``secrets``: the bot's own."""

    def __init__(
        self, folder: Path, name: str, limits: EvidenceSettings, clock: Clock, *, secrets: Sequence[str] = ()
    ) -> None:
        self._folder, self._name, self._limits, self._clock = folder, name, limits, clock
        self._secrets = tuple(secrets)
        self._held: list[Held] = []
        self._missing: list[Missing] = []
        self._names: set[str] = set()
        self._size = 0
        self._packing = asyncio.Lock()
        self._temporary: Path | None = None
        self._file: IO[bytes] | None = None
        self._packed: Any = None
        self._tar: TarFile | None = None

    @property
    def files(self) -> int:
        return len(self._held)

    @property
    def size(self) -> int:
        return self._size

    def miss(self, what: str, why: str) -> None:
        self._missing.append(Missing(what=what, why=why))

    async def begin(self) -> None:
        """Makes the folder where there is none, and the temporary file; raises BotError."""
        await self._on_disk(self._begin)

    async def add(self, name: str, content: AsyncIterator[bytes] | bytes, *, source: str, text: bool = True) -> None:
        member = _Member(self, self._spool(), Scrubber(self._secrets, emails=self._limits.emails) if text else None)
        try:
            try:
                await member.take(content)
            except UpstreamError as error:
                member.cut = str(error)
            except asyncio.CancelledError:
                member.cut = "the time was over"
                # what came is kept: whoever cancels waits for it
                await _undisturbed(self._keep(member, name, source))
                raise
            await _undisturbed(self._keep(member, name, source))
        finally:
            with contextlib.suppress(OSError):
                member.spool.close()

    async def _keep(self, member: "_Member", name: str, source: str) -> None:
        await member.end()
        kept = self._own(safe_name(name))
        async with self._packing:
            await self._on_disk(self._pack, kept, member.spool, member.size)
            self._held.append(
                Held(
                    name=kept,
                    source=source,
                    at=self._clock.now(),
                    size=member.size,
                    sha256=member.digest.hexdigest(),
                    cut=member.cut,
                    redacted=dict(sorted(member.counts.items())),
                )
            )

    async def finish(self, facts: Facts, index: Callable[[Manifest], bytes]) -> Written:
        """Writes what the bundle says of itself, and gives it its name; raises BotError."""
        shown = index(self._manifest(facts))
        # of what has been masked already
        await self.add(INDEX, shown, source="the bot", text=False)
        manifest = self._manifest(facts)
        content = json.dumps(manifest.as_json(), indent=1, ensure_ascii=False).encode()
        async with self._packing:
            size, digest = await self._on_disk(self._finish, content)
        return Written(name=self._name, size=size, sha256=digest, manifest=manifest)

    async def abandon(self) -> None:
        """Leaves nothing behind."""
        async with self._packing:
            await asyncio.to_thread(self._abandon)

    def room(self) -> int:
        """How many bytes more there may be."""
        return max(0, self._limits.bundle_bytes - self._size)

    def took(self, size: int) -> None:
        self._size += size

    @property
    def file_bytes(self) -> int:
        return self._limits.file_bytes

    def _manifest(self, facts: Facts) -> Manifest:
        return Manifest(
            incident=facts.incident,
            title=facts.title,
            target=facts.target,
            why=facts.why,
            begun=facts.begun,
            ended=self._clock.now(),
            since=facts.since,
            entries=facts.entries,
            last_hash=facts.last_hash,
            files=tuple(self._held),
            missing=tuple(self._missing),
        )

    def _own(self, name: str) -> str:
        """The name, or where there is one like it already the next that is free."""
        made, number = name, 1
        while made.lower() in self._names or made == MANIFEST:
            number += 1
            made = f"{name}.{number}"
        self._names.add(made.lower())
        return made

    async def _on_disk(self, work: Callable[..., Any], *given: Any) -> Any:
        """In a thread, which nobody may leave alone with the file: whoever is cancelled waits for its end."""
        try:
            return await _undisturbed(asyncio.to_thread(work, *given))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BotError:
        return BotError(f"the bundle cannot be written to {self._folder}: {error.strerror or error}")

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held, path = tempfile.mkstemp(prefix=_TEMPORARY, suffix=".tmp", dir=self._folder)
        self._temporary, self._file = Path(path), os.fdopen(held, "wb")
        # a fixed time: the same content makes the same archive
        self._packed = _gzip(self._file)
        import tarfile  # 0.4 MB that a bot which collects nothing does not hold

        self._tar = tarfile.open(fileobj=self._packed, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def _spool(self) -> IO[bytes]:
        """A file without a name, which takes no longer than a thread would."""
        try:
            held: IO[bytes] = tempfile.TemporaryFile(dir=self._folder, prefix=_TEMPORARY)  # noqa: SIM115 - add closes it
        except OSError as error:
            raise self._unwritable(error) from error
        return held

    def _pack(self, name: str, content: IO[bytes], size: int) -> None:
        content.seek(0)
        self._entry(name, content, size)

    def _entry(self, name: str, content: IO[bytes], size: int) -> None:
        if self._tar is None:
            raise BotError("the bundle is closed")
        info = self._tar.tarinfo(f"{self._name.removesuffix(SUFFIX)}/{name}")
        info.size, info.mode, info.mtime = size, 0o600, int(self._clock.now().timestamp())
        self._tar.addfile(info, content)

    def _finish(self, manifest: bytes) -> tuple[int, str]:
        import io

        self._entry(MANIFEST, io.BytesIO(manifest), len(manifest))
        if self._tar is None or self._file is None or self._temporary is None:
            raise BotError("the bundle is closed")
        self._tar.close()
        self._packed.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self._temporary.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
        size = self._temporary.stat().st_size
        self._temporary.replace(self._folder / self._name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._tar = self._file = self._temporary = None
        return size, digest

    def _abandon(self) -> None:
        if self._file is not None:
            for part in (self._packed, self._file):
                # on a full disk each tries once more to write what it holds
                with contextlib.suppress(OSError):
                    part.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        self._tar = self._file = self._temporary = None


async def _undisturbed(work: Coroutine[Any, Any, Any]) -> Any:
    """To its end, and only then cancelled."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    return task.result()


class _Member:
    """One file on its way into the bundle."""

    def __init__(self, bundle: BundleFile, spool: IO[bytes], scrubber: Scrubber | None) -> None:
        self._bundle, self.spool, self._scrubber = bundle, spool, scrubber
        self.size, self.cut, self.digest = 0, "", hashlib.sha256()

    @property
    def counts(self) -> Any:
        return {} if self._scrubber is None else self._scrubber.counts

    async def take(self, content: AsyncIterator[bytes] | bytes) -> None:
        if isinstance(content, bytes):
            await self._write(content)
            return
        waiting, size = list[bytes](), 0
        async with contextlib.AsyncExitStack() as stack:
            if hasattr(content, "aclose"):
                stack.push_async_callback(content.aclose)
            try:
                async for piece in content:
                    waiting.append(piece)
                    size += len(piece)
                    if size >= _PIECE:
                        await self._write(b"".join(waiting))
                        waiting, size = [], 0
                        if self.cut:
                            return
            finally:
                # what came before a failure is kept
                if waiting and not self.cut:
                    await self._write(b"".join(waiting))

    async def end(self) -> None:
        if self._scrubber is not None:
            scrubber = self._scrubber
            await self._bundle._on_disk(lambda: self._put(scrubber.end()))

    async def _write(self, data: bytes) -> None:
        await self._bundle._on_disk(self._scrub, data)

    def _scrub(self, data: bytes) -> None:
        self._put(data if self._scrubber is None else self._scrubber.feed(data))

    def _put(self, data: bytes) -> None:
        """In a thread. Up to the limits; what is more is left out, and said."""
        own, whole = self._bundle.file_bytes - self.size, self._bundle.room()
        fits = min(own, whole)
        if len(data) > fits:
            what = "a file" if own <= whole else "the bundle"
            limit = self._bundle.file_bytes if own <= whole else self._bundle._limits.bundle_bytes
            self.cut = f"longer than {what} may be ({limit:,} bytes): the rest is left out"
            data = data[:fits]
        self.spool.write(data)
        self.digest.update(data)
        self.size += len(data)
        self._bundle.took(len(data))


# So much is taken to a thread at once.
_PIECE = 256 * 1024


def _gzip(file: IO[bytes]) -> Any:
    import gzip

    return gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0)


def sweep(folder: Path, *, keep: timedelta, now: datetime) -> list[str]:
    """Deletes bundles that are older than ``keep``, and what dead processes have left; the names of the bundles."""
    gone = []
    if not folder.is_dir():
        return []
    for path in sorted(folder.iterdir()):
        temporary = path.name.startswith(_TEMPORARY)
        if not temporary and not (path.name.startswith(PREFIX) and path.name.endswith(SUFFIX)):
            continue
        with contextlib.suppress(OSError):
            age = now.timestamp() - path.stat().st_mtime
            if age > (_FORGOTTEN if temporary else keep).total_seconds():
                path.unlink()
                if not temporary:
                    gone.append(path.name)
    return gone
