"""Mistral's API as the sandbox plays it: models, chat completions (streamed too) and embeddings, shapes as in 2026."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.sandbox.answers import answer, read_json
from bot.sandbox.scenario import AnswerSpec, MistralSpec
from bot.sandbox.world import World

_USUAL_MODELS = ("mistral-small-latest", "mistral-large-latest", "codestral-latest", "mistral-embed")
_OK_HEADERS = {
    "mistral-correlation-id": "0197c0de-0000-7000-8000-000000000000",
    "x-ratelimit-limit-req-minute": "360",
    "x-ratelimit-remaining-req-minute": "359",
}


def application(world: World) -> web.Application:
    """The server; a scenario without Mistral answers as if all were well."""
    app = web.Application()
    api = _Api(world)
    app.router.add_get("/v1/models", api.models)
    app.router.add_post("/v1/chat/completions", api.chat)
    app.router.add_post("/v1/embeddings", api.embeddings)
    return app


class _Api:
    def __init__(self, world: World) -> None:
        self._world = world

    def _spec(self, request: web.Request) -> MistralSpec:
        return self._world.mistral(_key(request))

    def _checked(self, request: web.Request, spec: AnswerSpec) -> AnswerSpec:
        """``spec``, or a refusal where all would be well but for the key."""
        self._world.seen("mistral", request.method, request.path)
        well = spec.status == 200 and spec.fail is None
        return spec if _key(request) in self._world.keys or not well else AnswerSpec(status=401, delay_s=spec.delay_s)

    async def models(self, request: web.Request) -> web.StreamResponse:
        spec = self._spec(request)
        return await answer(request, self._checked(request, spec.models), lambda: _models(spec))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        spec, model = self._about(request, body, "messages")
        if body is not None and body.get("stream") is True and spec == AnswerSpec(headers=spec.headers):
            return await _stream(request, model)
        return await answer(request, spec, lambda: _completion(model, "chat.completion"))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        spec, model = self._about(request, body, "input")
        return await answer(request, spec, lambda: _embedding(model, (body or {}).get("input")))

    def _about(self, request: web.Request, body: Mapping[str, Any] | None, needed: str) -> tuple[AnswerSpec, str]:
        """(what to answer, the model) for a request that has to name a model and hold ``needed``."""
        model, held = (body or {}).get("model"), self._spec(request)
        known = held.canary.get(model) if isinstance(model, str) else None
        spec = self._checked(request, known or AnswerSpec())
        if spec.status == 200 and spec.fail is None:
            if body is None or not isinstance(model, str) or needed not in body:
                missing = "model" if not isinstance(model, str) else needed
                spec = AnswerSpec(status=422, body={"detail": [_missing(missing)]})
            elif known is None and model not in _listed(held):
                spec = AnswerSpec(status=400, body=_invalid_model(model))
            else:
                headers = {**_OK_HEADERS, **_deprecated(held.deprecation.get(model)), **spec.headers}
                spec = AnswerSpec(body=spec.body, headers=headers, delay_s=spec.delay_s)
        return spec, str(model)


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _listed(spec: MistralSpec) -> tuple[str, ...]:
    return spec.listed if spec.listed is not None else tuple(dict.fromkeys((*spec.canary, *_USUAL_MODELS)))


def _models(spec: MistralSpec) -> dict[str, Any]:
    return {"object": "list", "data": [_model(name, spec.deprecation.get(name)) for name in _listed(spec)]}


def _model(name: str, days_left: int | None) -> dict[str, Any]:
    embeds = "embed" in name
    end = _end(days_left)
    return {
        "id": name,
        "object": "model",
        "created": 1751328000,
        "owned_by": "mistralai",
        "capabilities": {"completion_chat": not embeds, "completion_fim": False, "function_calling": not embeds},
        "name": name.removesuffix("-latest"),
        "description": None,
        "max_context_length": 8192 if embeds else 131072,
        "aliases": [],
        "deprecation": end,
        "deprecation_replacement_model": None if end is None else "mistral-medium-latest",
        "type": "base",
    }


def _end(days_left: int | None) -> str | None:
    return None if days_left is None else (datetime.now(UTC) + timedelta(days=days_left)).isoformat(timespec="seconds")


def _deprecated(days_left: int | None) -> dict[str, str]:
    end = _end(days_left)
    return {} if end is None else {"x-model-deprecation-timestamp": end}


def _completion(model: str, kind: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "pong"}
    return {
        "id": "cmpl-0197c0de",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "finish_reason": "length", "delta" if kind.endswith("chunk") else "message": message}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5},
    }


def _embedding(model: str, given: Any) -> dict[str, Any]:
    texts = given if isinstance(given, list) else [given]
    return {
        "id": "embd-0197c0de",
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": [0.0, 0.5, -0.5]} for i, _ in enumerate(texts)],
        "model": model,
        "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
    }


def _missing(field: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ["body", field], "msg": "Field required", "input": None}


def _invalid_model(model: str) -> dict[str, Any]:
    return {
        "object": "error",
        "message": f"Invalid model: {model}",
        "type": "invalid_model",
        "param": None,
        "code": "1500",
        "raw_status_code": 400,
    }


async def _stream(request: web.Request, model: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={**_OK_HEADERS, "Content-Type": "text/event-stream"})
    await response.prepare(request)
    chunk = json.dumps(_completion(model, "chat.completion.chunk"))
    await response.write(f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
    await response.write_eof()
    return response
