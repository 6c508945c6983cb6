"""Changes of a pod template: made, taken back byte for byte, sent as a patch, and stored."""

import json
from collections.abc import Mapping
from copy import deepcopy

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bot.domain.changes import (
    RESTARTED_AT,
    AnnotationChange,
    Change,
    EnvChange,
    KeyChange,
    RevisionChange,
    Unfitting,
    change_json,
    change_of,
    changed,
    inverse,
    merge_patch,
    template_hash,
)
from bot.sandbox.kubernetes_patch import merge_patch as apply_patch
from tests.domain.templates import SCALARS, objects, pairs, text, with_env
from tests.objects import Object, container, replica_set, taken, template, variable


@given(pairs())
@example(({"a": {"b": 1}}, {"a": {"b": True}}))
def test_a_patch_of_two_templates_makes_the_one_of_the_other(pair: tuple[Object, Object]) -> None:
    before, after = pair
    held = text(before), text(after)
    assert text(apply_patch(before, merge_patch(before, after))) == held[1]
    assert (text(before), text(after)) == held


@given(objects(SCALARS))
def test_a_patch_of_what_is_the_same_is_empty(held: Object) -> None:
    assert merge_patch(held, deepcopy(held)) == {}


def test_nulls_that_the_api_gives_are_neither_sent_nor_lost() -> None:
    # as it stands in every pod template that an older API server gives
    before = {"metadata": {"creationTimestamp": None, "labels": {"app": "a"}}}
    after = {"metadata": {"creationTimestamp": None, "labels": {"app": "b"}, "annotations": {"x": None, "y": "1"}}}
    assert merge_patch(before, after) == {"metadata": {"labels": {"app": "b"}, "annotations": {"y": "1"}}}


@given(pairs(SCALARS | st.none()))
def test_templates_have_the_same_hash_if_and_only_if_they_are_the_same(pair: tuple[Object, Object]) -> None:
    before, after = pair
    assert (template_hash(before) == template_hash(after)) is (text(before) == text(after))
    assert template_hash(dict(reversed(before.items()))) == template_hash(before)


