"""The Secret: whether it is there, whose key is used, and that its value is shown nowhere."""

import base64
from typing import Any

import pytest

from bot.domain.signals import SecretState, Verdict
from bot.errors import Forbidden, LoginExpired, NotFound
from bot.ports import ServiceKey
from bot.probes.secret import PROBE, read_service_key
from bot.variables import Secret
from tests.fakes import FakeCluster, probe_run, target
from tests.objects import Object, container, deployment, taken, variable

KEY = taken("MISTRAL_API_KEY", "mistral-secrets", "api-key")
PLANTED = "planted-key-0123456789"


def secret(name: str = "mistral-secrets", **data: Any) -> Object:
    return {"metadata": {"name": name}, "data": {key.replace("_", "-"): value for key, value in data.items()}}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def cluster(*secrets: Object, wanted: Object | None = None, forbidden: frozenset[str] = frozenset()) -> FakeCluster:
    held = wanted or deployment(container("app", KEY))
    return FakeCluster(objects={"Deployment": [held], "Secret": secrets}, forbidden=forbidden)


@pytest.mark.parametrize(
    ("env", "secrets", "verdict", "summary"),
    [
        (
            [KEY],
            [secret(api_key=encoded(PLANTED))],
            "ok",
            "Secret mistral-secrets has the key api-key; the pods take it from there",
        ),
        ([KEY], [], "bad", "Secret mistral-secrets is missing; the pods take it from there"),
        (
            [KEY],
            [secret(other=encoded(PLANTED))],
            "bad",
            "Secret mistral-secrets has no key api-key; the pods take it from there",
        ),
        (
            [taken("MISTRAL_API_KEY", "mistral-secrets", "api-key", optional=True)],
            [],
            "bad",
            "Secret mistral-secrets is missing; the pods take it from there",
        ),
        (
            [taken("MISTRAL_API_KEY", "elsewhere", "k")],
            [secret(api_key=encoded(PLANTED)), secret("elsewhere", k=encoded(PLANTED))],
            "ok",
            "Secret elsewhere has the key k; the pods take it from there",
        ),
        (
            [variable("MISTRAL_API_KEY", PLANTED)],
            [secret(api_key=encoded(PLANTED))],
            "ok",
            "Secret mistral-secrets has the key api-key; the pod template does not reference it",
        ),
        (
            [],
            [secret(unrelated="x", MISTRAL_KEY=encoded(PLANTED))],
            "ok",
            "Secret mistral-secrets has the key MISTRAL-KEY; the pods take it from there",
        ),
        (
            [],
            [secret(unrelated="x")],
            "bad",
            "Secret mistral-secrets has no key api-key; the pods take it from there",
        ),
        (
            [KEY],
            [{"metadata": {"name": "mistral-secrets"}, "data": ["api-key"]}],
            "bad",
            "Secret mistral-secrets has no key api-key; the pods take it from there",
        ),
    ],
    ids=[
        "well",
        "missing",
        "without the key",
        "optional",
        "another Secret",
        "literal",
        "whole",
        "whole without",
        "malformed",
    ],
)
async def test_the_secret_is_told_in_one_line(
    env: list[Object], secrets: list[Object], verdict: str, summary: str
) -> None:
    wanted = deployment(container("app", *env)) if env else WHOLE
    finding = await PROBE.check(probe_run(cluster=cluster(*secrets, wanted=wanted)))
    assert (finding.verdict, finding.summary) == (verdict, summary)
    assert isinstance(finding.signal, SecretState)
    assert finding.signal.has_key is (finding.verdict is Verdict.OK)
    assert "planted" not in repr(finding)


async def test_a_secret_that_nothing_references_and_that_is_not_there_is_unknown() -> None:
    with pytest.raises(NotFound):
        await PROBE.check(probe_run(cluster=cluster(wanted=deployment())))


async def test_a_key_is_read_from_base64_that_is_broken_into_lines() -> None:
    wrapped = "\n".join((encoded(PLANTED)[:12], encoded(PLANTED)[12:], ""))
    assert await read_service_key(target(), cluster(secret(api_key=wrapped)), None) == FROM_SECRET


