"""Rotating the key: from which Secret, into which, what is refused with what to do instead; no key is ever told."""

import base64
import json
import traceback
from typing import Any

import pytest

from bot.domain.changes import RESTARTED_AT, AnnotationChange, KeyChange
from bot.domain.incident import Refusal
from bot.domain.remedies import KEY_BY_FORM
from bot.domain.signals import Failure
from bot.errors import Forbidden, NotConfigured
from bot.ports import Exchange
from tests.fakes import FakeCluster, FakeHttp
from tests.mitigations.asks import STAMP, ask, planned, refusal, remedy
from tests.objects import Object, container, deployment, taken, variable

OLD, NEW = "planted-old-key-0123456789", "planted-new-key-9876543210"
KEY = taken("MISTRAL_API_KEY", "mistral-secrets", "api-key")
TAKING = deployment(container("app", KEY))
WHOLE = deployment(container("app", envFrom=[{"secretRef": {"name": "mistral-secrets"}}]))
MODELS = Exchange(status=200, body=json.dumps({"object": "list", "data": [{"id": "mistral-small"}]}).encode())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(name: str, *, version: str = "7", metadata: Object | None = None, **data: str) -> Object:
    """With an entry for each of ``data``, ``_`` in whose name stands for ``-``."""
    return {
        "metadata": {"name": name, "resourceVersion": version, **(metadata or {})},
        "data": {entry.replace("_", "-"): encoded(value) for entry, value in data.items()},
    }


TARGET = secret("mistral-secrets", api_key=OLD)
SOURCE = secret("new", api_key=NEW)


def asked(
    *secrets: Object,
    source: str = "new",
    wanted: Object = TAKING,
    answer: Exchange = MODELS,
    forbidden: frozenset[str] = frozenset(),
) -> tuple[Any, FakeHttp]:
    http = FakeHttp({"/v1/models": answer})
    cluster = FakeCluster(objects={"Deployment": [wanted], "Secret": secrets or (TARGET, SOURCE)}, forbidden=forbidden)
    return ask(wanted, arguments={"secret": source}, http=http, cluster=cluster), http


RESTART = AnnotationChange(name=RESTARTED_AT, before=None, after=STAMP)


def key_change(**fields: str) -> KeyChange:
    held = {
        "secret": "mistral-secrets",
        "entry": "api-key",
        "source": "new",
        "source_entry": "api-key",
        "source_version": "7",
    }
    return KeyChange(**{**held, **fields})


@pytest.mark.parametrize(
    ("source", "secrets", "wanted", "change"),
    [
        ("new", (TARGET, SOURCE), TAKING, key_change()),
        ("new/api-key", (TARGET, SOURCE), TAKING, key_change()),
        (" new ", (TARGET, SOURCE), TAKING, key_change()),
        ("new", (TARGET, secret("new", k=NEW)), TAKING, key_change(source_entry="k")),
        ("new", (TARGET, secret("new", k="x", api_key=NEW)), TAKING, key_change()),
        ("new/k", (TARGET, secret("new", k=NEW, api_key=OLD)), TAKING, key_change(source_entry="k")),
        (
            "mistral-secrets/next",
            (secret("mistral-secrets", version="9", api_key=OLD, next=NEW),),
            TAKING,
            key_change(source="mistral-secrets", source_entry="next", source_version="9"),
        ),
        ("new", (secret("mistral-secrets", other="x"), SOURCE), TAKING, key_change()),
        (
            "new",
            (secret("elsewhere", k=OLD), SOURCE),
            deployment(container("app", taken("MISTRAL_API_KEY", "elsewhere", "k"))),
            key_change(secret="elsewhere", entry="k"),
        ),
        (
            "new",
            (secret("mistral-secrets", MISTRAL_KEY=OLD), SOURCE),
            WHOLE,
            key_change(entry="MISTRAL-KEY"),
        ),
    ],
    ids=[
        *("by name", "with the entry", "white space", "the only entry", "the target's entry", "a named entry"),
        *("the same Secret", "nothing there yet", "another Secret", "taken whole"),
    ],
)
async def test_the_key_goes_from_the_named_secret_to_the_one_that_the_pods_take_it_from(
    source: str, secrets: tuple[Object, ...], wanted: Object, change: KeyChange
) -> None:
    held, http = asked(*secrets, source=source, wanted=wanted)
    assert await planned("rotate_key", held) == (change, RESTART)
    (request,) = http.asked
    assert (request.method, request.url) == ("GET", "https://api.mistral.ai/v1/models")
    assert request.headers == {"Authorization": f"Bearer {NEW}"}
    assert "planted" not in request.url


async def test_a_line_feed_at_the_end_of_the_new_key_is_no_part_of_it() -> None:
    held, http = asked(TARGET, secret("new", api_key=NEW + "\n"))
    await planned("rotate_key", held)
    assert http.asked[0].headers["Authorization"] == f"Bearer {NEW}"


