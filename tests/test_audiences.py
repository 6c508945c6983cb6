"""``stakeholders``, ``status_page`` and ``provider_watch`` of the YAML file: each key right, each wrong value told."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.causes import Severity
from bot.domain.policy import Watch
from bot.settings import StatusPageSettings
from tests.test_policies import configured, problem


def test_without_them_only_the_bots_own_page_is_on_and_the_provider_is_watched_as_the_runbook_does(
    tmp_path: Path,
) -> None:
    held = configured(tmp_path, "{}")
    assert held.policy.stakeholders == {}
    assert held.status_page == StatusPageSettings(builtin=True, folder=None)
    assert held.policy.watch == Watch(page_every=timedelta(seconds=60), probe_every=timedelta(seconds=30), successes=3)


WHOLE = """
stakeholders:
  P1: [C0SUPPORT, G0EXECUTIVES, C0SUPPORT]
  P2: [C0SUPPORT]
status_page:
  builtin: false
  name: "  Acme  Status "
  url: https://status.acme.example/base/
  logo: https://acme.example/logo.svg
  links: {Support: https://acme.example/help, Home: http://acme.example}
  folder: /srv/status
  names_provider: true
provider_watch: {page_every: 90, probe_every: 15.5, successes: 5}
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    held = configured(tmp_path, WHOLE)
    assert held.policy.stakeholders == {Severity.P1: ("C0SUPPORT", "G0EXECUTIVES"), Severity.P2: ("C0SUPPORT",)}
    assert held.status_page == StatusPageSettings(
        builtin=False,
        name="Acme Status",
        url="https://status.acme.example/base",
        logo="https://acme.example/logo.svg",
        links=(("Support", "https://acme.example/help"), ("Home", "http://acme.example")),
        folder=Path("/srv/status"),
        names_provider=True,
    )
    assert held.policy.watch == Watch(
        page_every=timedelta(seconds=90), probe_every=timedelta(seconds=15.5), successes=5
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stakeholders: [C0SUPPORT]", "a map"),
        ("stakeholders: {P5: [C0SUPPORT]}", "known are P1"),
        ("stakeholders: {P1: C0SUPPORT}", "ids of channels"),
        ("stakeholders: {P1: ['#support']}", "ids of channels"),
        ("status_page: {nam: x}", "did you mean name?"),
        ("status_page: {name: ''}", "a name of at most 80"),
        ("status_page: {url: 'javascript:alert(1)'}", "an http:// or https:// URL"),
        ("status_page: {logo: 'https://a b'}", "an http:// or https:// URL"),
        ("status_page: {logo: 'https://ada:pw@a.example/x.svg'}", "without a user or a password"),
        ("status_page: {logo: 'https://a;script-src/x.svg'}", "of a host"),
        ("status_page: {links: [https://a.example]}", "a map of at most 10"),
        ("status_page: {links: {Help: 'data:text/html,x'}}", "an http:// or https:// URL"),
        ("status_page: {builtin: maybe}", "true or false"),
        ("status_page: {folder: 3}", "the path of a folder"),
        ("provider_watch: {page_every: 0}", "a number of seconds from 1"),
        ("provider_watch: {successes: 1.5}", "a whole number from 1"),
        ("provider_watch: {probe: 30}", "did you mean probe_every?"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in problem(tmp_path, text)