SETTINGS = {"KUBE_SECRET": "mistral-secrets", "MISTRAL_API_KEY": "fallback-key-9876543210"}
FROM_SETTINGS = ServiceKey(value="fallback-key-9876543210", source="environment")
FROM_SECRET = ServiceKey(value=PLANTED, source="secret")
WHOLE = deployment(container(envFrom=[{"secretRef": {"name": "mistral-secrets"}}]))
ELSEWHERE = deployment(container("app", taken("MISTRAL_API_KEY", "elsewhere", "k")))


@pytest.mark.parametrize(
    ("held", "key"),
    [
        (cluster(secret(api_key=encoded(PLANTED))), FROM_SECRET),
        (cluster(secret(api_key=encoded(f" {PLANTED}\n"))), FROM_SECRET),
        (cluster(secret(api_key=encoded(PLANTED)), wanted=deployment()), FROM_SECRET),
        (
            cluster(secret(api_key=encoded("old")), secret("elsewhere", k=encoded(PLANTED)), wanted=ELSEWHERE),
            FROM_SECRET,
        ),
        (cluster(secret(api_key=encoded(PLANTED)), forbidden=frozenset({"Deployment"})), FROM_SECRET),
        (cluster(secret(MISTRAL_API_KEY=encoded(PLANTED)), wanted=WHOLE), FROM_SECRET),
        (cluster(secret(api_key=encoded(PLANTED), MISTRAL_KEY=encoded("other")), wanted=WHOLE), FROM_SECRET),
        (cluster(secret(MISTRAL_API_KEY=encoded(PLANTED)), wanted=deployment()), FROM_SETTINGS),
        (cluster(secret(api_key=encoded(PLANTED)), wanted=ELSEWHERE), FROM_SETTINGS),
        (cluster(secret(api_key=encoded(PLANTED)), forbidden=frozenset({"Secret"})), FROM_SETTINGS),
        (cluster(), FROM_SETTINGS),
        (cluster(secret(other=encoded(PLANTED))), FROM_SETTINGS),
        (cluster(secret(api_key="not base64!")), FROM_SETTINGS),
        (cluster(secret(api_key="é")), FROM_SETTINGS),
        (cluster(secret(api_key=7)), FROM_SETTINGS),
        (cluster(secret(api_key="")), FROM_SETTINGS),
        (cluster(secret(api_key=encoded("clé"))), FROM_SETTINGS),
        (cluster(secret(api_key=encoded("two\r\nlines"))), FROM_SETTINGS),
        (cluster(secret(api_key=encoded("two words"))), FROM_SETTINGS),
        (cluster({"metadata": {"name": "mistral-secrets"}, "data": ["api-key"]}), FROM_SETTINGS),
        (FakeCluster(error=LoginExpired("log in again")), FROM_SETTINGS),
        (None, FROM_SETTINGS),
    ],
    ids=[
        *("the Secret's", "with a line's end", "not referenced", "another Secret's", "deployment forbidden"),
        *("whole", "whole with the usual entry", "another entry of none"),
        *("another Secret is missing", "Secret forbidden", "no Secret", "no such key", "not base64", "not ASCII"),
        *("a number", "empty", "not ASCII within", "two lines", "two words", "no map", "expired", "no cluster"),
    ],
)
async def test_the_services_key_is_the_secrets_else_that_of_the_settings(
    held: FakeCluster | None, key: ServiceKey
) -> None:
    here = target(**SETTINGS)
    assert await read_service_key(here, held, here.mistral.api_key) == key
    assert await read_service_key(here, held, None) == (key if key is FROM_SECRET else None)


async def test_a_key_is_shown_by_nothing_that_carries_it() -> None:
    key = await read_service_key(target(), cluster(secret(api_key=encoded(PLANTED))), Secret("fallback"))
    assert key == FROM_SECRET
    assert "planted" not in f"{key} {key!r}"


async def test_a_secret_that_may_not_be_read_is_unknown() -> None:
    with pytest.raises(Forbidden, match=r"^forbidden: get secrets/mistral-secrets in default$"):
        await PROBE.check(probe_run(cluster=cluster(forbidden=frozenset({"Secret"}))))
