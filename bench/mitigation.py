"""From the click that approves a mitigation to the patch at the API server, in a bot that is a process of its own."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, bot, end, scaled
from bot.domain.scopes import SCOPES
from bot.sandbox.launcher import Sandbox
from bot.sandbox.scenario import load_scenarios
from bot.sandbox.slack import Message

ROBIN, ADA = "U0REQUESTER", "U0APPROVER"
ROUNDS = scaled(8, least=3)
# Promised from the click to the patch, beyond the API server's own time.
PATCH_S = 0.3
_POLICY = f"""
approvers: [{{users: [{ADA}]}}]
mitigations: {{per_hour: 100, verify_every: 1, successes: 1}}
"""
_WAIT_S = 30.0
_LOOK_S = 0.002


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "bot.yaml")
        await asyncio.to_thread(config.write_text, _POLICY)
        sandbox = Sandbox(load_scenarios()["all is well"], environ={"MISTRAL_BOT_CONFIG": str(config)})
        sandbox.slack.workspace.scopes = set(SCOPES)
        await sandbox.start()
        process = await bot("run", environ=sandbox.environment())
        try:
            await sandbox.slack.wait_connected()
            await sandbox.ready()
            took = [await _click_to_patch(sandbox, number) for number in range(ROUNDS)]
        finally:
            await end(process)
            await sandbox.close()
    # the first one pays for what is loaded when it is needed first
    return [
        Figure(what="approval click to patch, the first", value=took[0], unit="s", limit=PATCH_S),
        Figure(what="approval click to patch, median", value=statistics.median(took[1:]), unit="s", limit=PATCH_S),
    ]


async def _click_to_patch(sandbox: Sandbox, number: int) -> float:
    """The value differs each time, so that there is something to change."""
    slack = sandbox.slack.workspace
    await slack.command("mitigate limit_concurrency", user=ROBIN)
    form = await slack.wait_for(lambda: slack.views.get(ROBIN), timeout_s=_WAIT_S)
    told = {"reason": "to be measured", "argument_value": str(number + 1)}
    if number == 0:
        told |= {"title": "Measured", "severity": "P3"}
    await slack.submit(form, {block: {"value": value} for block, value in told.items()})

    def waiting() -> list[Message]:
        return [one for one in slack.messages if "waits for approval" in one.all_text]

    card: Message = (await slack.wait_for(waiting, timeout_s=_WAIT_S))[0]
    before, began = _patches(sandbox), time.monotonic()
    click = asyncio.create_task(slack.click(card, "approve", user=ADA))
    async with asyncio.timeout(_WAIT_S):
        while _patches(sandbox) == before:  # noqa: ASYNC110 - what is measured is when it arrives
            await asyncio.sleep(_LOOK_S)
    took = time.monotonic() - began
    await click
    await slack.wait_for(lambda: ": *fixed*" in card.all_text, timeout_s=_WAIT_S)
    return took


def _patches(sandbox: Sandbox) -> int:
    return sum(one.upstream == "kubernetes" and one.method == "PATCH" for one in sandbox.world.requests)
