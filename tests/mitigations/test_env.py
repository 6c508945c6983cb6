"""Remedies that set a variable: in which container, to which value, what was there before, and what is refused."""

import pytest

from bot.domain.changes import EnvChange, changed, inverse
from bot.domain.incident import Refusal
from bot.domain.remedies import EnvSpec
from bot.domain.workload import template
from bot.mitigations._env import EnvRemedy
from tests.mitigations.asks import ask, planned, refusal, remedy
from tests.objects import Object, container, deployment, taken, variable

KEY = taken("MISTRAL_API_KEY", "mistral-secrets", "api-key")
QUEUE = variable("RATE_LIMIT_MODE", "queue")
ON, OFF = variable("MISTRAL_FALLBACK", "true"), variable("MISTRAL_FALLBACK", "false")
PLANTED = "ghp_planted0123456789planted"


@pytest.mark.parametrize(
    ("held", "where"),
    [
        (deployment(container("app")), ["app"]),
        (deployment({"name": "app", "image": "service:1"}), ["app"]),
        (deployment({"name": "app", "env": None}), ["app"]),
        (deployment(container("app", KEY), container("proxy")), ["app"]),
        (deployment(container("proxy"), container("app", KEY)), ["app"]),
        (deployment(container("app", KEY), container("proxy", variable("RATE_LIMIT_MODE", "reject"))), ["proxy"]),
        (deployment(container("app", KEY), container("worker", KEY), container("proxy")), ["app", "worker"]),
        (
            deployment(
                container("one", variable("RATE_LIMIT_MODE", "reject")),
                container("two", variable("RATE_LIMIT_MODE", "drop")),
                container("app", KEY),
            ),
            ["one", "two"],
        ),
        (deployment(container("app", variable("MISTRAL_API_KEY", "x")), container("proxy")), ["app"]),
        (
            deployment(container("proxy"), container("app", envFrom=[{"secretRef": {"name": "mistral-secrets"}}])),
            ["app"],
        ),
        (
            deployment(
                container("proxy"),
                container("app", volumeMounts=[{"name": "keys", "mountPath": "/keys"}]),
                volumes=[{"name": "keys", "secret": {"secretName": "mistral-secrets"}}, {"name": "tmp"}],
            ),
            ["app"],
        ),
        (deployment(container("one"), container("two")), ["one", "two"]),
        (
            deployment(
                container("one"),
                container("two"),
                initContainers=[container("setup", KEY, variable("RATE_LIMIT_MODE", "reject"))],
            ),
            ["one", "two"],
        ),
    ],
    ids=[
        *("no env", "env missing", "env null", "sidecar", "sidecar first", "the sidecar has it", "two take the key"),
        *("two have it", "literal key", "envFrom", "as files", "nobody takes the key", "init container"),
    ],
)
async def test_the_container_is_the_one_that_has_the_variable_else_that_with_the_key_else_every_one(
    held: Object, where: list[str]
) -> None:
    changes = await planned("rate_limit_queue", ask(held))
    assert [change.container for change in changes if isinstance(change, EnvChange)] == where
    assert {change.after["value"] for change in changes if isinstance(change, EnvChange) and change.after} == {"queue"}


