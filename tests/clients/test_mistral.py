"""What Mistral answers, read: every shape of an error, of a list of models and of rate limits, and what is neither."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.clients import mistral
from bot.domain.signals import Answer, Failure, Model
from bot.ports import Exchange

KEY = "k9/planted-0123456789abcdef"
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Just a moment...</title>",
        b'{"data": "\xff\xfe"}',
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": -Infinity}',
        DEEP,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"x": ' + b"9" * 10_000 + b"}",
        b'{"x": 1',
        b'{"x": 1} trailing',
    ],
    ids=["empty", "HTML", "not UTF-8", "NaN", "inf", "-inf", "deep", "deep objects", "long number", "cut", "trailing"],
)
def test_what_is_not_json_is_none(body: bytes) -> None:
    assert mistral.parse_json(body) is None


def test_half_a_surrogate_pair_becomes_text_that_utf_8_can_write() -> None:
    held = mistral.parse_json(b'{"detail": "a\\uD83D b"}')
    assert held["detail"].startswith("a")
    assert held["detail"].encode("utf-8") == b"a? b"
    assert mistral.parse_json(b'{"detail": "\\ud83d\\ude00"}') == {"detail": "😀"}


INVALID_MODEL = {
    "object": "error",
    "message": "Invalid model: x",
    "type": "invalid_model",
    "param": None,
    "code": "1500",
    "raw_status_code": 400,
}
MISSING = {"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required", "input": {}}
MISSED = "body.messages.0.role: Field required"


@pytest.mark.parametrize(
    ("document", "code", "kind", "message"),
    [
        ({"detail": "Invalid API Key"}, None, None, "Invalid API Key"),
        ({"message": "Unauthorized", "request_id": "1"}, None, None, "Unauthorized"),
        (INVALID_MODEL, "1500", "invalid_model", "Invalid model: x"),
        ({**INVALID_MODEL, "code": 1500}, "1500", "invalid_model", "Invalid model: x"),
        ({**INVALID_MODEL, "code": 1500.0}, "1500", "invalid_model", "Invalid model: x"),
        ({"message": "No", "code": 987654, "type": "brand_new"}, "987654", "brand_new", "No"),
        ({"message": "No", "code": "made_up"}, "made_up", None, "No"),
        ({"message": "No", "code": None, "type": ["x"]}, None, None, "No"),
        ({"message": "No", "code": True}, None, None, "No"),
        ({"detail": [MISSING]}, None, None, MISSED),
        ({"detail": [MISSING, {"msg": "b"}, "c", {"msg": "d"}]}, None, None, f"{MISSED}; b; c"),
        ({"message": {"detail": [MISSING]}, "type": "invalid_request_error"}, None, "invalid_request_error", MISSED),
        (
            {"detail": {"message": "No", "code": 1910, "type": "tier_not_allowed"}},
            "1910",
            "tier_not_allowed",
            "No",
        ),
        ({"error": {"message": "No", "code": 1300, "type": "rate_limited"}}, "1300", "rate_limited", "No"),
        ({"error": {"message": "No"}, "code": 1300}, "1300", None, "No"),
        ({"type": "error", "error": {"type": "overloaded", "message": "No"}}, None, "overloaded", "No"),
        ({"error": "no healthy upstream"}, None, None, "no healthy upstream"),
        ({"error": "Unauthorized", "message": "Key refused"}, None, None, "Key refused"),
        ({"message": "  two\n\tlines  "}, None, None, "two lines"),
        ({"message": "", "detail": "said here"}, None, None, "said here"),
        ({"detail": {"detail": {"detail": {"detail": {"message": "deep"}}}}}, None, None, None),
        ({"detail": [[], {}, None, {"loc": "body", "msg": 5}]}, None, None, "5"),
        ({}, None, None, None),
        ([INVALID_MODEL], None, None, None),
        ("text", None, None, None),
        (None, None, None, None),
        (7, None, None, None),
    ],
    ids=lambda held: json.dumps(held)[:60] if isinstance(held, dict) else "",
)
def test_an_errors_code_type_and_message_are_found(
    document: Any, code: str | None, kind: str | None, message: str | None
) -> None:
    assert mistral.error_of(document) == {"code": code, "type": kind, "message": message}


def test_a_long_message_is_cut() -> None:
    told = mistral.error_of({"message": "x" * 10_000, "type": "y" * 10_000, "code": "z" * 10_000})
    assert {len(text or "") for text in told.values()} == {300}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"detail": f"Invalid API Key {KEY}", "type": KEY, "code": KEY}),
        json.dumps({"detail": f"Invalid API Key {KEY}"}).replace("/", "\\/"),
        json.dumps({"detail": f"Invalid API Key {KEY}"}).replace("planted", "\\u0070lanted"),
        json.dumps({"detail": "x" * 285 + KEY}),
        json.dumps({"detail": " " * 19_985 + KEY}),
        json.dumps({"detail": [{"loc": ["header", KEY], "msg": f"{KEY} refused"}]}),
    ],
    ids=["everywhere", "escaped slash", "escaped letter", "at the cut", "beyond spaces", "in a place"],
)
def test_a_key_that_the_api_quotes_is_not_told(body: str) -> None:
    exchange = Exchange(status=401, headers={"mistral-correlation-id": f"for {KEY}"}, body=body.encode())
    told = mistral.answer(exchange, expected=False, key=KEY)
    assert "***" in told["message"]
    assert "planted" not in repr(told)
    assert KEY[:12] not in repr(told)


@pytest.mark.parametrize(
    ("exchange", "expected", "failure"),
    [
        (Exchange(status=200), True, None),
        (Exchange(status=200), False, Failure.GARBAGE),
        (Exchange(status=201), True, Failure.GARBAGE),
        (Exchange(status=204), False, Failure.GARBAGE),
        (Exchange(status=302, failure=Failure.GARBAGE), False, Failure.GARBAGE),
        (Exchange(status=401), False, None),
        (Exchange(status=503, body=DEEP), False, None),
        (Exchange(status=429, body=b"\xff<html>"), False, None),
        (Exchange(failure=Failure.DNS), False, Failure.DNS),
        (Exchange(failure=Failure.TIMEOUT), False, Failure.TIMEOUT),
    ],
    ids=lambda held: f"{held.status} {held.failure}" if isinstance(held, Exchange) else "",
)
def test_only_a_2xx_can_be_garbage_for_its_body(exchange: Exchange, expected: bool, failure: Failure | None) -> None:
    told = mistral.answer(exchange, expected=expected, key=KEY)
    assert (told["failure"], told["status"]) == (failure, exchange.status)


def test_the_rate_limits_of_either_age_are_kept_and_other_headers_are_not() -> None:
    kept = {
        "x-ratelimit-limit-req-minute": "0",
        "x-ratelimit-remaining-tokens-month": "many",
        "x-ratelimit-tokens-query-cost": "52",
        "ratelimitbysize-remaining": "3",
        "x-ratelimitbysize-remaining-month": "0",
        "retry-after": "20",
        "mistral-correlation-id": "0197c0de",
        "x-model-deprecation-timestamp": "2026-07-20T00:00:00Z",
    }
    assert mistral.kept_headers({**kept, "set-cookie": "sid=1", "x-kong-request-id": "1"}) == kept
    assert len(mistral.kept_headers({"retry-after": "9" * 5_000})["retry-after"]) == 200


@pytest.mark.parametrize(
    ("document", "models"),
    [
        ({"object": "list", "data": []}, ()),
        ({"data": [{"id": "a"}]}, (Model(id="a"),)),
        ({"data": [{"id": "a", "aliases": ["b", 1, None]}, "x", {"id": 5}]}, (Model(id="a", aliases=("b",)),)),
        ({"data": [{"id": "a", "aliases": "b", "deprecation": 5}]}, (Model(id="a"),)),
        ({"data": ["a", {"name": "b"}]}, None),
        ({"data": {"id": "a"}}, None),
        ({"models": []}, None),
        ([{"id": "a"}], None),
        ("text", None),
        (None, None),
    ],
    ids=lambda held: json.dumps(held)[:50] if not isinstance(held, tuple) else "",
)
def test_a_list_of_models_is_known_by_its_rows(document: Any, models: tuple[Model, ...] | None) -> None:
    assert mistral.models_of(document) == models


@pytest.mark.parametrize(
    ("told", "date"),
    [
        ("2026-07-20T10:00:00Z", datetime(2026, 7, 20, 10, tzinfo=UTC)),
        ("2026-07-20T12:00:00+02:00", datetime(2026, 7, 20, 10, tzinfo=UTC)),
        ("2026-07-20T10:00:00", datetime(2026, 7, 20, 10, tzinfo=UTC)),
        ("2026-07-20", datetime(2026, 7, 20, tzinfo=UTC)),
        ("soon", None),
        ("", None),
        (None, None),
        (1784541600, None),
    ],
)
def test_a_deprecation_date_is_read_in_any_iso_form(told: Any, date: datetime | None) -> None:
    row = {"id": "a", "deprecation": told, "deprecation_replacement_model": "b"}
    assert mistral.models_of({"data": [row]}) == (Model(id="a", deprecation=date, replacement="b"),)


@pytest.mark.parametrize(
    ("model", "path", "right", "wrong"),
    [
        ("mistral-small-latest", "/v1/chat/completions", {"choices": [{}]}, {"data": [{}]}),
        ("mistral-embed", "/v1/embeddings", {"data": [{}]}, {"choices": [{}]}),
        ("codestral-embed-2505", "/v1/embeddings", {"data": [{}]}, {"data": []}),
        ("ministral-3b-latest", "/v1/chat/completions", {"choices": [{}]}, {"choices": ["x"]}),
    ],
)
def test_a_model_is_asked_for_as_little_as_it_can_do(
    model: str, path: str, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    asked, body = mistral.smallest_request(model)
    assert (asked, body["model"]) == (path, model)
    assert ("max_tokens" in body) is ("chat" in path)
    assert mistral.completes(model, right)
    others: tuple[Any, ...] = (wrong, {}, [], None, "text")
    assert not any(mistral.completes(model, held) for held in others)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (
            Answer(status=429, type="rate_limited", code="1300", latency_ms=305),
            "429 rate_limited (code 1300) after 305 ms",
        ),
        (Answer(status=503, latency_ms=4), "503 after 4 ms"),
        (Answer(failure=Failure.DNS, latency_ms=4), "dns: the name api.test did not resolve after 4 ms"),
        (Answer(failure=Failure.GARBAGE, status=200, latency_ms=4), "garbage: 200 with something other than the"),
        (Answer(failure=Failure.GARBAGE, latency_ms=4), "garbage: with something other than the"),
    ],
)
def test_how_a_request_ended_is_told_in_words(outcome: Answer, told: str) -> None:
    assert mistral.described(outcome, "api.test").startswith(told)
