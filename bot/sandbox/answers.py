"""Answers an aiohttp request as an AnswerSpec says: late, with an error, with nonsense, or not at all."""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from bot.sandbox.scenario import AnswerSpec

HTML = "<!doctype html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"


async def answer(request: web.Request, spec: AnswerSpec, usual: Callable[[], Any]) -> web.StreamResponse:
    """``usual`` gives the JSON of a 200 for which the spec has no body."""
    if spec.delay_s:
        await asyncio.sleep(spec.delay_s)
    if spec.fail is not None:
        return await fail(request, spec.fail)
    body = spec.body
    if body is None:
        body = usual() if spec.status == 200 else bare_error(spec.status)
    headers = {name: str(value) for name, value in spec.headers.items()}
    if isinstance(body, str):
        return web.Response(status=spec.status, text=body, headers=headers)
    return web.json_response(body, status=spec.status, headers=headers)


async def fail(request: web.Request, how: str) -> web.StreamResponse:
    """``timeout``: no answer until the client leaves. ``garbage``: a page in place of JSON. Else cut without a byte.

    dns and tls cannot be made by the server that is asked; whoever starts the bot gives it an address that fails so.
    """
    if how == "garbage":
        return web.Response(text=HTML, content_type="text/html")
    if how == "timeout":
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    elif request.transport is not None:
        request.transport.abort()
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)


def bare_error(status: int) -> dict[str, Any]:
    """What Mistral says with nothing more particular to say."""
    if status == HTTPStatus.UNAUTHORIZED:
        return {"detail": "Invalid API Key"}
    phrase = HTTPStatus(status).phrase if status in {held.value for held in HTTPStatus} else "Error"
    return {"object": "error", "message": phrase, "type": None, "param": None, "code": None, "raw_status_code": status}


async def read_json(request: web.Request) -> dict[str, Any] | None:
    """The request's JSON object, or None for anything else."""
    try:
        held = json.loads(await request.read())
    except ValueError:
        return None
    return held if isinstance(held, dict) else None
