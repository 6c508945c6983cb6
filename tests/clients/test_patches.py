"""A change of the cluster through its client: how it is sent, what becomes of it, and what is told of a refusal."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from bot.errors import BadAnswer, BotError, Changed, Forbidden, NotFound, Unreachable
from bot.settings import Limits
from tests.clients.test_kubernetes import answering
from tests.clusters import cluster_at, serve
from tests.fakes import unhurried

PLANTED = "planted-9b41c07e"


def status(message: str, *causes: tuple[str, str]) -> dict[str, object]:
    told = [{"reason": "FieldValueInvalid", "field": field, "message": said} for field, said in causes]
    return {"kind": "Status", "message": message, "reason": "Invalid", "details": {"causes": told}}


@pytest.mark.parametrize(
    ("code", "body", "error", "sentence"),
    [
        (403, status("deployments.apps is forbidden: User x"), Forbidden, "forbidden: patch deployments/a in default"),
        (403, "<html>", Forbidden, "forbidden: patch deployments/a in default"),
        (
            403,
            status('admission webhook "policy.example" denied the request: no edits on Fridays'),
            BadAnswer,
            'the cluster answered 403 to patch deployments/a in default: admission webhook "policy.example" denied the '
            "request: no edits on Fridays",
        ),
        (404, status('deployments.apps "a" not found'), NotFound, 'deployments.apps "a" not found'),
        (404, "<html>", NotFound, "not found: patch deployments/a in default"),
        (
            409,
            status("the object has been modified"),
            Changed,
            "deployments/a in default has changed since it was read",
        ),
        (
            422,
            status(
                f'Deployment.apps "a" is invalid: spec.x: Invalid value: "{PLANTED}"',
                ("spec.x", f"Invalid value: \"{PLANTED}\": must be no more than 63 characters (e.g. 'a', or 'b')"),
                ("spec.y", f'Invalid value: v1.EnvVar{{Name:"a: b", Value:"{PLANTED}"}}: field is immutable'),
                ("spec.z", "Required value"),
            ),
            BadAnswer,
            "the cluster answered 422 to patch deployments/a in default: spec.x: Invalid value: must be no more than "
            "63 characters (e.g. 'a', or 'b'); spec.y: Invalid value: field is immutable; spec.z: Required value",
        ),
        (
            422,
            status("", ("spec.p", "Invalid value: 70000: must be between 1 and 65535"), ("spec.q", 'Not found: "v"')),
            BadAnswer,
            "the cluster answered 422 to patch deployments/a in default: spec.p: Invalid value: must be between 1 and "
            "65535; spec.q: Not found",
        ),
        (
            400,
            status(
                'Deployment in version "v1" cannot be handled as a Deployment: ReadString: expects ", but found 1, '
                f'error found in #10 byte of ...|"value":1}}|..., bigger context ...|"value":"{PLANTED}"}}|...'
            ),
            BadAnswer,
            'the cluster answered 400 to patch deployments/a in default: Deployment in version "v1" cannot be handled '
            'as a Deployment: ReadString: expects ", but found 1',
        ),
        (
            422,
            status(
                "",
                (
                    "patch",
                    f'Invalid value: "{{\\"value\\": \\"{PLANTED}\\"}}": v1.EnvVar.Value: ReadString: expects " or n, '
                    f'error found in #10 byte of ...|"value":5}}|..., bigger context ...|"value":"{PLANTED}"}}|...',
                ),
            ),
            BadAnswer,
            "the cluster answered 422 to patch deployments/a in default: patch: Invalid value: v1.EnvVar.Value: "
            'ReadString: expects " or n',
        ),
        (500, "<html>", Unreachable, "the cluster answered 500 to patch deployments/a in default"),
        (
            504,
            status("the server was unable to return a response in the time allotted"),
            Unreachable,
            "the cluster answered 504 to patch deployments/a in default: the server was unable to return a response in "
            "the time allotted",
        ),
        (429, status("too many"), Unreachable, "the cluster answered 429 to patch deployments/a in default: too many"),
    ],
    ids=[
        *("forbidden", "page", "policy", "gone", "no status", "changed", "invalid", "values", "undecoded", "unread"),
        *("broken", "late", "throttled"),
    ],
)
async def test_a_patch_that_is_refused_says_why_without_the_values(
    code: int, body: object, error: type[BotError], sentence: str, tmp_path: Path
) -> None:
    app = answering(json.dumps(body).encode(), code)
    async with serve(app) as url, cluster_at(url, tmp_path / "config") as cluster:
        with pytest.raises(error) as raised:
            await cluster.patch("Deployment", "a", {"spec": {}})
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("code", "body", "why"),
    [
        (
            400,
            status(f'Secret cannot be handled: illegal base64 data, error found in #1 byte of "{PLANTED}"'),
            "Invalid",
        ),
        (400, status(f'admission webhook "x" denied the request: {PLANTED} is too weak'), "Invalid"),
        (
            422,
            status("", ("data", "Forbidden: field is immutable when `immutable` is set")),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            422,
            status(PLANTED, ("data[api-key]", f"Invalid value: {PLANTED}: may not be {PLANTED}")),
            "data[api-key]: FieldValueInvalid",
        ),
    ],
    ids=["undecoded", "policy", "immutable", "invalid"],
)
async def test_what_the_server_says_of_a_secrets_value_is_not_told(
    code: int, body: object, why: str, tmp_path: Path
) -> None:
    app = answering(json.dumps(body).encode(), code)
    async with serve(app) as url, cluster_at(url, tmp_path / "config") as cluster:
        with pytest.raises(BadAnswer) as raised:
            await cluster.patch("Secret", "a", {"data": {"api-key": PLANTED}})
    assert str(raised.value) == f"the cluster answered {code} to patch secrets/a in default: {why}"
    assert PLANTED not in repr((raised.value, raised.value.__cause__, raised.value.__context__))


async def test_a_patch_is_a_merge_patch_by_the_bots_name_and_a_dry_run_is_for_all(tmp_path: Path) -> None:
    asked: list[tuple[str, str, dict[str, str], object]] = []

    async def note(request: web.Request) -> web.Response:
        asked.append((request.method, request.content_type, dict(request.query), await request.json()))
        return web.json_response({"kind": "Deployment"})

    app = web.Application()
    app.router.add_route("*", "/apis/apps/v1/namespaces/default/deployments/a", note)
    async with serve(app) as url, cluster_at(url, tmp_path / "config") as cluster:
        await cluster.patch("Deployment", "a", {"spec": {"paused": None}}, dry_run=True)
        await cluster.patch("Deployment", "a", {"spec": {"paused": None}})
    sent = ("PATCH", "application/merge-patch+json")
    body = {"spec": {"paused": None}}
    assert asked == [
        (*sent, {"fieldManager": "mistral-bot", "dryRun": "All"}, body),
        (*sent, {"fieldManager": "mistral-bot"}, body),
    ]


async def test_a_patch_whose_answer_is_lost_is_sent_once(tmp_path: Path) -> None:
    asked: list[str] = []

    async def drop(request: web.Request) -> web.Response:
        asked.append(request.method)
        await request.read()
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", drop)
    async with serve(app) as url, cluster_at(url, tmp_path / "config") as cluster:
        with pytest.raises(Unreachable, match=r"the connection broke$"):
            await cluster.patch("Deployment", "a", {"spec": {}})
    assert asked == ["PATCH"]


async def test_an_answer_that_drips_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None:
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    app = web.Application()
    app.router.add_get("/{anything:.*}", drip)
    async with serve(app) as url, cluster_at(url, tmp_path / "config", timeout_s=1) as cluster:
        with pytest.raises(Unreachable, match=r"no answer in time$"):
            await cluster.get("Pod", "any")


@pytest.mark.parametrize("body", [b"<html>a proxy's page</html>", b"[]", b'"' + b"x" * 200_000 + b'"'])
async def test_a_patch_whose_answer_cannot_be_read_may_have_been_made(body: bytes, tmp_path: Path) -> None:
    limits = Limits(response_bytes=100_000)
    async with serve(answering(body)) as url, cluster_at(url, tmp_path / "config", limits=limits) as cluster:
        with pytest.raises(Unreachable):
            await cluster.patch("Deployment", "a", {"spec": {}})
        with pytest.raises(BadAnswer):
            await cluster.get("Deployment", "a")
