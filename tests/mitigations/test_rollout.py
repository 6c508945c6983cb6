"""Restart and rollback, and what every remedy refuses of a deployment that would not roll out."""

from copy import deepcopy

import pytest

from bot.domain.changes import RESTARTED_AT, AnnotationChange, RevisionChange, changed, inverse
from bot.domain.incident import Refusal
from bot.domain.remedies import RemedyName
from bot.domain.workload import HASH_LABEL, template
from tests.mitigations.asks import STAMP, ask, planned, refusal, remedy
from tests.objects import Object, container, deployment, replica_set, variable


def hashed(held: Object, digest: str) -> Object:
    """As the deployment controller makes one: its pods carry a hash."""
    made = deepcopy(held)
    made["spec"]["template"]["metadata"]["labels"][HASH_LABEL] = digest
    return made


ONE, TWO, THREE = (container(image=f"service:{number}") for number in (1, 2, 3))
FIRST, SECOND, THIRD = (
    hashed(replica_set(number, held, replicas=3 if number == 3 else 0, minutes=100 - number), f"hash{number}")
    for number, held in ((1, ONE), (2, TWO), (3, THREE))
)
RUNNING = deployment(THREE)


@pytest.mark.parametrize("name", RemedyName)
async def test_a_paused_deployment_is_refused_by_every_remedy_with_how_to_resume_it(name: str) -> None:
    held = deployment(THREE)
    held["spec"]["paused"] = True
    arguments = {"secret": "new"} if name == "rotate_key" else {}
    environ = {"KUBE_NAMESPACE": "shop", "KUBE_DEPLOYMENT": "chat"}
    assert await refusal(name, ask(held, SECOND, THIRD, arguments=arguments, environ=environ)) == (
        "The deployment is paused, so nothing would roll out; `kubectl -n shop rollout resume deployment/chat` first."
    )


@pytest.mark.parametrize("name", RemedyName)
async def test_a_deployment_that_is_being_deleted_is_refused_by_every_remedy(name: str) -> None:
    held = deployment(THREE)
    held["metadata"]["deletionTimestamp"] = STAMP
    told = await refusal(name, ask(held, SECOND, THIRD, arguments={"secret": "new"} if name == "rotate_key" else {}))
    assert told == "The deployment is being deleted; there is nothing to change any more."


@pytest.mark.parametrize("before", [None, "2026-01-01T00:00:00Z"])
async def test_a_restart_is_the_annotation_that_kubectl_sets(before: str | None) -> None:
    held = deployment(THREE)
    if before:
        held["spec"]["template"]["metadata"]["annotations"] = {RESTARTED_AT: before, "other": "x"}
    changes = await planned("restart", ask(held))
    assert changes == (AnnotationChange(name=RESTARTED_AT, before=before, after=STAMP),)
    there = changed(template(held), changes, {})
    assert there["metadata"]["annotations"][RESTARTED_AT] == STAMP
    assert changed(there, inverse(changes), {}) == template(held)


@pytest.mark.parametrize("metadata", [None, {}, {"annotations": None}, "odd"])
async def test_a_template_with_odd_metadata_can_be_restarted(metadata: object) -> None:
    held = deployment(THREE)
    held["spec"]["template"]["metadata"] = metadata
    assert await planned("restart", ask(held)) == (AnnotationChange(name=RESTARTED_AT, before=None, after=STAMP),)


async def test_a_restart_takes_nothing_to_be_filled_in() -> None:
    assert await refusal("restart", ask(arguments={"value": "5"})) == "restart takes nothing more to be filled in."