def owned(kind: str, *, controller: bool | None) -> Object:
    owner = {"kind": kind, "name": "mistral", "uid": "e-1"} | ({} if controller is None else {"controller": controller})
    return secret("mistral-secrets", metadata={"ownerReferences": [owner]}, api_key=OLD)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({**TARGET, "immutable": True}, "is immutable; create another with the new"),
        *(
            (owned(kind, controller=controller), f"is written by {kind} mistral, which would put the old key back; ")
            for kind, controller in (
                ("ExternalSecret", True),
                ("ExternalSecret", None),
                ("SealedSecret", True),
                ("VaultStaticSecret", False),
                ("SomebodysOwnSecret", True),
            )
        ),
        *(
            (
                secret("mistral-secrets", metadata={where: {name: "x"}}, api_key=OLD),
                f"is written by whoever set {name} on it, which would put the old key back; change the key in",
            )
            for where, name in (
                ("labels", "reconcile.external-secrets.io/managed"),
                ("labels", "reconcile.external-secrets.io/created-by"),
                ("annotations", "reconcile.external-secrets.io/data-hash"),
                ("annotations", "external-secrets.io/anything"),
                ("labels", "secrets-store.csi.k8s.io/managed"),
            )
        ),
    ],
)
async def test_a_secret_that_would_not_keep_the_new_key_is_refused_with_what_to_do_instead(
    target: Object, says: str
) -> None:
    held, http = asked(target, SOURCE)
    told = await refusal("rotate_key", held)
    assert told.startswith("Secret mistral-secrets ")
    assert says in told
    assert not http.asked


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [{"kind": "Release", "name": "x", "controller": False}, "odd"]},
        {"ownerReferences": None, "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        {"labels": None, "annotations": {"example.com/external-secrets.io": "x"}},
    ],
)
async def test_a_secret_that_nobody_writes_again_is_taken(metadata: dict[str, Any]) -> None:
    held, _ = asked(secret("mistral-secrets", metadata=metadata, api_key=OLD), SOURCE)
    assert (await planned("rotate_key", held))[0] == key_change()


async def test_a_source_that_an_operator_keeps_is_taken() -> None:
    source = secret("new", metadata={"labels": {"reconcile.external-secrets.io/managed": "true"}}, k=NEW)
    held, _ = asked(TARGET, source)
    assert (await planned("rotate_key", held))[0] == key_change(source_entry="k")


@pytest.mark.parametrize(
    ("source", "secrets", "wanted", "says"),
    [
        ("old", (TARGET, SOURCE), TAKING, "There is no Secret old in default; "),
        ("new", (SOURCE,), TAKING, "There is no Secret mistral-secrets, which the pods take the key from; "),
        ("new/k", (TARGET, SOURCE), TAKING, "Secret new has no entry k; its entries: api-key. Name one as new/ENTRY."),
        ("new", (TARGET, secret("new", a=NEW, b=NEW)), TAKING, "Secret new has no entry api-key; its entries: a, b."),
        ("new", (TARGET, secret("new")), TAKING, "Secret new has no entry api-key; its entries: none."),
        ("new", (TARGET, secret("new", api_key=OLD)), TAKING, "Secret new holds the key that is in use; "),
        ("new", (TARGET, secret("new", api_key=f"{OLD}\n")), TAKING, "Secret new holds the key that is in use; "),
        ("mistral-secrets", (TARGET, SOURCE), TAKING, "The pods take the key from Secret mistral-secrets, entry api-"),
        ("mistral-secrets/api-key", (TARGET,), TAKING, "The pods take the key from Secret mistral-secrets, entry ap"),
        ("new", (TARGET, secret("new", api_key="")), TAKING, "Entry api-key of Secret new holds no key: "),
        ("new", (TARGET, secret("new", api_key=f"{NEW} {NEW}")), TAKING, "Entry api-key of Secret new holds no key: "),
        ("new", (TARGET, secret("new", api_key=f"{NEW}\r\nX: y")), TAKING, "Entry api-key of Secret new holds no key"),
        ("new", (TARGET, secret("new", api_key="planted-clé")), TAKING, "Entry api-key of Secret new holds no key: "),
        (
            "new",
            (TARGET, {"metadata": {"name": "new"}, "data": {"api-key": 5}}),
            TAKING,
            "Entry api-key of Secret new holds no key: ",
        ),
        (
            "new",
            (TARGET, {"metadata": {"name": "new"}, "data": ["planted"]}),
            TAKING,
            "Secret new has no entry api-key; its entries: none.",
        ),
        ("new", (TARGET, SOURCE), deployment(), "The pod template takes Mistral's key from no Secret"),
        (
            "new",
            (TARGET, SOURCE),
            deployment(container("app", variable("MISTRAL_API_KEY", OLD))),
            "The pod template takes Mistral's key from no Secret",
        ),
    ],
    ids=[
        *("no source", "no target", "no entry", "which entry", "empty source", "the same", "the same but for a line"),
        *("itself", "its own entry", "empty", "two words", "header", "not ASCII", "a number", "no map"),
        *("nothing", "literal"),
    ],
)
async def test_a_source_or_a_target_that_cannot_be_is_refused_before_mistral_is_asked(
    source: str, secrets: tuple[Object, ...], wanted: Object, says: str
) -> None:
    held, http = asked(*secrets, source=source, wanted=wanted)
    told = await refusal("rotate_key", held)
    assert told.startswith(says)
    assert "planted" not in told
    assert not http.asked


