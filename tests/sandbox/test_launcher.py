"""What the sandbox tells the bot to ask."""

import json
from urllib.parse import urlsplit

import pytest

from bot.configuration import load
from bot.sandbox.clock import MovedClock
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario, load_scenarios
from bot.sandbox.story import load_stories


async def test_whatever_happens_the_bot_is_sent_nowhere_outside_this_machine() -> None:
    keyed = Scenario(name="a key in the cluster alone", cluster=ClusterSpec(), expect=Expect(cause="", severity=""))
    sandbox = Sandbox(keyed)
    await sandbox.start()
    try:
        for scenario in (keyed, *load_scenarios().values()):
            sandbox.world.scenario = scenario
            settings = load(sandbox.environment())
            target = settings.target("default")
            urls = {
                settings.slack.api_url,
                target.mistral.api_url,
                target.mistral.status_url,
                target.service_health_url,
                target.prometheus.url,
            }
            hosts = {urlsplit(url).hostname for url in urls if url is not None}
            assert hosts <= {"127.0.0.1", "mistral.invalid"}, scenario.name
    finally:
        await sandbox.close()


async def test_the_command_line_answers_beside_a_moved_clock_and_says_why_it_fails() -> None:
    sandbox = Sandbox(load_stories()["all is well"].scenario, clock=MovedClock())
    await sandbox.start()
    try:
        sandbox.move_clock(3 * 86_400)
        report = json.loads(await sandbox.asked("triage", "--output", "json"))
        assert report["cause"] == "healthy"
        with pytest.raises(LookupError, match=r"metrics says: .*no database"):
            await sandbox.asked("metrics")
    finally:
        await sandbox.close()
