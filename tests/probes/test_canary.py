"""One tiny request a model: by which endpoint, what counts as an answer, how slow, and all of them at once."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from bot.domain.signals import Canary, CanaryAnswer, Failure, Finding, Verdict
from bot.errors import BadAnswer, NotConfigured
from bot.ports import Exchange
from bot.probes.canary import PROBE
from tests.clusters import serve
from tests.fakes import Asked, FakeHttp, probe_run, unhurried
from tests.upstreams import BAD_BODIES, answering, found_over_the_wire

KEY = "k9+planted/0123456789abcdef"
CHAT = b'{"object": "chat.completion", "choices": [{"index": 0}]}'
EMBEDDED = b'{"object": "list", "data": [{"embedding": [0.5]}]}'


def answers_of(finding: Finding) -> tuple[CanaryAnswer, ...]:
    assert isinstance(finding.signal, Canary)
    return finding.signal.answers


async def found(status: int | None = 200, body: bytes = CHAT, **more: Any) -> tuple[Finding, CanaryAnswer]:
    exchange = Exchange(status=status, body=body, latency_ms=310, **{"first_byte_ms": 305, **more})
    finding = await PROBE.check(probe_run(key=KEY, http=FakeHttp({"/v1/chat/completions": exchange})))
    (answer,) = answers_of(finding)
    return finding, answer


async def test_a_completion_of_one_token_is_asked_of_a_model_that_chats() -> None:
    http = FakeHttp({"/v1/chat/completions": Exchange(status=200, body=CHAT)})
    finding = await PROBE.check(probe_run(key=KEY, http=http))
    (asked,) = http.asked
    assert (asked.method, asked.url) == ("POST", "https://api.mistral.ai/v1/chat/completions")
    assert asked.headers == {"Authorization": f"Bearer {KEY}"}
    assert (asked.json["model"], asked.json["max_tokens"]) == ("mistral-small-latest", 1)
    assert finding.verdict is Verdict.OK


async def test_a_model_that_only_embeds_is_asked_for_an_embedding() -> None:
    http = FakeHttp({"/v1/embeddings": Exchange(status=200, body=EMBEDDED)})
    finding = await PROBE.check(probe_run(http=http, environ={"MISTRAL_CANARY_MODELS": "mistral-embed"}))
    (asked,) = http.asked
    assert asked.url.endswith("/v1/embeddings")
    assert "max_tokens" not in asked.json
    assert finding.verdict is Verdict.OK


async def test_each_model_has_its_own_answer_in_the_order_of_the_setting() -> None:
    def answer(asked: Asked) -> Exchange:
        broken = Exchange(status=503, body=b'{"code": 3800}', latency_ms=5)
        return broken if asked.json["model"] == "b" else Exchange(status=200, body=CHAT, latency_ms=5)

    http = FakeHttp({"/v1/chat/completions": answer})
    finding = await PROBE.check(probe_run(http=http, environ={"MISTRAL_CANARY_MODELS": "c, b, a"}))
    assert [(one.model, one.ok) for one in answers_of(finding)] == [("c", True), ("b", False), ("a", True)]
    assert finding.verdict is Verdict.BAD
    assert finding.summary == "c: 200 after 5 ms; b: 503 (code 3800) after 5 ms; a: 200 after 5 ms"


@pytest.mark.parametrize(
    ("environ", "key", "sentence"),
    [
        ({"MISTRAL_CANARY_MODELS": ""}, KEY, "MISTRAL_CANARY_MODELS is empty"),
        ({}, None, "no Mistral key in MISTRAL_API_KEY nor in the service's Secret"),
    ],
    ids=["no models", "no key"],
)
async def test_without_models_or_key_it_is_not_configured(
    environ: Mapping[str, str], key: str | None, sentence: str
) -> None:
    http = FakeHttp()
    with pytest.raises(NotConfigured, match=sentence):
        await PROBE.check(probe_run(environ=environ, key=key, http=http))
    assert http.asked == []


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, {"type": "invalid_model", "code": "1500"}, ("400", "invalid_model", "1500")),
        (400, {"type": "invalid_model", "code": 1500}, ("400", "invalid_model", "1500")),
        (401, {"detail": "Unauthorized"}, ("401", None, None)),
        (403, {"code": 1910}, ("403", None, "1910")),
        (404, {"error": {"code": "nope"}}, ("404", None, "nope")),
        (422, {"detail": [{"type": "missing", "loc": ["body"], "msg": "x"}]}, ("422", None, None)),
        (429, {"code": 3505}, ("429", None, "3505")),
        (429, {"code": "3810"}, ("429", None, "3810")),
        (500, {"code": None}, ("500", None, None)),
        (204, {}, ("garbage", None, None)),
    ],
)
async def test_a_failed_canary_has_its_status_type_and_code(
    status: int, body: Any, told: tuple[str, str | None, str | None]
) -> None:
    finding, answer = await found(status, json.dumps(body).encode())
    assert (answer.outcome, answer.type, answer.code) == told
    assert (answer.ok, finding.verdict) == (False, Verdict.BAD)


@pytest.mark.parametrize(
    ("first_byte_ms", "slow"), [(3000, False), (3001, True), (7900, True), (0, False), (None, False)]
)
async def test_a_first_byte_later_than_the_setting_is_slow(first_byte_ms: int | None, slow: bool) -> None:
    finding, answer = await found(first_byte_ms=first_byte_ms)
    assert (answer.ok, answer.slow, finding.verdict is Verdict.BAD) == (True, slow, slow)
    assert (f"slow, 200 with its first byte after {first_byte_ms} ms" in finding.summary) is slow


async def test_a_slow_error_is_told_as_an_error() -> None:
    finding, answer = await found(503, b"{}", first_byte_ms=5000)
    assert not answer.ok
    assert finding.summary == "mistral-small-latest: 503 after 310 ms"


async def test_a_first_byte_that_is_late_on_the_wire_is_slow_by_the_setting() -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return web.Response(body=CHAT)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", late)
    async with serve(app) as url:
        by_setting = {
            seconds: await found_over_the_wire(PROBE, environ={"MISTRAL_API_URL": url, "MISTRAL_SLOW_SECONDS": seconds})
            for seconds in ("0.1", "25")
        }
    assert {seconds: finding.verdict for seconds, finding in by_setting.items()} == {
        "0.1": Verdict.BAD,
        "25": Verdict.OK,
    }


async def test_a_canary_that_does_not_answer_in_its_time_is_a_timeout_and_the_others_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unhurried(monkeypatch)

    async def some(request: web.Request) -> web.StreamResponse:
        if (await request.json())["model"] == "stuck":
            await asyncio.Event().wait()
        return web.Response(body=CHAT)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", some)
    async with serve(app) as url:
        environ = {"MISTRAL_API_URL": url, "MISTRAL_CANARY_MODELS": "stuck,quick"}
        finding = await found_over_the_wire(PROBE, environ=environ, timeout_s=0.5)
    stuck, quick = answers_of(finding)
    assert (stuck.failure, quick.ok) == (Failure.TIMEOUT, True)
    assert (stuck.latency_ms or 0) >= 480
    sentence = f"timeout: connected to 127.0.0.1, but no complete answer after {stuck.latency_ms} ms"
    assert finding.summary.startswith(f"stuck: {sentence}; quick: ")


@pytest.mark.parametrize("models", ["mistral-small-latest", "mistral-embed"])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_200_with_another_body_than_expected_is_garbage(body: bytes, models: str) -> None:
    async with answering(200, body) as url:
        environ = {"MISTRAL_API_URL": url, "MISTRAL_CANARY_MODELS": models}
        (answer,) = answers_of(await found_over_the_wire(PROBE, environ=environ))
    assert (answer.failure, answer.status, answer.ok) == (Failure.GARBAGE, 200, False)


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_429_is_a_429_whatever_its_body(body: bytes) -> None:
    async with answering(429, body) as url:
        (answer,) = answers_of(await found_over_the_wire(PROBE, environ={"MISTRAL_API_URL": url}))
    assert (answer.outcome, answer.code, answer.message) == ("429", None, None)


async def test_a_key_that_http_cannot_carry_is_told_so_and_not_shown() -> None:
    with pytest.raises(BadAnswer, match="its Authorization holds characters") as told:
        await found_over_the_wire(PROBE, environ={"MISTRAL_CANARY_MODELS": "a,b"}, key="planted-é")
    assert "planted" not in str(told.value)


async def test_a_key_that_the_api_quotes_is_nowhere_in_the_finding() -> None:
    body = json.dumps({"message": f"no {KEY}", "type": KEY, "code": KEY}).encode()
    finding, answer = await found(401, body, headers={"retry-after": KEY})
    assert (answer.type, answer.message) == ("***", "no ***")
    assert "planted" not in finding.summary + json.dumps(finding.data) + repr(finding.signal)
