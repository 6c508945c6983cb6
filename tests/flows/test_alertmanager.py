"""The whole way: a metric rises, Prometheus' rule fires, Alertmanager calls the unmodified bot, which is a process."""

from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from tests.alertmanager import alerting, alertmanager_or_skip
from tests.databases import store_at
from tests.flows.alerting import TOKEN
from tests.flows.test_incidents import cards, said


async def test_a_metric_rises_an_incident_opens_once_it_falls_and_resolve_is_asked_for() -> None:
    alertmanager_or_skip()
    told = {"ALERTMANAGER_TOKEN": TOKEN}
    sandbox = Sandbox(load_scenarios()["rate limited under the usual traffic"], environ=told)
    await sandbox.start()
    slack, environ = sandbox.slack.workspace, sandbox.environment()
    try:
        await sandbox.start_bot()
        await sandbox.slack.wait_connected()
        async with alerting(sandbox, f"http://127.0.0.1:{environ['PORT']}", TOKEN) as servers:
            servers.failing = 1.0
            (card,) = await slack.wait_for(lambda: cards(slack), timeout_s=20)
            assert "P2 INC-1: MistralErrors: more than 5 % of requests fail" in card.text
            await slack.wait_for(lambda: "Triage: " in card.all_text)
            assert "Alerts: 1 fires (MistralErrors), the first began" in card.all_text
            await servers.repeats(3)
            assert said(slack, "Resolve?") == []
            servers.failing = 0.0
            await slack.wait_for(lambda: said(slack, "All alerts of INC-1 are resolved. Resolve?"), timeout_s=20)
            await slack.wait_for(lambda: "Alerts: all resolved" in card.all_text)
        assert cards(slack) == [card]
        assert len(said(slack, "Resolve?")) == 1
        assert len(said(slack, "This alert fires")) == 1
        store = store_at(environ["DATABASE_URL"])
        kinds = [entry.event.kind.value for entry in await store.timeline(1)]
        await store.close()
        assert sorted(kinds) == ["alert", "alert", "declared", "triage"]
    finally:
        await sandbox.close()


async def test_what_was_written_before_a_kill_is_worked_in_once_and_what_was_not_is_told_again() -> None:
    """SIGKILL at once after the answer, and while it is not answered; Alertmanager repeats what it did not hear of."""
    alertmanager_or_skip()
    sandbox = Sandbox(load_scenarios()["all is well"], environ={"ALERTMANAGER_TOKEN": TOKEN})
    await sandbox.start()
    slack, environ = sandbox.slack.workspace, sandbox.environment()
    try:
        async with alerting(sandbox, f"http://127.0.0.1:{environ['PORT']}", TOKEN) as servers:
            servers.failing = 1.0
            for _ in range(3):
                # whenever it comes: Alertmanager calls all the time
                await sandbox.start_bot()
                await sandbox.slack.wait_connected()
                await sandbox.kill_bot()
            await sandbox.start_bot()
            (card,) = await slack.wait_for(lambda: cards(slack), timeout_s=20)
            await servers.repeats(2)
        assert cards(slack) == [card]
        store = store_at(environ["DATABASE_URL"])
        kinds = [entry.event.kind.value for entry in await store.timeline(1)]
        assert (len(await store.listed(open_only=False, limit=9)), kinds.count("alert")) == (1, 1)
        await store.close()
    finally:
        await sandbox.close()
