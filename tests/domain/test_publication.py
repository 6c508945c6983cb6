"""How the components of a status page fare while incidents that affect them are open."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.publication import (
    ENDED,
    ComponentState,
    Impact,
    PublicIncident,
    PublicStatus,
    PublicUpdate,
    component_states,
)
from tests.fakes import NOW

UPDATE = PublicUpdate(number=1, status=PublicStatus.INVESTIGATING, text="Answers are slow.", workaround="", at=NOW)
INCIDENT = PublicIncident(
    incident=1,
    slug="5f2c",
    title="Slow answers",
    status=PublicStatus.INVESTIGATING,
    impact=Impact.MINOR,
    components={"Chat": ComponentState.DEGRADED},
    began_at=NOW,
    resolved_at=None,
    updates=(UPDATE,),
)
NAMES = ("Chat", "Search", "Billing")


def test_a_component_that_no_open_incident_affects_works() -> None:
    ended = replace(INCIDENT, status=PublicStatus.RESOLVED, resolved_at=NOW)
    assert component_states(NAMES, [ended]) == dict.fromkeys(NAMES, ComponentState.OPERATIONAL)


def test_the_worst_of_two_incidents_counts_and_goes_with_its_end() -> None:
    worse = replace(INCIDENT, incident=2, components={"Chat": ComponentState.MAJOR})
    assert component_states(NAMES, [worse, INCIDENT])["Chat"] is ComponentState.MAJOR
    over = replace(worse, status=PublicStatus.RESOLVED)
    assert component_states(NAMES, [over, INCIDENT])["Chat"] is ComponentState.DEGRADED


def test_a_component_that_the_settings_no_longer_name_is_told_as_long_as_it_is_affected() -> None:
    assert component_states((), [INCIDENT]) == {"Chat": ComponentState.DEGRADED}


@pytest.mark.parametrize("status", PublicStatus)
def test_an_incident_is_open_until_its_end_is_published(status: PublicStatus) -> None:
    assert replace(INCIDENT, status=status).open == (status not in ENDED)


incidents = st.lists(
    st.builds(
        lambda status, components: replace(INCIDENT, status=status, components=components),
        st.sampled_from(PublicStatus),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ComponentState)),
    ),
    max_size=5,
)


@given(held=incidents)
def test_nothing_is_better_than_an_open_incident_says_and_nothing_worse_than_any_does(
    held: list[PublicIncident],
) -> None:
    order = list(ComponentState)
    for name, state in component_states(NAMES, held).items():
        said = [one.components[name] for one in held if one.open and name in one.components]
        assert order.index(state) == max(map(order.index, said), default=0)