async def test_a_change_holds_the_whole_entry_before_and_after_and_goes_back_byte_for_byte() -> None:
    from_map = {"name": "MISTRAL_FALLBACK", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "fallback"}}}
    for env in ([], [KEY], [OFF], [KEY, OFF, QUEUE], [from_map], [{"name": "MISTRAL_FALLBACK"}]):
        held = deployment(container("app", *env)) if env else deployment({"name": "app", "image": "service:1"})
        changes = await planned("fallback", ask(held))
        before = next((entry for entry in env if entry["name"] == "MISTRAL_FALLBACK"), None)
        assert changes == (EnvChange(container="app", name="MISTRAL_FALLBACK", before=before, after=ON),)
        there = changed(template(held), changes, {})
        assert there["spec"]["containers"][0]["env"] == [
            *(ON if entry is before else entry for entry in env),
            *([] if before else [ON]),
        ]
        assert changed(there, inverse(changes), {}) == template(held)


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("rate_limit_queue", {}, "queue"),
        ("rate_limit_queue", {"value": "queue"}, "queue"),
        ("limit_concurrency", {}, "5"),
        ("limit_concurrency", {"value": " "}, "5"),
        ("limit_concurrency", {"value": "1"}, "1"),
        ("limit_concurrency", {"value": "1000"}, "1000"),
        ("limit_concurrency", {"value": " 0007 "}, "7"),
        ("raise_timeout", {}, "60000"),
        ("raise_timeout", {"value": "600000"}, "600000"),
        ("fallback", {}, "true"),
        ("fallback", {"value": "on"}, "true"),
        ("fallback", {"value": "On"}, "true"),
        ("fallback", {"value": "true"}, "true"),
        ("fallback", {"value": "off"}, "false"),
        ("fallback", {"value": "FALSE"}, "false"),
    ],
)
async def test_the_value_is_the_usual_one_or_what_was_asked_for(
    name: str, arguments: dict[str, str], value: str
) -> None:
    (change,) = await planned(name, ask(arguments=arguments))
    assert isinstance(change, EnvChange)
    assert change.after == {"name": change.name, "value": value}
    # what is stored of it means the same
    (again,) = await planned(name, ask(arguments=dict(remedy(name).checked(arguments))))
    assert again == change


HOSTILE = [
    *("0", "600001", "-5", "+5", "5.0", "5e1", "0x5", "1_0", "five", "5 6", "5\n6", "5;reboot", "$(id)"),
    # digits of other alphabets are none
    *("\u0665", "\uff15"),
    *("9" * 5000, "<!channel>", "null", "5\0", PLANTED),
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["limit_concurrency", "raise_timeout", "fallback", "rate_limit_queue"])
async def test_any_other_value_is_refused_with_what_it_takes_and_not_quoted(name: str, value: str) -> None:
    told = await refusal(name, ask(arguments={"value": value}))
    assert told.startswith(f"{name} ")
    assert len(told) < 100
    assert "<!" not in told
    assert "planted" not in told
    for method in (remedy(name).checked, remedy(name).temporary_with):
        with pytest.raises(Refusal):
            method({"value": value})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("limit_concurrency", "limit_concurrency takes a whole number from 1 to 1000."),
        ("raise_timeout", "raise_timeout takes a whole number from 1000 to 600000 ms."),
        ("fallback", "fallback is turned on or off."),
        ("rate_limit_queue", "rate_limit_queue sets RATE_LIMIT_MODE to queue, and to nothing else."),
    ],
)
def test_the_sentence_says_what_it_takes(name: str, sentence: str) -> None:
    with pytest.raises(Refusal) as told:
        remedy(name).checked({"value": "much"})
    assert str(told.value) == sentence


def test_what_a_remedy_does_not_ask_for_is_refused_and_blanks_are_nothing() -> None:
    assert remedy("fallback").checked({"value": "", "revision": " "}) == {}
    with pytest.raises(Refusal, match=r"^fallback takes nothing more to be filled in\.$"):
        remedy("fallback").checked({"value": "on", "revision": "3"})


@pytest.mark.parametrize(
    ("name", "arguments", "env", "sentence"),
    [
        ("fallback", {}, [ON], "MISTRAL_FALLBACK is true already."),
        ("fallback", {"value": "off"}, [OFF], "MISTRAL_FALLBACK is false already."),
        ("rate_limit_queue", {}, [QUEUE], "RATE_LIMIT_MODE is queue already."),
        ("limit_concurrency", {"value": "05"}, [variable("MAX_CONCURRENT_REQUESTS", "5")], "MAX_CONCURRENT_REQUESTS"),
    ],
)
async def test_what_is_set_already_is_refused(
    name: str, arguments: dict[str, str], env: list[Object], sentence: str
) -> None:
    told = await refusal(name, ask(deployment(container("app", *env)), arguments=arguments))
    assert told.startswith(sentence)
    assert told.endswith(" already.")