def refused_with(status: int, **body: object) -> Exchange:
    return Exchange(status=status, body=json.dumps(body).encode(), latency_ms=12, first_byte_ms=12)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            refused_with(401, detail="Invalid API Key"),
            "Mistral refuses the new key, too (401 after 12 ms): it is wrong or revoked, or its workspace has no ",
        ),
        (refused_with(403, type="tier_not_allowed", code="1910"), "Mistral refuses the new key, too (403 tier_not_all"),
        (refused_with(402), "The new key would not help (402 after 12 ms): its workspace is at its limit"),
        (refused_with(429, code=1300), "The new key would not help (429 (code 1300) after 12 ms): its workspace"),
        (refused_with(500), "The new key cannot be checked (500 after 12 ms), so it is not put in place; "),
        (refused_with(404), "The new key cannot be checked (404 after 12 ms)"),
        (refused_with(200, data="none"), "The new key cannot be checked (garbage: 200 with something other"),
        (refused_with(204), "The new key cannot be checked (garbage: 204 with something other"),
        *(
            (Exchange(failure=failure, latency_ms=5), f"The new key cannot be checked ({failure}: ")
            for failure in (Failure.DNS, Failure.CONNECT, Failure.TLS, Failure.TIMEOUT, Failure.GARBAGE)
        ),
    ],
)
async def test_a_key_that_mistral_does_not_take_is_not_put_in_place(answer: Exchange, says: str) -> None:
    held, http = asked(answer=answer)
    told = await refusal("rotate_key", held)
    assert told.startswith(says)
    assert len(http.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 429, 500, 200])
async def test_a_key_that_mistral_quotes_is_in_no_sentence_nor_traceback(status: int) -> None:
    body = {"message": f"Invalid API Key {NEW}", "type": NEW, "code": NEW}
    held, _ = asked(answer=refused_with(status, **body))
    with pytest.raises(Refusal) as told:
        await planned("rotate_key", held)
    assert "planted" not in str(told.value)
    assert "planted" not in "".join(traceback.format_exception(told.value))


async def test_no_change_holds_a_key() -> None:
    held, _ = asked()
    changes = await planned("rotate_key", held)
    lines = remedy("rotate_key").commands("default", "mistral-service", changes)
    told = f"{changes!r} {lines!r}"
    assert not any(key in told for key in (OLD, NEW, encoded(OLD), encoded(NEW)))


@pytest.mark.parametrize(
    "value",
    [
        "Planted0123456789PlantedKey012345",
        "new/two/parts",
        "new/",
        "/api-key",
        "-new",
        "new secret",
        "new;id",
        "../etc",
        "$(id)",
        "<!channel>",
        "new\nplanted",
        "n" * 254,
        "new/" + "k" * 254,
        "é",
    ],
)
async def test_what_is_no_secrets_name_is_refused_and_not_quoted_in_case_it_is_the_key_itself(value: str) -> None:
    held, http = asked(source=value)
    told = await refusal("rotate_key", held)
    assert told.startswith("That is no Secret's name; it should be NAME or NAME/ENTRY.")
    assert value not in told
    assert "lanted" not in told
    assert not http.asked
    with pytest.raises(Refusal):
        remedy("rotate_key").checked({"secret": value})


@pytest.mark.parametrize("arguments", [{}, {"secret": " "}])
def test_a_source_has_to_be_named(arguments: dict[str, str]) -> None:
    with pytest.raises(Refusal, match=r"^Name the Secret in the service's namespace that holds the new key"):
        remedy("rotate_key").checked(arguments)


def test_what_is_stored_of_a_source_is_its_name() -> None:
    assert remedy("rotate_key").checked({"secret": " new/api-key "}) == {"secret": "new/api-key"}


async def test_with_a_form_the_source_is_left_open_and_mistral_is_not_asked_yet() -> None:
    held, http = asked(TARGET, source=KEY_BY_FORM)
    change = key_change(source="", source_entry="", source_version="")
    assert await planned("rotate_key", held) == (change, RESTART)
    assert not http.asked
    held, _ = asked(owned("ExternalSecret", controller=True), source=KEY_BY_FORM)
    assert "is written by ExternalSecret" in await refusal("rotate_key", held)


async def test_a_secret_that_may_not_be_read_says_which_permission_is_missing() -> None:
    held, _ = asked(forbidden=frozenset({"Secret"}))
    with pytest.raises(Forbidden, match=r"^forbidden: get secrets/mistral-secrets in default$"):
        await planned("rotate_key", held)


async def test_without_a_cluster_nothing_can_be_rotated() -> None:
    with pytest.raises(NotConfigured):
        await planned("rotate_key", ask(TAKING, arguments={"secret": "new"}))
