"""The doctor on pagers: which are set, and nothing of what they hold."""

from bot.checks.pagers import CHECK
from tests.doctors import examined, lines


async def test_what_is_set_is_told_without_what_it_holds() -> None:
    environ = {"PAGERDUTY_ROUTING_KEY": "planted1" * 4, "PAGER_WEBHOOK_URL": "https://example.com/planted"}
    assert lines(await examined(CHECK, environ)) == [
        (True, "PagerDuty: PAGERDUTY_ROUTING_KEY is set (32 characters); not tried"),
        (True, "webhook: PAGER_WEBHOOK_URL is set (27 characters); not tried"),
    ]


async def test_without_any_pagers_are_not_configured() -> None:
    assert await examined(CHECK, {}) == ()
