"""Secrets of every kind, planted in all that a mitigation reads or is given, are in nothing that the bot tells."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from bot.clients.kubernetes import KubernetesCluster
from bot.configuration import load
from bot.domain import mitigation
from bot.domain.policy import Mitigations
from bot.domain.redaction import MASK
from bot.domain.runs import Outcome, State
from bot.errors import SettingsError, UpstreamError
from bot.sandbox import kubernetes
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.databases import copy_of
from tests.flows.leaking import (
    NEW,
    OLD,
    POLICY,
    REASONS,
    REFUSED,
    SAID,
    TYPED,
    Leaky,
    leaky_room,
    rolled_out,
    secret_of,
    template,
)
from tests.flows.rooms import CHRIS, HERE, ROBIN
from tests.flows.test_incident_answers import ADA
from tests.planted import MARK, PLANTED, P


@pytest.fixture
def policy() -> Mitigations:
    return POLICY


@pytest.fixture
async def room(tmp_path: Path, request: pytest.FixtureRequest, policy: Mitigations) -> AsyncIterator[Leaky]:
    async with leaky_room(tmp_path, copy_of("SQLite", tmp_path, request), policy) as held:
        yield held


async def test_no_remedy_tells_a_secret_whatever_becomes_of_it(room: Leaky) -> None:
    """Asked for, approved, rejected, superseded, kept, reverted: rollbacks have secrets on both sides of their diff."""
    rollback = await room.asked("rollback")
    assert rollback.plan is not None
    shown = "\n".join(rollback.plan.diff)
    for name in (
        "DB_PASSWORD",
        "PLAIN_0",
        "BACKEND",
        "deploy-token",
        "vault/token",
        "args",
        "clientSecret",
        "X-Api-Key",
    ):
        assert name in shown, shown
    assert MASK in shown
    assert (await room.acted(rollback, "reject")).state is State.REJECTED
    rollback = await room.done("rollback")
    assert rollback.outcome is Outcome.NO_EFFECT, rollback.said
    assert "error lines of" in rollback.said
    held = await room.proxy.deployment()
    assert f"{P}1" in json.dumps(held)
    await room.acted(rollback, "revert")
    back = await room.acted((await room.runs())[-1], "approve", CHRIS)
    assert back.outcome is Outcome.DONE, back.said
    assert f"{P}2" in json.dumps(await room.proxy.deployment())
    for name in ("restart", "rate_limit_queue", "limit_concurrency", "raise_timeout", "fallback"):
        run = await room.done(name)
        assert run.outcome is Outcome.NO_EFFECT, run.said
        await room.acted(run, "kubectl")
    assert (await room.acted(run, "keep")).kept
    waiting = await room.asked("restart")
    await room.proxy.by_hand({"spec": {"template": template(3)}})
    await rolled_out(room.proxy)
    assert (await room.acted(waiting, "approve")).state is State.SUPERSEDED
    for words in (
        f"freeze {REASONS[0]}",
        "mitigate restart",
        "unfreeze",
        "revert",
        "mitigate",
        f"mitigate token={P}",
        "timeline",
    ):
        await room.slack.command(words, user=ADA)
        await room.settle()
    await room.slack.open_home(ADA)
    await room.settle()
    await room.slack.wait_for(lambda: ADA in room.slack.homes)
    assert await room.leaks() == {}


async def test_what_makes_it_worse_and_is_taken_back_tells_no_secret(room: Leaky) -> None:
    run = await room.asked("fallback")

    async def sicken(_: dict[str, Any]) -> None:
        room.upstreams.sick = True

    room.proxy.hooked(sicken, before=False)
    run = await room.acted(run, "approve")
    assert run.outcome is Outcome.WORSE, run.said
    assert "services.mistral" in run.said
    assert (await room.runs())[-1].automatic
    assert await room.leaks() == {}


QUOTING = {
    "an invalid value": (422, "Invalid", f'env[0].value: Invalid value: "{OLD} {P}": may not be so', True),
    "a whole object": (422, "Invalid", f'Deployment "mistral-service" is invalid: {SAID}', False),
    "a webhook": (403, "Forbidden", f'admission webhook "policy" denied the request: {OLD} and {SAID}', False),
}


@pytest.mark.parametrize(("code", "reason", "said", "is_cause"), QUOTING.values(), ids=QUOTING.keys())
async def test_what_the_api_server_quotes_of_a_patch_is_not_told(
    room: Leaky, code: int, reason: str, said: str, is_cause: bool
) -> None:
    status = {"kind": "Status", "status": "Failure", "message": said, "reason": reason, "code": code}
    if is_cause:
        field, _, message = said.partition(": ")
        status["details"] = {"causes": [{"reason": "FieldValueInvalid", "field": field, "message": message}]}

    async def refuse(_: dict[str, Any]) -> None:
        error = {422: web.HTTPUnprocessableEntity, 403: web.HTTPForbidden}[code]
        raise error(text=json.dumps(status), content_type="application/json")

    room.proxy.hooked(refuse, before=True)
    for remedy, arguments in (("fallback", {}), ("rollback", {}), ("rotate_key", {"secret": "next"})):
        run = await room.done(remedy, **arguments)
        assert run.outcome is Outcome.FAILED, run.said
        assert str(code) in run.said
    assert await secret_of(room) == {"api-key": OLD}
    assert await room.leaks() == {}


@pytest.mark.parametrize("policy", [replace(POLICY, start_within=timedelta(seconds=5))], ids=["it begins within 5 s"])
async def test_what_a_broken_api_server_says_until_people_have_to_look_is_not_told(
    room: Leaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.handlers.applying._UNSURE", timedelta(0))
    status = {"kind": "Status", "message": f"etcd: cannot write {OLD} and {SAID}"}

    async def refuse(_: dict[str, Any]) -> None:
        raise web.HTTPInternalServerError(text=json.dumps(status), content_type="application/json")

    room.proxy.hooked(refuse, before=True)
    run = await room.done("fallback")
    assert run.outcome is Outcome.INTERRUPTED, run.said
    assert "500" in run.said
    assert await room.leaks() == {}


@pytest.mark.parametrize("code", [400, 404, 409, 422, 429, 500, 503])
async def test_no_error_of_the_cluster_quotes_what_the_server_quotes(tmp_path: Path, code: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": f"no: {SAID}", "reason": "Odd"}, status=code)

    async def logs(cluster: KubernetesCluster) -> None:
        async for _ in cluster.log_chunks("p", "c", since_s=1, tail_lines=1):
            pass

    async def pods(cluster: KubernetesCluster) -> None:
        async for _ in cluster.list("Pod"):
            pass

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    sandbox = Sandbox(load_scenarios()["all is well"])
    (tmp_path / "kubeconfig").write_text(kubernetes.kubeconfig(await sandbox.serve(app)))
    settings = load({"KUBECONFIG": str(tmp_path / "kubeconfig")})
    cluster = KubernetesCluster(settings.targets[0].kubernetes, settings.limits, settings.network)
    told = []
    for asked in (
        *(cluster.get("Secret", "x"), cluster.may("get", "pods"), logs(cluster), pods(cluster)),
        *(cluster.patch("Secret", "x", {}), cluster.patch("Deployment", "x", {})),
    ):
        with pytest.raises(UpstreamError) as refused:
            await asked
        told.append(str(refused.value))
    await cluster.close()
    await sandbox.close()
    assert [one for one in told if MARK in one.lower()] == []


async def test_no_rotation_tells_a_key_whether_it_succeeds_or_not(room: Leaky) -> None:
    """A key that is refused, one that is taken out again as the pods cannot be restarted, and one that stays."""
    refused = await room.asked("rotate_key", secret="worthless")
    assert refused.state is State.CANCELLED
    assert "Mistral refuses the new key" in refused.said
    assert REFUSED in room.upstreams.refused

    async def refuse_the_restart(patch: dict[str, Any]) -> None:
        if "spec" in patch:
            raise web.HTTPUnprocessableEntity(text=f"{NEW} {OLD}")

    room.proxy.hooked(refuse_the_restart, before=True)
    failed = await room.done("rotate_key", secret="next")
    assert failed.outcome is Outcome.FAILED
    assert "The old key was put back" in failed.said
    assert await secret_of(room) == {"api-key": OLD}
    room.proxy.hooked(_nothing, before=True)
    # what is known to be bad is not put back
    room.upstreams.taken = {NEW, TYPED}
    done = await room.done("rotate_key", secret="next")
    assert done.outcome is Outcome.NO_EFFECT, done.said
    assert await secret_of(room) == {"api-key": NEW}
    await room.acted(done, "kubectl")
    assert await room.leaks() == {}


async def _nothing(_: dict[str, Any]) -> None:
    pass


async def test_a_key_that_is_entered_in_a_form_stands_nowhere_but_in_the_secret(room: Leaky) -> None:
    run = await room.acted(await room.asked("rotate_key"), "approve")
    assert run.state is State.APPROVED, run.said
    run = await room.acted(run, "key", text=REFUSED)
    assert "Mistral refuses the new key" in str(room.answers[-1])
    run = await room.acted(run, "key", text="two words")
    run = await room.acted(run, "key", text=TYPED)
    async with asyncio.timeout(20):
        while run.open:
            await asyncio.sleep(0.05)
            await room.settle()
            run = await room.bot.mitigations.one(run.id)
    assert run.outcome is Outcome.NO_EFFECT, run.said
    assert await secret_of(room) == {"api-key": TYPED}
    assert await room.leaks() == {}


async def test_a_key_in_the_field_of_a_secrets_name_is_not_kept(room: Leaky) -> None:
    for key in (TYPED, f"sk-{P.lower()}", f"next/sk-{P}"):
        await room.slack.command("mitigate rotate_key", user=ROBIN)
        view = await room.open_form(ROBIN)
        answer = await room.slack.submit(view, {"reason": {"value": "it leaked"}, "argument_secret": {"value": key}})
        room.answers.append(answer)
        assert "errors" in answer, key
    await room.settle()
    assert await room.runs() == []
    assert await room.leaks() == {}


async def test_a_variable_that_holds_the_services_key_is_neither_shown_nor_kept(room: Leaky) -> None:
    env = [{"name": "MISTRAL_FALLBACK", "value": OLD}, {"name": "RATE_LIMIT_MODE", "value": PLANTED["bearer in prose"]}]
    await room.proxy.by_hand({"spec": {"template": {"spec": {"containers": [{"name": "app", "env": env}]}}}})
    await rolled_out(room.proxy)
    for remedy, why in (("fallback", "holds Mistral's key itself"), ("rate_limit_queue", "looks like a secret")):
        run = await room.asked(remedy)
        assert run.state is State.CANCELLED
        assert why in run.said
    assert await room.leaks() == {}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED.keys())
def test_a_remedy_of_the_files_own_that_would_show_a_secret_is_refused_without_it(tmp_path: Path, text: str) -> None:
    for key in ("what", "value", "off_value"):
        remedy = {"what": "sheds batches", "variable": "BATCH", "value": "off", key: text}
        path = tmp_path / "bot.yaml"
        path.write_text(yaml.safe_dump({"remedies": {"shed": remedy}}))
        with pytest.raises(SettingsError) as refused:
            load({"MISTRAL_BOT_CONFIG": str(path)})
        told = "\n".join(refused.value.problems)
        assert key in told
        assert MARK not in told.lower()


async def test_the_search_finds_what_is_told(room: Leaky) -> None:
    """The control: the same search, where something that nothing masks went through each way out."""
    run = await room.asked("fallback")
    assert await room.leaks() == {}
    told = replace(run, id="0" * 32, reason=f"it is {OLD}", state=State.PLANNING, plan=None, approve_by=None)
    await room.bot.store.add_run(mitigation.asked(told), now=told.requested_at, request="by hand")
    await room.settle()
    logging.getLogger("bot").warning("it is %s", TYPED)
    room.answers.append({"errors": {"reason": NEW}})
    room.proxy.made.append({"metadata": {"annotations": {"mistral-bot/reason": P}}})
    assert set(await room.leaks()) >= {
        *("a message", "a call of chat.postMessage", "a run", "the table runs", "the table timeline"),
        *("the database's file", "the log", "an answer to a form", "an annotation"),
    }
    assert HERE in {message.channel for message in room.slack.messages if OLD in message.all_text}
