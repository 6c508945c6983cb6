"""Reads what Mistral's API answers: models, errors in all their shapes, rate limits. Never raises for what is in it.

Shapes as seen and reported in mid-2026: codes are strings or numbers, an error is ``{message, type, code}`` (also
within ``error``), ``{detail: text}`` or ``{detail: [{type, loc, msg}]}``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.domain.redaction import mask, redact
from bot.domain.signals import Answer, Failure, Model
from bot.ports import Exchange

_RATE_LIMITS = ("x-ratelimit-", "x-ratelimitbysize-", "ratelimitbysize-")
_ALSO_KEPT = ("retry-after", "x-model-deprecation-timestamp", "mistral-correlation-id")
_MESSAGE_CHARS = 300
_LONGEST_CHARS = 20_000
_HEADER_CHARS = 200
_NAME_CHARS = 200
_DETAILS = 3
_LOOKED_AT = 50
_DEEPEST = 4


def parse_json(body: bytes) -> Any:
    """The document, or None for anything that is not JSON in UTF-8: NaN, endless nesting and endless numbers too."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse)
        if b"\\ud" in body.lower():
            # half of a surrogate pair may be escaped in JSON, but no answer of ours could then be written as UTF-8
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def answer(exchange: Exchange, *, expected: bool, key: str) -> dict[str, Any]:
    """The fields of an :class:`~bot.domain.signals.Answer`; a 2xx without what was ``expected`` is garbage.

    ``key`` is blotted out of all that is kept, should the API quote it.
    """
    failure = exchange.failure
    succeeded = exchange.status is not None and 200 <= exchange.status <= 299
    if failure is None and succeeded and not (expected and exchange.status == 200):
        failure = Failure.GARBAGE
    told: dict[str, str | None] = {}
    if failure is None and not succeeded:
        told = error_of(parse_json(exchange.body), key)
    return {
        "status": exchange.status,
        "failure": failure,
        "headers": kept_headers(exchange.headers, key),
        "first_byte_ms": exchange.first_byte_ms,
        "latency_ms": exchange.latency_ms,
        **told,
    }


def kept_headers(headers: Mapping[str, str], key: str = "") -> dict[str, str]:
    """The rate limits and what else a diagnosis uses."""
    return {
        name: redact(mask(value, [key]))[:_HEADER_CHARS]
        for name, value in headers.items()
        if name.startswith(_RATE_LIMITS) or name in _ALSO_KEPT
    }


def error_of(document: Any, key: str = "") -> dict[str, str | None]:
    """``code``, ``type`` and ``message`` of an error's body, as text without ``key``, None where it has none."""
    held = tuple(_objects(document))

    def first(name: str) -> str | None:
        return next((text for one in held if (text := _text(one.get(name), key))), None)

    told = (_message(one.get(name), key) for one in held for name in ("message", "detail", "error", "msg"))
    return {"code": first("code"), "type": first("type"), "message": next(filter(None, told), None)}


def _objects(document: Any, deepest: int = _DEEPEST) -> Iterator[dict[str, Any]]:
    """The objects that may tell of an error, innermost first: proxies and older versions wrap them in each other."""
    if isinstance(document, dict) and deepest:
        for name in ("error", "detail", "message"):
            yield from _objects(document.get(name), deepest - 1)
        yield document


def _message(told: Any, key: str) -> str | None:
    if isinstance(told, list):
        entries = [said for entry in told[:_LOOKED_AT] if (said := _one_detail(entry, key))]
        return "; ".join(entries[:_DETAILS])[:_MESSAGE_CHARS] or None
    return _text(told, key)


def _one_detail(entry: Any, key: str) -> str:
    if not isinstance(entry, dict):
        return _text(entry, key) or ""
    where = entry.get("loc")
    place = ".".join(str(part) for part in where if isinstance(part, str | int)) if isinstance(where, list) else ""
    said = _text(entry.get("msg"), key) or ""
    return (_text(f"{place}: {said}", key) or "") if place and said else said


def _text(value: Any, key: str = "") -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # masked before it is cut: half a secret is not recognised as one
    said = mask(str(value), [key])[:_LONGEST_CHARS]
    return redact(" ".join(said.split()))[:_MESSAGE_CHARS] or None


def models_of(document: Any, key: str = "") -> tuple[Model, ...] | None:
    """The rows of ``GET /v1/models`` without ``key`` in what is shown of them; None where it is not Mistral's list."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    models = tuple(_model(row, key) for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str))
    return models if models or not rows else None


def _model(row: Mapping[str, Any], key: str) -> Model:
    aliases = row.get("aliases")
    return Model(
        id=mask(row["id"], [key])[:_NAME_CHARS],
        aliases=tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else (),
        deprecation=_date(row.get("deprecation")),
        replacement=_text(row.get("deprecation_replacement_model"), key),
    )


def _date(value: Any) -> datetime | None:
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if date is None:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def embeds(model: str) -> bool:
    """Whether the model makes embeddings and nothing else, by its name: such as mistral-embed, codestral-embed."""
    return "embed" in model.lower()


def smallest_request(model: str) -> tuple[str, dict[str, Any]]:
    """The path and the body of the cheapest request that shows whether ``model`` works."""
    if embeds(model):
        return "/v1/embeddings", {"model": model, "input": ["ping"]}
    return "/v1/chat/completions", {
        "model": model,
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "ping"}],
    }


def completes(model: str, document: Any) -> bool:
    """Whether ``document`` is what Mistral answers to :func:`smallest_request`."""
    rows = document.get("data" if embeds(model) else "choices") if isinstance(document, dict) else None
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict)


def described(outcome: Answer, asked_of: str) -> str:
    """How a request ended, in a person's words: ``429 rate_limited (code 1300) after 305 ms``."""
    after = f"after {outcome.latency_ms} ms"
    match outcome.failure:
        case None:
            parts = [str(outcome.status), outcome.type, f"(code {outcome.code})" if outcome.code else None, after]
            return " ".join(part for part in parts if part)
        case Failure.DNS:
            return f"dns: the name {asked_of} did not resolve {after}"
        case Failure.CONNECT:
            return f"connect: {asked_of} could not be reached, or cut the connection, {after}"
        case Failure.TLS:
            return f"tls: no trusted connection to {asked_of} {after}"
        case Failure.TIMEOUT:
            return f"timeout: connected to {asked_of}, but no complete answer {after}"
        case _:
            status = f"{outcome.status} " if outcome.status else ""
            return f"garbage: {status}with something other than the expected answer {after}"