_ENTRIES = st.none() | st.sampled_from(
    [
        variable("X", ""),
        variable("X", "1"),
        variable("X", "é\ud800\n"),
        {"name": "X"},
        taken("X", "s", "k", optional=True),
        {"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
    ]
)


@given(_ENTRIES, _ENTRIES, st.integers(0, 2), st.booleans())
def test_a_variable_that_was_set_is_taken_back_byte_for_byte(
    before: Object | None, after: Object | None, others: int, keyless: bool
) -> None:
    env = [variable(f"V{number}", "1") for number in range(others)]
    held = with_env(*env, *([before] if before else []))
    if keyless and held["spec"]["containers"][1]["env"] == []:
        del held["spec"]["containers"][1]["env"]
    # an empty list is not what the API keeps
    assume(held["spec"]["containers"][1].get("env", [1]))
    change = EnvChange(container="app", name="X", before=before, after=after)
    original = json.dumps(held)
    made = changed(held, [change], {})
    assert json.dumps(held) == original
    assert [one for one in made["spec"]["containers"][1].get("env", []) if one["name"] == "X"] == (
        [after] if after else []
    )
    assert json.dumps(changed(made, inverse([change]), {})) == original


def test_a_variable_keeps_its_place_among_the_others() -> None:
    held = with_env(variable("A", "1"), variable("X", "1"), variable("B", "$(X)"))
    change = EnvChange(container="app", name="X", before=variable("X", "1"), after=variable("X", "2"))
    made = changed(held, [change], {})
    assert made == with_env(variable("A", "1"), variable("X", "2"), variable("B", "$(X)"))
    assert changed(made, inverse([change]), {}) == held


def test_an_env_that_becomes_empty_goes_as_the_api_server_lets_it_go() -> None:
    change = EnvChange(container="app", name="X", before=variable("X", "1"), after=None)
    made = changed(with_env(variable("X", "1")), [change], {})
    assert "env" not in made["spec"]["containers"][1]


def test_several_changes_are_taken_back_in_the_other_order() -> None:
    first = EnvChange(container="app", name="X", before=None, after=variable("X", "1"))
    second = EnvChange(container="app", name="X", before=variable("X", "1"), after=variable("X", "2"))
    third = AnnotationChange(name=RESTARTED_AT, before=None, after="2026-07-01T12:00:00Z")
    held = with_env(variable("A", "1"))
    made = changed(held, [first, second, third], {})
    assert made["spec"]["containers"][1]["env"][1] == variable("X", "2")
    assert json.dumps(changed(made, inverse([first, second, third]), {})) == json.dumps(held)


@pytest.mark.parametrize("annotations", [None, {"a/b": "1"}, {"a/b": "1", RESTARTED_AT: "2025"}, {RESTARTED_AT: ""}])
@pytest.mark.parametrize("after", [None, "", "2026"])
def test_an_annotation_is_taken_back_byte_for_byte(annotations: dict[str, str] | None, after: str | None) -> None:
    held = template()
    held["metadata"]["creationTimestamp"] = None
    if annotations:
        held["metadata"]["annotations"] = annotations
    change = AnnotationChange(name=RESTARTED_AT, before=(annotations or {}).get(RESTARTED_AT), after=after)
    original = text(held)
    made = changed(held, [change], {})
    assert made["metadata"].get("annotations", {}).get(RESTARTED_AT) == after
    assert made["metadata"].get("annotations") != {}
    # the API sorts the names of a map
    assert text(changed(made, inverse([change]), {})) == original


def test_a_revision_is_its_replica_sets_template_without_the_hash_and_is_taken_back() -> None:
    sets = {held["metadata"]["name"]: held for held in (replica_set(1, container()), replica_set(2, container("b")))}
    for number, held in enumerate(sets.values()):
        held["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = f"h{number}"
    one, two = sets
    change = RevisionChange(before=2, before_set=two, after=1, after_set=one)
    held = template(container("b"))
    stored = text(sets)
    made = changed(held, [change], sets)
    assert made == template(container())
    assert json.dumps(changed(made, inverse([change]), sets)) == json.dumps(held)
    assert text(sets) == stored


@pytest.mark.parametrize(
    "sets", [{}, {"gone": {}}, {"gone": {"spec": {"template": None}}}], ids=["gone", "odd", "null"]
)
def test_a_revision_that_is_not_kept_is_told(sets: Mapping[str, Object]) -> None:
    change = RevisionChange(before=2, before_set="b", after=1, after_set="gone")
    with pytest.raises(Unfitting, match=r"^Revision 1 is not kept any more; .+ lists what is\.$"):
        changed(template(), [change], sets)


def test_a_container_that_is_gone_is_told() -> None:
    change = EnvChange(container="old", name="X", before=None, after=variable("X", "1"))
    with pytest.raises(Unfitting, match=r"^There is no container old any more\.$"):
        changed(template(), [change], {})


@pytest.mark.parametrize("after", [None, variable("X", "3")], ids=["out", "set"])
def test_a_variable_that_is_there_twice_is_left_alone_since_it_could_not_be_taken_back(after: Object | None) -> None:
    change = EnvChange(container="app", name="X", before=variable("X", "1"), after=after)
    with pytest.raises(Unfitting, match="X is set twice in container app"):
        changed(with_env(variable("X", "1"), variable("X", "2")), [change], {})


_KEY = KeyChange(secret="s", entry="api-key", source="new", source_entry="api-key", source_version="7")


def test_a_key_leaves_the_template_alone_and_cannot_be_taken_back() -> None:
    assert changed(template(), [_KEY], {}) == template()
    with pytest.raises(Unfitting, match="The old key is kept nowhere"):
        inverse([_KEY])


_TEXTS = st.text(max_size=5)
_CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(EnvChange, container=_TEXTS, name=_TEXTS, before=_ENTRIES, after=_ENTRIES),
    st.builds(AnnotationChange, name=_TEXTS, before=st.none() | _TEXTS, after=st.none() | _TEXTS),
    st.builds(RevisionChange, before=st.integers(), before_set=_TEXTS, after=st.integers(), after_set=_TEXTS),
    st.builds(KeyChange, secret=_TEXTS, entry=_TEXTS, source=_TEXTS, source_entry=_TEXTS, source_version=_TEXTS),
)


@given(_CHANGES)
def test_a_change_is_read_as_it_was_stored(change: Change) -> None:
    assert change_of(json.loads(json.dumps(change_json(change)))) == change
    if not isinstance(change, KeyChange):
        assert inverse(inverse([change])) == (change,)


@given(pairs(SCALARS | st.none()), _CHANGES, st.sampled_from([None, "x", {}]))
def test_odd_templates_are_changed_or_refused_in_a_sentence(
    pair: tuple[Object, Object], change: Change, metadata: object
) -> None:
    odd = {"metadata": metadata, "spec": {"containers": [*pair, "x", {"name": "app", "env": "x"}]}}
    try:
        made, said = changed(odd, [change], {"a": odd, "": pair[0]}), "."
    except Unfitting as no:
        made, said = {}, str(no)
    assert len(template_hash(made)) == 64
    assert said.endswith(".")
