"""Looks whether a bundle is whole: streams through the archive, unpacks nothing, and believes nothing that it says."""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.clients.bundles import MANIFEST, safe_name
from bot.errors import BotError

# A manifest of a hundred thousand files is smaller; one that is not is none of ours.
_MANIFEST_BYTES = 64_000_000
_MOST_FILES = 200_000
_PIECE = 1024 * 1024
# What tar tells of a file beside its content; a hostile one tells megabytes.
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, MemoryError)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found: ``faults``, a sentence each, is empty where the bundle is whole."""

    incident: str | None
    files: int
    size: int
    last_hash: str
    faults: tuple[str, ...]


def check(path: Path) -> Checked:
    """Raises BotError where the file cannot be read at all."""
    seen: dict[str, tuple[int, str]] = {}
    faults: list[str] = []
    manifest: Mapping[str, Any] | None = None
    try:
        with gzip.open(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for name, size, digest, content in _members(archive, faults):
                if name == MANIFEST:
                    manifest = _read(content, faults)
                elif name in seen:
                    faults.append(f"{name} is there twice")
                else:
                    seen[name] = (size, digest)
            # what was cut off at its very end lacks the sum that is looked at there
            while unpacked.read(_PIECE):
                pass
    except FileNotFoundError as error:
        raise BotError(f"there is no file {path}") from error
    except _UNREADABLE as error:
        if not seen and manifest is None:
            raise BotError(f"{path} cannot be read as a bundle: {error}") from error
        faults.append(f"the archive is broken after {len(seen)} files: {error}")
    if manifest is None:
        return Checked(incident=None, files=len(seen), size=0, last_hash="", faults=(*faults, "it has no manifest"))
    faults += _compared(seen, manifest)
    timeline = manifest.get("timeline")
    return Checked(
        incident=manifest.get("incident"),
        files=len(seen),
        size=sum(size for size, _ in seen.values()),
        last_hash=str(timeline.get("last_hash", "")) if isinstance(timeline, dict) else "",
        faults=tuple(faults),
    )


def _members(archive: tarfile.TarFile, faults: list[str]) -> Iterator[tuple[str, int, str, bytes]]:
    """(name within the bundle, size, SHA-256, the content where it is the manifest) of each regular file."""
    top = ""
    for count, member in enumerate(archive, 1):
        if count > _MOST_FILES:
            faults.append(f"there are more than {_MOST_FILES} files in it")
            return
        folder, _, name = member.name.partition("/")
        top = top or folder
        if not member.isreg() or folder != top or not name or safe_name(name) != name:
            faults.append(f"{member.name!r} is not a file of a bundle")
            continue
        held = archive.extractfile(member)
        digest, size, kept = hashlib.sha256(), 0, list[bytes]()
        while held is not None and (piece := held.read(_PIECE)):
            digest.update(piece)
            size += len(piece)
            if name == MANIFEST and size <= _MANIFEST_BYTES:
                kept.append(piece)
        yield name, size, digest.hexdigest(), b"".join(kept)


def _read(content: bytes, faults: list[str]) -> Mapping[str, Any] | None:
    try:
        held = json.loads(content)
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or not isinstance(held.get("files"), list):
        faults.append("the manifest is not one of ours")
        return None
    return held


def _compared(seen: Mapping[str, tuple[int, str]], manifest: Mapping[str, Any]) -> list[str]:
    faults, told = [], set[str]()
    for one in manifest["files"]:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or name in told:
            faults.append(f"the manifest is wrong about {name!r}")
            continue
        told.add(name)
        if name not in seen:
            faults.append(f"{name} is missing")
        elif seen[name] != (one.get("bytes"), one.get("sha256")):
            faults.append(f"{name} was changed")
    return faults + [f"{name} is not in the manifest" for name in seen if name not in told]
