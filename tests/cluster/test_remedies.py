"""Each remedy plans on a real deployment what is then stored, and what takes it back exactly."""

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator

import pytest

from bot.domain.changes import KeyChange, RevisionChange, inverse
from bot.domain.incident import Refusal
from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.mitigations import load
from bot.ports import Ask, Exchange
from tests.cluster.plane import Admin, ControlPlane
from tests.cluster.test_mitigations import Kubectl, kubectl, made, previewed
from tests.cluster_contract import KEY, Api, read, settled, text
from tests.fakes import FakeHttp, probe_run

REMEDIES = load(ENV_REMEDIES)
SECRETS = "/api/v1/namespaces/default/secrets"
NEW = "planted-new-key-5d20e9c7"
MODELS = Exchange(status=200, body=json.dumps({"object": "list", "data": [{"id": "mistral-small"}]}).encode())

__all__ = ["kubectl"]


async def asked(api: Api, **arguments: str) -> Ask:
    held, sets, _ = await read(api.cluster)
    return Ask(
        run=probe_run(cluster=api.cluster, http=FakeHttp({"/v1/models": MODELS})),
        deployment=held,
        replica_sets=sets,
        arguments=arguments,
        stamp="2026-07-01T12:00:00Z",
    )


@pytest.mark.parametrize("name", [name for name in RemedyName if name != RemedyName.ROTATE_KEY])
async def test_what_a_remedy_plans_is_what_is_stored_and_its_way_back_is_exact(name: str, api: Api) -> None:
    before = text(await settled(api.cluster))
    changes = await REMEDIES[name].plan(await asked(api))
    preview = await previewed(api.cluster, changes)
    assert preview != before
    assert await made(api.cluster, changes) == preview
    assert await made(api.cluster, inverse(changes)) == before


async def test_after_a_rollback_the_revisions_are_counted_as_the_cluster_does(api: Api) -> None:
    await settled(api.cluster)
    (first,) = await REMEDIES["rollback"].plan(await asked(api))
    assert isinstance(first, RevisionChange)
    assert (first.before, first.after) == (2, 1)
    await made(api.cluster, [first])
    (second,) = await REMEDIES["rollback"].plan(await asked(api))
    assert isinstance(second, RevisionChange)
    assert (second.before, second.after) == (3, 2)
    assert (second.before_set, second.after_set) == (first.after_set, first.before_set)
    with pytest.raises(Refusal, match=r"^There is no revision 1; the cluster keeps 2, 3 \(runs\)\.$"):
        await REMEDIES["rollback"].plan(await asked(api, revision="1"))


async def test_what_is_set_already_is_refused_once_it_is_in_place(api: Api) -> None:
    await made(api.cluster, await REMEDIES["fallback"].plan(await asked(api)))
    with pytest.raises(Refusal, match=r"^MISTRAL_FALLBACK is true already\.$"):
        await REMEDIES["fallback"].plan(await asked(api))


@pytest.fixture
async def source(admin: Admin) -> AsyncIterator[str]:
    """A Secret with the new key, which ends with a line's end as one that was made from a file does."""
    data = {"next": base64.b64encode(f"{NEW}\n".encode()).decode()}
    await admin.create(SECRETS, {"metadata": {"name": "new-key"}, "data": data})
    yield "new-key"
    await admin.delete(f"{SECRETS}/new-key")


async def test_a_new_key_is_found_where_an_operator_put_it_and_its_lines_put_it_in_place(
    api: Api, source: str, kubectl: Kubectl
) -> None:
    changes = await REMEDIES["rotate_key"].plan(await asked(api, secret=source))
    version = (await api.cluster.get("Secret", source))["metadata"]["resourceVersion"]
    assert changes[0] == KeyChange(
        secret="mistral-secrets", entry="api-key", source=source, source_entry="next", source_version=version
    )
    lines = REMEDIES["rotate_key"].commands("default", "mistral-service", changes)
    assert NEW not in await asyncio.to_thread(kubectl, "\n".join(lines))
    await settled(api.cluster)
    assert await key_in_place(api) == NEW


@pytest.mark.parametrize("named", ["new-key/other", "nowhere/next"])
async def test_a_line_for_a_key_that_is_not_there_any_more_writes_and_shows_nothing(
    named: str, api: Api, source: str, control_plane: ControlPlane
) -> None:
    secret, _, entry = named.partition("/")
    gone = KeyChange(secret="mistral-secrets", entry="api-key", source=secret, source_entry=entry, source_version="1")
    first, *_ = REMEDIES["rotate_key"].commands("default", "mistral-service", [gone])
    done = await pasted(control_plane, first)
    told = (done.stdout + done.stderr).decode()
    assert "there is no key" in told or "not found" in told
    assert NEW not in told
    assert base64.b64encode(NEW.encode()).decode()[:-4] not in told
    assert await key_in_place(api) == KEY


@pytest.mark.parametrize(("typed", "there"), [(f"{NEW}\n", NEW), ("\n", KEY)], ids=["a key", "nothing"])
async def test_a_key_that_is_typed_reaches_the_secret_and_no_output(
    typed: str, there: str, api: Api, control_plane: ControlPlane
) -> None:
    first, *_ = REMEDIES["rotate_key"].commands("default", "mistral-service", ())
    done = await pasted(control_plane, first, typed)
    assert NEW.encode() not in done.stdout + done.stderr
    assert await key_in_place(api) == there


async def pasted(control_plane: ControlPlane, line: str, typed: str = "") -> "subprocess.CompletedProcess[bytes]":
    """A line as the shell ends it, well or not, with what somebody types."""
    environ = os.environ | {"KUBECONFIG": str(control_plane.run / "admin.kubeconfig")}
    return await asyncio.to_thread(
        subprocess.run, ["bash", "-c", line], env=environ, input=typed.encode(), capture_output=True, timeout=60
    )


async def key_in_place(api: Api) -> str:
    held = await api.cluster.get("Secret", "mistral-secrets")
    return base64.b64decode(held["data"]["api-key"]).decode()
