"""What the bot has uploaded, to look at: a file, or one file within a bundle, such as its index."""

import asyncio
import contextlib
import io
import mimetypes
import tarfile

from aiohttp import web

from bot.sandbox.slack import Workspace

# it is looked at, and runs nothing
_CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"
_AS_TEXT = frozenset({"application/json", "application/yaml", "application/x-yaml"})


async def file_answer(workspace: Workspace, request: web.Request) -> web.Response:
    """Answers ``/file/{file}``, and ``/file/{file}/{path}`` with what has that path within the bundle."""
    file, path = request.match_info["file"], request.match_info.get("path")
    held, name = workspace.files.get(file), workspace.file_names.get(file, "")
    if held is not None and path is not None:
        held, name = await asyncio.to_thread(_unpacked, held, path), path
    if held is None:
        return web.Response(status=404, text="There is no such file.")
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    shown = "text/plain" if kind in _AS_TEXT else kind
    charset = "utf-8" if shown.startswith("text/") else None
    headers = {"Content-Security-Policy": _CSP, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=held, content_type=shown, charset=charset, headers=headers)


def _unpacked(archive: bytes, path: str) -> bytes | None:
    """None where it is no bundle, or has no such file; nothing of it is written anywhere."""
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(archive)) as held:
        for member in held:
            if member.isfile() and member.name.partition("/")[2] == path:
                file = held.extractfile(member)
                return None if file is None else file.read()
    return None
