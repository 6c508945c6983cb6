"""Pod templates to change and to compare: any that JSON could hold, and one whose variables are given."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.objects import Object, container, template, variable

_NAMES = st.sampled_from(["name", "value", "env", "spec", "containers", "app", "a.b", "b", "[0]", "", "annotations"])
SCALARS = st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "1", "true", "None", "app", "b\n+ c"])


def _json(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda held: st.lists(held, max_size=4) | st.dictionaries(_NAMES, held, max_size=4),
        max_leaves=12,
    )


def objects(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    """Small enough that two have names in common."""
    return st.dictionaries(_NAMES, _json(scalars), max_size=4)


@st.composite
def pairs(draw: st.DrawFn, scalars: st.SearchStrategy[Any] = SCALARS) -> tuple[Object, Object]:
    """Two templates, which differ in one place more often than in all."""
    before = draw(objects(scalars))
    after = deepcopy(before)
    at = after
    while draw(st.booleans()) and any(isinstance(value, dict) for value in at.values()):
        at = draw(st.sampled_from([value for value in at.values() if isinstance(value, dict)]))
    at[draw(_NAMES)] = draw(_json(scalars))
    return before, draw(st.sampled_from([after, draw(objects(scalars))]))


def text(held: object) -> str:
    """What is the same to the API is the same text: the order of names is not."""
    return json.dumps(held, sort_keys=True)


def with_env(*env: Object) -> Object:
    """Of its two containers ``app``, the second, has these variables."""
    return template(container("proxy", variable("PORT", "1")), container("app", *env))
