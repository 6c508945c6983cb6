"""The sandbox's Mistral answers as the real API was seen to: models, completions, streams, embeddings and refusals."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from bot.clients import mistral as reader
from bot.sandbox import answers
from bot.sandbox.mistral import application
from bot.sandbox.scenario import AnswerSpec, Expect, MistralSpec, Scenario
from bot.sandbox.world import World
from tests.clusters import serve

HI = [{"role": "user", "content": "hi"}]
CHAT: dict[str, Any] = {"model": "mistral-small-latest", "max_tokens": 1, "messages": HI}


@asynccontextmanager
async def api(spec: MistralSpec | None = None, *, key: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the sandbox's Mistral that holds its key, or another."""
    world = World(scenario=Scenario(name="one", mistral=spec, expect=Expect(cause="", severity="")))
    headers = {"Authorization": f"Bearer {world.service_key if key is None else key}"}
    async with serve(application(world)) as url, aiohttp.ClientSession(url, headers=headers) as session:
        yield session


async def answer(session: aiohttp.ClientSession, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
    method = "GET" if body is None and not more else "POST"
    async with session.request(method, path, json=body, **more) as response:
        return response.status, await response.json()


async def test_models_are_listed_in_the_apis_shape() -> None:
    async with api(MistralSpec(canary={"a-model": AnswerSpec()}, deprecation={"mistral-embed": 12})) as session:
        status, listed = await answer(session, "/v1/models")
    assert (status, listed["object"]) == (200, "list")
    rows = {row["id"]: row for row in listed["data"]}
    assert {"a-model", "mistral-small-latest", "mistral-embed"} <= rows.keys()
    assert {"id", "name", "aliases", "capabilities", "max_context_length", "deprecation", "type"} <= rows[
        "a-model"
    ].keys()
    assert (rows["a-model"]["deprecation"], rows["a-model"]["capabilities"]["completion_chat"]) == (None, True)
    assert rows["mistral-embed"]["capabilities"]["completion_chat"] is False
    left = datetime.fromisoformat(rows["mistral-embed"]["deprecation"]) - datetime.now(UTC)
    assert timedelta(days=11, hours=23) < left <= timedelta(days=12)
    assert rows["mistral-embed"]["deprecation_replacement_model"]
    models = reader.models_of(listed)
    assert models is not None
    assert {model.id for model in models} == rows.keys()


async def test_the_scenario_says_which_models_are_listed() -> None:
    async with api(MistralSpec(listed=("only",))) as session:
        assert [row["id"] for row in (await answer(session, "/v1/models"))[1]["data"]] == ["only"]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/models", None), ("/v1/chat/completions", CHAT), ("/v1/embeddings", {"model": "x"})]
)
@pytest.mark.parametrize("key", ["", "another"])
async def test_another_key_is_refused_everywhere(path: str, body: Any, key: str) -> None:
    async with api(key=key) as session:
        assert await answer(session, path, body) == (401, {"detail": "Invalid API Key"})


async def test_a_completion_has_the_apis_shape_and_headers() -> None:
    async with api() as session, session.post("/v1/chat/completions", json=CHAT) as response:
        document = await response.json()
        assert (response.status, document["object"], document["model"]) == (200, "chat.completion", CHAT["model"])
        assert document["choices"][0]["message"]["role"] == "assistant"
        assert document["usage"]["completion_tokens"] == 1
        assert response.headers["mistral-correlation-id"]
        assert int(response.headers["x-ratelimit-limit-req-minute"]) > 0
    assert reader.completes(str(CHAT["model"]), document)


async def test_an_answer_of_a_model_that_will_go_says_when() -> None:
    async with api(MistralSpec(deprecation={"mistral-small-latest": 3})) as session:
        async with session.post("/v1/chat/completions", json=CHAT) as response:
            end = datetime.fromisoformat(response.headers["x-model-deprecation-timestamp"])
        other = {**CHAT, "model": "mistral-large-latest"}
        async with session.post("/v1/chat/completions", json=other) as response:
            assert "x-model-deprecation-timestamp" not in response.headers
    assert timedelta(days=2, hours=23) < end - datetime.now(UTC) <= timedelta(days=3)


