"""The diff of two pod templates: each thing that changes on a line of its own, and no secret in any."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.changes import diff
from tests.domain.templates import SCALARS, pairs, text, with_env
from tests.objects import Object, container, taken, template, variable
from tests.planted import MARK, PLANTED


@given(pairs(SCALARS | st.none()))
def test_templates_that_differ_have_a_diff_of_lines_and_others_none(pair: tuple[Object, Object]) -> None:
    lines = diff(*pair)
    assert bool(lines) is (text(pair[0]) != text(pair[1]))
    assert all(line.startswith(("- ", "+ ")) and len(line.splitlines()) == 1 for line in lines)


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
    before, after = (with_env(variable(a, "1"), variable(b, "1")) for a, b in ("XY", "YX"))
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