async def test_of_two_containers_only_the_one_is_changed_in_which_it_is_not_set_already() -> None:
    held = deployment(container("one", ON), container("two", OFF))
    assert await planned("fallback", ask(held)) == (
        EnvChange(container="two", name="MISTRAL_FALLBACK", before=OFF, after=ON),
    )


@pytest.mark.parametrize(
    "before",
    [
        variable("MISTRAL_FALLBACK", PLANTED),
        variable("MISTRAL_FALLBACK", f"https://robin:{PLANTED}@example.com"),
        variable("MISTRAL_FALLBACK", "x" * 200 + f" password={PLANTED}"),
        taken("MISTRAL_FALLBACK", "planted-secret", "k"),
    ],
)
async def test_a_value_that_looks_like_a_secret_is_neither_replaced_nor_shown(before: Object) -> None:
    told = await refusal("fallback", ask(deployment(container("app", before))))
    assert told.startswith("MISTRAL_FALLBACK of container app holds what looks like a secret")
    assert "planted" not in told


async def test_a_variable_that_a_container_has_twice_is_left_to_people() -> None:
    told = await refusal("fallback", ask(deployment(container("app", OFF, KEY, ON))))
    assert told == "Container app sets MISTRAL_FALLBACK 2 times; leave one of them first."


@pytest.mark.parametrize(
    ("before", "asked", "sentence"),
    [
        ("90000", {}, "MISTRAL_TIMEOUT is 90000 already, which is more than 60000; ask for a higher value."),
        ("90000", {"value": "90000"}, "MISTRAL_TIMEOUT is 90000 already."),
    ],
)
async def test_a_time_out_is_raised_and_never_lowered(before: str, asked: dict[str, str], sentence: str) -> None:
    held = deployment(container("app", variable("MISTRAL_TIMEOUT", before)))
    assert await refusal("raise_timeout", ask(held, arguments=asked)) == sentence
    (change,) = await planned("raise_timeout", ask(held, arguments={"value": "90001"}))
    assert isinstance(change, EnvChange)
    assert change.after == variable("MISTRAL_TIMEOUT", "90001")


@pytest.mark.parametrize("before", ["30s", "", "-1", "9" * 40])
async def test_a_time_out_that_is_no_plain_number_is_replaced(before: str) -> None:
    held = deployment(container("app", variable("MISTRAL_TIMEOUT", before)))
    assert len(await planned("raise_timeout", ask(held))) == 1


async def test_a_limit_may_be_loosened_which_the_preview_shows() -> None:
    held = deployment(container("app", variable("MAX_CONCURRENT_REQUESTS", "5")))
    assert len(await planned("limit_concurrency", ask(held, arguments={"value": "10"}))) == 1


@pytest.mark.parametrize(
    "held",
    [{}, {"spec": None}, {"spec": {"template": {"spec": {"containers": "app"}}}}, deployment(initContainers=[KEY])],
)
async def test_a_deployment_without_a_container_is_refused(held: Object) -> None:
    if held.get("spec") and "containers" in held["spec"]["template"]["spec"]:
        held["spec"]["template"]["spec"]["containers"] = []
    assert await refusal("fallback", ask(held)) == "The deployment has no containers."


def test_a_value_that_is_called_as_its_opposite_is_turned_on_by_on() -> None:
    inverted = EnvSpec(what="x", variable="MISTRAL_ENABLED", value="off", off="on")
    held = EnvRemedy(name="inverted", spec=inverted)
    assert held.checked({"value": "on"}) == {"value": "on"}
    assert held.temporary_with({"value": "on"})
    assert not held.temporary_with({"value": "off"})