async def test_a_stream_is_events_that_end_in_done() -> None:
    async with api() as session, session.post("/v1/chat/completions", json={**CHAT, "stream": True}) as response:
        text = await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["mistral-correlation-id"]
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunk = json.loads(events[0])
    assert (chunk["object"], chunk["choices"][0]["delta"]["content"]) == ("chat.completion.chunk", "pong")


async def test_a_stream_of_a_model_that_fails_is_the_failure() -> None:
    failing = MistralSpec(canary={"mistral-small-latest": AnswerSpec(status=503)})
    async with api(failing) as session:
        assert (await answer(session, "/v1/chat/completions", {**CHAT, "stream": True}))[0] == 503


async def test_embeddings_have_one_row_a_text() -> None:
    async with api() as session:
        body = {"model": "mistral-embed", "input": ["a", "b"]}
        status, document = await answer(session, "/v1/embeddings", body)
    assert (status, [row["index"] for row in document["data"]]) == (200, [0, 1])
    assert reader.completes("mistral-embed", document)


async def test_a_model_that_is_not_there_is_refused_with_code_1500() -> None:
    async with api() as session:
        status, document = await answer(session, "/v1/chat/completions", {**CHAT, "model": "gpt-9"})
    assert status == 400
    assert reader.error_of(document) == {
        "code": "1500",
        "type": "invalid_model",
        "message": "Invalid model: gpt-9",
    }
    assert (document["object"], document["param"], document["raw_status_code"]) == ("error", None, 400)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"messages": HI}, "model"),
        ({"model": 5, "messages": HI}, "model"),
        ({"model": "mistral-small-latest"}, "messages"),
        ([], "model"),
    ],
    ids=["no model", "a number", "no messages", "a list"],
)
async def test_a_request_without_what_is_needed_is_422_and_says_where(body: Any, place: str) -> None:
    async with api() as session:
        status, document = await answer(session, "/v1/chat/completions", body)
    assert status == 422
    (detail,) = document["detail"]
    assert (detail["type"], detail["loc"], detail["msg"]) == ("missing", ["body", place], "Field required")


async def test_a_body_that_is_not_json_is_422() -> None:
    async with api() as session:
        assert (await answer(session, "/v1/chat/completions", data=b"\xff{"))[0] == 422


async def test_each_model_fails_as_its_scenario_says_and_the_others_do_not() -> None:
    limited = AnswerSpec(status=429, body={"code": 1300}, headers={"Retry-After": "20"})
    spec = MistralSpec(models=AnswerSpec(status=500), canary={"mistral-small-latest": limited})
    async with api(spec) as session:
        async with session.post("/v1/chat/completions", json=CHAT) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "20")
            assert await response.json() == {"code": 1300}
        other = {**CHAT, "model": "mistral-large-latest"}
        assert (await answer(session, "/v1/chat/completions", other))[0] == 200
        status, document = await answer(session, "/v1/models")
    assert (status, document["message"], document["raw_status_code"]) == (500, "Internal Server Error", 500)


async def test_a_failing_upstream_cuts_hangs_or_answers_a_page() -> None:
    async with api(MistralSpec(models=AnswerSpec(fail="connect"))) as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get("/v1/models")
    async with api(MistralSpec(models=AnswerSpec(fail="timeout"))) as session:
        with pytest.raises(TimeoutError):
            await session.get("/v1/models", timeout=aiohttp.ClientTimeout(total=0.1))
    async with (
        api(MistralSpec(models=AnswerSpec(fail="garbage"))) as session,
        session.get("/v1/models") as response,
    ):
        assert (response.status, response.content_type) == (200, "text/html")


async def test_an_answer_is_late_by_what_the_scenario_says(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(answers, "asyncio", SimpleNamespace(sleep=sleep))
    async with api(MistralSpec(models=AnswerSpec(delay_s=0.15))) as session:
        assert (await answer(session, "/v1/models"))[0] == 200
    assert slept == [0.15]


async def test_what_the_api_does_not_have_is_404() -> None:
    async with api() as session, session.get("/v1/files") as response:
        assert response.status == 404
