"""Changes of a pod template: made, taken back byte for byte, sent as a patch, stored, and shown without a secret."""

import json
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

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
    diff,
    inverse,
    merge_patch,
    template_hash,
)
from bot.sandbox.kubernetes_patch import merge_patch as apply_patch
from tests.objects import Object, container, replica_set, taken, template, variable
from tests.planted import MARK, PLANTED

_NAMES = st.sampled_from(["name", "value", "env", "spec", "containers", "app", "a.b", "b", "[0]", "", "annotations"])
_SCALARS = st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "1", "true", "None", "app", "b\n+ c"])


def _json(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda held: st.lists(held, max_size=4) | st.dictionaries(_NAMES, held, max_size=4),
        max_leaves=12,
    )


def _objects(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.dictionaries(_NAMES, _json(scalars), max_size=4)


@st.composite
def _pairs(draw: st.DrawFn, scalars: st.SearchStrategy[Any] = _SCALARS) -> tuple[Object, Object]:
    """Two templates, which differ in one place more often than in all."""
    before = draw(_objects(scalars))
    after = deepcopy(before)
    at = after
    while draw(st.booleans()) and any(isinstance(value, dict) for value in at.values()):
        at = draw(st.sampled_from([value for value in at.values() if isinstance(value, dict)]))
    at[draw(_NAMES)] = draw(_json(scalars))
    return before, draw(st.sampled_from([after, draw(_objects(scalars))]))


def _text(held: object) -> str:
    return json.dumps(held, sort_keys=True)


def _with_env(*env: Object) -> Object:
    return template(container("proxy", variable("PORT", "1")), container("app", *env))


@given(_pairs())
@example(({"a": {"b": 1}}, {"a": {"b": True}}))
def test_a_patch_of_two_templates_makes_the_one_of_the_other(pair: tuple[Object, Object]) -> None:
    before, after = pair
    held = _text(before), _text(after)
    assert _text(apply_patch(before, merge_patch(before, after))) == held[1]
    assert (_text(before), _text(after)) == held


@given(_objects(_SCALARS))
def test_a_patch_of_what_is_the_same_is_empty(held: Object) -> None:
    assert merge_patch(held, deepcopy(held)) == {}


def test_nulls_that_the_api_gives_are_neither_sent_nor_lost() -> None:
    # as it stands in every pod template that an older API server gives
    before = {"metadata": {"creationTimestamp": None, "labels": {"app": "a"}}}
    after = {"metadata": {"creationTimestamp": None, "labels": {"app": "b"}, "annotations": {"x": None, "y": "1"}}}
    assert merge_patch(before, after) == {"metadata": {"labels": {"app": "b"}, "annotations": {"y": "1"}}}


@given(_pairs(_SCALARS | st.none()))
def test_templates_have_the_same_hash_if_and_only_if_they_are_the_same(pair: tuple[Object, Object]) -> None:
    before, after = pair
    assert (template_hash(before) == template_hash(after)) is (_text(before) == _text(after))
    assert template_hash(dict(reversed(before.items()))) == template_hash(before)


@given(_pairs(_SCALARS | st.none()))
def test_templates_that_differ_have_a_diff_of_lines_and_others_none(pair: tuple[Object, Object]) -> None:
    lines = diff(*pair)
    assert bool(lines) is (_text(pair[0]) != _text(pair[1]))
    assert all(line.startswith(("- ", "+ ")) and len(line.splitlines()) == 1 for line in lines)


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
    held = _with_env(*env, *([before] if before else []))
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
    held = _with_env(variable("A", "1"), variable("X", "1"), variable("B", "$(X)"))
    change = EnvChange(container="app", name="X", before=variable("X", "1"), after=variable("X", "2"))
    made = changed(held, [change], {})
    assert made == _with_env(variable("A", "1"), variable("X", "2"), variable("B", "$(X)"))
    assert changed(made, inverse([change]), {}) == held


def test_an_env_that_becomes_empty_goes_as_the_api_server_lets_it_go() -> None:
    change = EnvChange(container="app", name="X", before=variable("X", "1"), after=None)
    made = changed(_with_env(variable("X", "1")), [change], {})
    assert "env" not in made["spec"]["containers"][1]


def test_several_changes_are_taken_back_in_the_other_order() -> None:
    first = EnvChange(container="app", name="X", before=None, after=variable("X", "1"))
    second = EnvChange(container="app", name="X", before=variable("X", "1"), after=variable("X", "2"))
    third = AnnotationChange(name=RESTARTED_AT, before=None, after="2026-07-01T12:00:00Z")
    held = _with_env(variable("A", "1"))
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
    original = _text(held)
    made = changed(held, [change], {})
    assert made["metadata"].get("annotations", {}).get(RESTARTED_AT) == after
    assert made["metadata"].get("annotations") != {}
    # the API sorts the names of a map
    assert _text(changed(made, inverse([change]), {})) == original


def test_a_revision_is_its_replica_sets_template_without_the_hash_and_is_taken_back() -> None:
    sets = {held["metadata"]["name"]: held for held in (replica_set(1, container()), replica_set(2, container("b")))}
    for number, held in enumerate(sets.values()):
        held["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = f"h{number}"
    one, two = sets
    change = RevisionChange(before=2, before_set=two, after=1, after_set=one)
    held = template(container("b"))
    stored = _text(sets)
    made = changed(held, [change], sets)
    assert made == template(container())
    assert json.dumps(changed(made, inverse([change]), sets)) == json.dumps(held)
    assert _text(sets) == stored


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
        changed(_with_env(variable("X", "1"), variable("X", "2")), [change], {})


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


def _probing(**header: str) -> Object:
    return container(livenessProbe={"httpGet": {"path": "/", "httpHeaders": [header]}})


def _secretive(kind: str, secret: str) -> Object:
    """A template that holds ``secret`` in one of the places where templates of real services hold them."""
    made = template(container())
    match kind:
        case "env":
            made = template(container("app", variable("EXTRA", secret)))
        case "init env":
            made["spec"]["initContainers"] = [container("init", variable("EXTRA", secret))]
        case "annotation":
            made["metadata"]["annotations"] = {"example.com/note": secret}
        case "args":
            made["spec"]["containers"][0]["args"] = ["serve", secret]
        case "command":
            made["spec"]["containers"][0]["command"] = ["sh", "-c", f"exec run --with '{secret}'"]
        case "pull":
            made["spec"]["imagePullSecrets"] = [{"name": "regcred"}, {"dockerconfigjson": secret}]
        case "image":
            made["spec"]["containers"][0]["image"] = secret
        case "name":
            made["metadata"]["annotations"] = {secret: "1"}
        case _:
            made = template(_probing(name="X-Extra", value=secret))
    return made


_PLACES = ["env", "init env", "annotation", "args", "command", "pull", "image", "name", "header"]


@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED.keys())
def test_no_planted_secret_is_in_a_diff(secret: str, place: str) -> None:
    held = _secretive(place, secret)
    for lines in (diff(template(), held), diff(held, template()), diff(held, _secretive(place, f"{secret}0"))):
        assert lines
        assert MARK not in "\n".join(lines).lower()


@pytest.mark.parametrize(
    "held",
    [
        template(container("app", variable("DB_PASS", MARK))),
        template(container(args=["--password", MARK])),
        template(container(args=["--verbose", "--mistral.api-key", MARK])),
        template(container(command=["run", f"--client-secret={MARK}"])),
        template(_probing(name="Authorization", value=f"Basic {MARK}")),
        template(_probing(name="X-Api-Key", value=MARK)),
        template(_probing(name="Cookie", value=MARK)),
        {"metadata": {"annotations": {"example.com/password.v1": MARK}}},
        {"metadata": {"annotations": {"vault.example.com/token": f"a b {MARK}"}}},
        template(volumes=[{"name": "v", "csi": {"volumeAttributes": {"storageAccountKey": MARK}}}]),
    ],
    ids=["env", "flag", "dots", "equals", "basic", "header", "cookie", "name", "spaces", "volume"],
)
def test_what_a_name_tells_to_be_secret_is_masked(held: Object) -> None:
    lines = diff(template(), held)
    assert any("***" in line for line in lines)
    assert MARK not in "\n".join(lines)


@pytest.mark.parametrize(("name", "shown"), [("PASSWORD", "***"), ("PROMPT", f"{'x' * 79}…")])
def test_two_secrets_or_long_values_that_differ_are_told_as_changed(name: str, shown: str) -> None:
    before, after = (template(container("app", variable(name, "x" * 500 + end))) for end in "ab")
    path = f"spec.containers[app].env[{name}]"
    assert diff(before, after) == (f"- {path}: {shown}", f"+ {path}: {shown} (changed)")


def test_a_flag_that_holds_its_value_hides_nothing_after_it() -> None:
    before, after = (template(container(args=["--api-key=x", f"--port={port}"])) for port in (1, 2))
    assert diff(before, after) == (
        "- spec.containers[app].args[1]: --port=1",
        "+ spec.containers[app].args[1]: --port=2",
    )


def test_a_diff_names_each_thing_that_changes_and_nothing_else() -> None:
    before = template(
        container("app", variable("A", "1"), variable("MODE", ""), taken("KEY", "s", "a"), args=["serve", "--port=80"])
    )
    after = template(
        container("app", variable("A", "1"), variable("MODE", "queue"), taken("KEY", "s", "b"), args=["serve"]),
        automountServiceAccountToken=False,
    )
    assert diff(before, after) == (
        "- spec.containers[app].args[1]: --port=80",
        "- spec.containers[app].env[MODE]: empty",
        "+ spec.containers[app].env[MODE]: queue",
        "- spec.containers[app].env[KEY]: from Secret s, key a",
        "+ spec.containers[app].env[KEY]: from Secret s, key b",
        "+ spec.automountServiceAccountToken: false",
    )


def test_a_change_of_one_of_two_mounts_of_the_same_volume_is_shown() -> None:
    def mounting(first: str) -> Object:
        mounts = [{"name": "config", "mountPath": first}, {"name": "config", "mountPath": "/b"}]
        return template(container(volumeMounts=mounts))

    assert diff(mounting("/a"), mounting("/c")) == (
        "- spec.containers[app].volumeMounts[config].mountPath: /a",
        "+ spec.containers[app].volumeMounts[config].mountPath: /c",
    )


def test_what_differs_in_its_type_or_its_order_alone_is_shown() -> None:
    def porting(port: object) -> Object:
        return template(container(readinessProbe={"tcpSocket": {"port": port}}))

    path = "spec.containers[app].readinessProbe.tcpSocket.port"
    assert diff(porting(80), porting("80")) == (f"- {path}: 80", f"+ {path}: 80 (changed)")
    before, after = (_with_env(variable(a, "1"), variable(b, "1")) for a, b in ("XY", "YX"))
    assert diff(before, after) == ("+ order: changed",)


def test_a_value_cannot_pass_for_another_line_nor_turn_the_writing_round() -> None:
    (line,) = diff(template(), template(hostname="a\n- spec.hostname: b\u202e\x00"))
    assert line == "+ spec.hostname: a\\n- spec.hostname: b\\u202e\\x00"


def test_hostile_and_huge_templates_are_compared_in_time_and_their_values_cut() -> None:
    deep: Object = {}
    for _ in range(150):
        deep = {"a": [deep]}
    huge = template(container("app", *(variable(f"V{number}", "x" * 100) for number in range(3000))), deep=deep)
    huge["metadata"]["annotations"] = {"example.com/blob": "password=" * 100_000}
    huge["spec"]["hostname"] = "y" * 1_000_000
    begun = time.process_time()
    lines = diff(template(), huge)
    assert time.process_time() - begun < 5
    assert len(lines) > 3000
    assert max(map(len, lines)) < 2000


@given(_pairs(_SCALARS | st.none()), _CHANGES, st.sampled_from([None, "x", {}]))
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
