"""What the sandbox tells the bot to ask."""

from urllib.parse import urlsplit

from bot.configuration import load
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import ClusterSpec, Expect, Scenario, load_scenarios


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