@pytest.mark.parametrize(
    ("asked", "number"), [({}, 2), ({"revision": " "}, 2), ({"revision": "1"}, 1), ({"revision": " 02 "}, 2)]
)
async def test_a_rollback_is_to_the_revision_before_or_to_the_one_that_is_named(
    asked: dict[str, str], number: int
) -> None:
    changes = await planned("rollback", ask(RUNNING, SECOND, THIRD, FIRST, arguments=asked))
    assert changes == (
        RevisionChange(before=3, before_set="mistral-service-3", after=number, after_set=f"mistral-service-{number}"),
    )
    sets = {held["metadata"]["name"]: held for held in (FIRST, SECOND, THIRD)}
    there = changed(template(RUNNING), changes, sets)
    assert there["spec"]["containers"][0]["image"] == f"service:{number}"
    assert HASH_LABEL not in there["metadata"]["labels"]
    assert changed(there, inverse(changes), sets) == template(RUNNING)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("3", "Revision 3 is the one that runs; the cluster keeps 1, 2, 3 (runs)."),
        ("7", "There is no revision 7; the cluster keeps 1, 2, 3 (runs)."),
        *(
            (held, "A revision is a whole number above 0, as `kubectl rollout history` lists them.")
            for held in ("0", "-1", "two", "2.0", "2 1", "<!channel>", "9" * 19, "\uff12", "--to-revision=1")
        ),
    ],
)
async def test_a_revision_that_cannot_be_is_refused_with_those_that_there_are(asked: str, sentence: str) -> None:
    assert await refusal("rollback", ask(RUNNING, FIRST, SECOND, THIRD, arguments={"revision": asked})) == sentence


async def test_without_an_earlier_revision_there_is_nothing_to_go_back_to() -> None:
    assert await refusal("rollback", ask(RUNNING, THIRD)) == (
        "There is no earlier revision to go back to: the cluster keeps 3 (runs)."
    )


async def test_of_many_revisions_the_newest_ten_are_told() -> None:
    older = [replica_set(number, container(image=f"service:{number}")) for number in range(10, 30)]
    running = replica_set(30, THREE)
    told = await refusal("rollback", ask(RUNNING, *older, running, arguments={"revision": "7"}))
    newest = ", ".join(map(str, range(21, 30)))
    assert told == f"There is no revision 7; the cluster keeps 11 older ones, {newest}, 30 (runs)."


async def test_the_revision_that_runs_is_known_by_its_template_and_not_by_its_number() -> None:
    # somebody has changed the deployment, and the controller has not made the new ReplicaSet yet
    changed_since = deployment(container(image="service:4"))
    told = await refusal("rollback", ask(changed_since, FIRST, SECOND, THIRD))
    assert told.startswith("The deployment was changed a moment ago")
    assert (await refusal("rollback", ask(RUNNING))).startswith("The deployment was changed a moment ago")


async def test_after_a_rollback_that_is_not_numbered_yet_the_revision_before_is_the_lower_one() -> None:
    (change,) = await planned("rollback", ask(deployment(TWO), FIRST, SECOND, THIRD))
    assert change == RevisionChange(before=2, before_set="mistral-service-2", after=1, after_set="mistral-service-1")


async def test_the_replica_sets_of_other_deployments_and_odd_ones_are_not_gone_back_to() -> None:
    foreign = replica_set(2, TWO)
    foreign["metadata"]["ownerReferences"][0].update(name="other", uid="d-2")
    odd = [replica_set(number, TWO) for number in ("", "two", None, "9" * 30)]
    for one in odd:
        one["metadata"]["labels"] = None
    told = await refusal("rollback", ask(RUNNING, foreign, *odd, THIRD))
    assert told == "There is no earlier revision to go back to: the cluster keeps 3 (runs)."


async def test_a_revision_that_differs_in_variables_alone_is_one() -> None:
    before = replica_set(2, container("app", variable("A", "1")))
    now = replica_set(3, container("app", variable("A", "2")))
    (change,) = await planned("rollback", ask(deployment(container("app", variable("A", "2"))), before, now))
    assert isinstance(change, RevisionChange)
    assert (change.before, change.after) == (3, 2)


def test_what_is_stored_of_a_revision_is_its_number() -> None:
    assert remedy("rollback").checked({"revision": " 007 "}) == {"revision": "7"}
    assert remedy("rollback").checked({}) == {}
    with pytest.raises(Refusal):
        remedy("rollback").checked({"revision": "7", "value": "x"})
