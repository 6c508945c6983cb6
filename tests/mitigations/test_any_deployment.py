"""Whatever a deployment looks like, a remedy plans what goes back exactly, or refuses without telling a secret."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from bot.domain.changes import Change, changed, inverse, template_hash
from bot.domain.incident import Refusal
from bot.domain.redaction import MASK
from bot.domain.remedies import ENV_REMEDIES, RemedyName
from bot.domain.workload import shown_value, template
from bot.mitigations import load
from bot.ports import Ask
from tests.mitigations.asks import ask
from tests.objects import Object, deployment, replica_set

REMEDIES = load(ENV_REMEDIES)
NAMES = [*(spec.variable for spec in ENV_REMEDIES.values()), "MISTRAL_API_KEY", "OTHER"]
PLANTED = "ghp_planted0123456789planted"

values = st.one_of(
    st.sampled_from(["true", "false", "queue", "5", "60000", "90000"]),
    # the second stands behind where a value that is shown is cut
    st.sampled_from([PLANTED, f"{'x' * 100} {PLANTED}"]),
    st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20),
)
sources = st.sampled_from(
    [
        {"secretKeyRef": {"name": "mistral-secrets", "key": "api-key"}},
        {"configMapKeyRef": {"name": "flags", "key": "k"}},
        {"fieldRef": {"fieldPath": "metadata.name"}},
    ]
)


@st.composite
def entries(draw: st.DrawFn) -> Object:
    name = draw(st.sampled_from(NAMES))
    return draw(
        st.one_of(
            st.builds(lambda value: {"name": name, "value": value}, values),
            st.builds(lambda source: {"name": name, "valueFrom": source}, sources),
            st.just({"name": name}),
        )
    )


def containers(*names: str) -> st.SearchStrategy[list[Object]]:
    env = st.lists(entries(), min_size=3, max_size=6, unique_by=lambda entry: entry["name"])
    held = st.fixed_dictionaries({"name": st.just("?")}, optional={"env": env})
    return st.lists(held, min_size=0, max_size=len(names)).map(
        lambda found: [{**one, "name": name} for one, name in zip(found, names, strict=False)]
    )


def of(held: list[Object], init: list[Object]) -> Object:
    made = deployment(initContainers=init)
    made["spec"]["template"]["spec"]["containers"] = held
    return made


@settings(max_examples=300, deadline=None)
@given(
    held=containers("app", "proxy", "worker"),
    init=containers("setup"),
    name=st.sampled_from([name for name in RemedyName if name != RemedyName.ROTATE_KEY]),
    value=st.one_of(st.none(), st.sampled_from(["on", "off", "7", "90000", "1"]), values),
)
def test_a_plan_goes_back_exactly_and_shows_no_secret(
    held: list[Object], init: list[Object], name: str, value: str | None
) -> None:
    wanted = of(held, init)
    before = template(wanted)
    pinned = template_hash(before)
    earlier, now = replica_set(1), replica_set(2)
    now["spec"]["template"] = wanted["spec"]["template"]
    arguments: dict[str, Any] = {} if value is None else {"revision" if name == "rollback" else "value": value}
    changes = asyncio.run(_planned(name, ask(wanted, earlier, now, arguments=arguments)))
    if isinstance(changes, str):
        event("refused")
        assert "planted" not in changes
        assert "\n" not in changes
        return
    event("planned")
    assert template_hash(before) == pinned, "planning has changed what it was given"
    sets = {one["metadata"]["name"]: one for one in (earlier, now)}
    after = changed(before, changes, sets)
    assert after != before
    assert changed(after, inverse(changes), sets) == before
    assert "planted" not in repr(changes)
    for change in changes:
        for entry in (getattr(change, "before", None), getattr(change, "after", None)):
            assert not isinstance(entry, dict) or MASK not in shown_value(entry)
    if name != "rollback":
        assert after["spec"].get("initContainers", []) == init


async def _planned(name: str, asked: Ask) -> Sequence[Change] | str:
    """The changes, or why not."""
    try:
        return await REMEDIES[name].plan(asked)
    except Refusal as refused:
        return str(refused)
