"""The key's part of a rotation: from Secret to Secret, back again where it must be, and told to nobody."""

import base64
import json
from typing import Any

import pytest

from bot.domain.changes import KeyChange
from bot.domain.incident import Refusal
from bot.domain.runs import Plan, Run
from bot.errors import BadAnswer
from bot.handlers.moved import RUN, Moved, TooLate
from bot.handlers.planning import secret_pin
from bot.handlers.rotation import Rotation
from bot.ports import Exchange, ProbeRun
from tests.fakes import Asked, FakeCluster, FakeHttp, probe_run
from tests.runs import a_plan, a_run

OLD, NEW = "planted-old-key-4471", "planted-new-key-9925"
CHANGE = KeyChange(secret="mistral-secrets", entry="api-key", source="next", source_entry="api-key", source_version="7")
MODELS = json.dumps({"object": "list", "data": [{"id": "mistral-small-latest"}]}).encode()


def secret(name: str, key: str, version: str = "7") -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": version}
    return {"metadata": metadata, "data": {"api-key": base64.b64encode(key.encode()).decode()}}


def world(*, taken: set[str]) -> tuple[FakeCluster, ProbeRun]:
    """A cluster with both Secrets, and an API that takes these keys."""
    cluster = FakeCluster(objects={"Secret": [secret("mistral-secrets", OLD), secret("next", NEW)]})

    def answer(request: Asked) -> Exchange:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        return Exchange(status=200, body=MODELS) if key in taken else Exchange(status=401)

    return cluster, probe_run(cluster=cluster, http=FakeHttp({"/v1/models": answer}))


async def planned(cluster: FakeCluster, change: KeyChange = CHANGE) -> tuple[Run, Plan]:
    plan = a_plan(changes=(change,), secret_pin=secret_pin(await cluster.get("Secret", "mistral-secrets")))
    return a_run(remedy="rotate_key", plan=plan), plan


async def held(cluster: FakeCluster) -> dict[str, str]:
    data = (await cluster.get("Secret", "mistral-secrets"))["data"]
    return {entry: base64.b64decode(value).decode() for entry, value in data.items()}


async def test_the_new_key_is_written_once_and_the_old_one_waits_beside_it() -> None:
    cluster, asks = world(taken={NEW})
    run, plan = await planned(cluster)
    rotation = Rotation()
    assert await rotation.written(run, plan, asks) is False
    await rotation.write(run, plan, asks, {RUN: run.id})
    assert await held(cluster) == {"api-key": NEW, f"api-key.before-{run.id[:8]}": OLD}
    assert await rotation.written(run, plan, asks) is True
    version = (await cluster.get("Secret", "mistral-secrets"))["metadata"]["resourceVersion"]
    await rotation.write(run, plan, asks, {RUN: run.id})
    assert (await cluster.get("Secret", "mistral-secrets"))["metadata"]["resourceVersion"] == version


async def test_the_line_end_that_a_secret_made_from_a_file_has_is_not_written() -> None:
    cluster, asks = world(taken={NEW})
    cluster.objects["Secret"][1]["data"]["api-key"] = base64.b64encode(f"{NEW}\n".encode()).decode()
    run, plan = await planned(cluster)
    await Rotation().write(run, plan, asks, {RUN: run.id})
    assert (await held(cluster))["api-key"] == NEW


async def test_an_old_key_that_is_good_is_put_back_and_one_that_is_refused_is_not() -> None:
    for taken, expected, said in (({OLD, NEW}, OLD, "was put back"), ({NEW}, NEW, "refused by Mistral too")):
        cluster, asks = world(taken=taken)
        run, plan = await planned(cluster)
        await Rotation().write(run, plan, asks, {RUN: run.id})
        assert said in await Rotation().put_back(run, plan, asks)
        assert await held(cluster) == {"api-key": expected}
        assert said in await Rotation().put_back(run, plan, asks), "whoever takes over says the same"


async def test_a_key_that_works_leaves_no_trace_of_the_old_one() -> None:
    cluster, asks = world(taken={NEW})
    run, plan = await planned(cluster)
    await Rotation().write(run, plan, asks, {RUN: run.id})
    await Rotation().forget(run, plan, asks)
    await Rotation().forget(run, plan, asks)
    assert await held(cluster) == {"api-key": NEW}


async def test_a_secret_or_a_source_that_was_changed_since_the_preview_stops_it() -> None:
    for name in ("mistral-secrets", "next"):
        cluster, asks = world(taken={NEW})
        run, plan = await planned(cluster)
        await cluster.patch("Secret", name, {"metadata": {"labels": {"touched": "yes"}}})
        with pytest.raises(Moved, match=f"Secret {name} was changed since the preview"):
            await Rotation().write(run, plan, asks, {RUN: run.id})
        assert await held(cluster) == {"api-key": OLD}


async def test_a_key_that_is_refused_meanwhile_is_not_written_and_not_told() -> None:
    cluster, asks = world(taken=set())
    run, plan = await planned(cluster)
    with pytest.raises(BadAnswer) as refused:
        await Rotation().write(run, plan, asks, {RUN: run.id})
    assert NEW not in str(refused.value)
    assert await held(cluster) == {"api-key": OLD}


async def test_a_key_that_is_entered_is_checked_kept_in_memory_and_lost_with_it() -> None:
    cluster, asks = world(taken={NEW})
    by_form = KeyChange(secret="mistral-secrets", entry="api-key", source="", source_entry="", source_version="")
    run, plan = await planned(cluster, by_form)
    rotation = Rotation()
    assert rotation.waits(run)
    for wrong in ("", "two words", "clé", OLD):
        with pytest.raises(Refusal) as refused:
            await rotation.enter(run, asks, wrong)
        assert not wrong or wrong not in str(refused.value)
    await rotation.enter(run, asks, f" {NEW}\n")
    assert not rotation.waits(run)
    assert NEW not in repr(rotation)
    with pytest.raises(TooLate, match="lost"):
        await Rotation().write(run, plan, asks, {RUN: run.id})
    await rotation.write(run, plan, asks, {RUN: run.id})
    assert (await held(cluster))["api-key"] == NEW
    assert rotation.entered == {}
