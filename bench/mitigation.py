"""How soon after the click is the patch accepted, beside `kubectl set env` and `kubectl rollout restart`?"""

import asyncio
import base64
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.figures import Figure, Subject, at_most, ratio_at_most, scaled, taking_turns
from bench.processes import program, shell
from bench.servers import all_is_well, the_bot
from bot.sandbox.launcher import Sandbox
from bot.sandbox.slack import Message
from tests.cluster.plane import APPS, CORE, Admin, administrator, missing, running, service

ROBIN, ADA = "U0REQUESTER", "U0APPROVER"
ROUNDS = scaled(8)
# Promised from the click to the patch in seconds, the first one too, and of kubectl's time.
PATCH_S, TIMES = 0.3, 1.0
_POLICY = f"""
approvers: [{{users: [{ADA}]}}]
mitigations: {{per_hour: 100, verify_every: 1, successes: 1}}
"""
_DEPLOYMENT = f"{APPS}/deployments/mistral-service"
_WAIT_S = 60.0
_LOOK_S = 0.002


async def measure() -> list[Figure]:
    if lacks := missing():
        raise SystemExit(f"bench: {lacks}")
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        with running(await asyncio.to_thread(_made, folder / "control-plane")) as plane:
            kubeconfig = plane.run / "admin.kubeconfig"
            # the pods have nothing to complain of: a mitigation ends once all looks well
            await asyncio.to_thread((plane.run / "app.log").write_text, "")
            async with administrator(plane) as admin, _bot(folder, kubeconfig) as sandbox:
                await _deployed(admin)
                clicks = _Clicks(sandbox, admin)
                first = await clicks.one()
                took = await taking_turns(
                    ROUNDS,
                    {
                        "bot": clicks.one,
                        "env": _typed("set env deployment/mistral-service MEASURED={number}", kubeconfig, admin),
                        "restart": _typed("rollout restart deployment/mistral-service", kubeconfig, admin),
                    },
                )
    what, goal = "approval click to the patch accepted", ratio_at_most(TIMES)
    env, restart = "kubectl set env", "kubectl rollout restart"
    return [
        Figure(what=f"{what}, the first", values=[first], unit="s", goal=at_most(PATCH_S)),
        Figure(what=what, values=took["bot"], unit="s", beside=env, reference=took["env"], goal=goal, headline=True),
        Figure(what=what, values=took["bot"], unit="s", beside=restart, reference=took["restart"], goal=goal),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def _bot(folder: Path, kubeconfig: Path) -> AsyncIterator[Sandbox]:
    """All but the cluster is the sandbox's."""
    config = folder / "bot.yaml"
    await asyncio.to_thread(config.write_text, _POLICY)
    environ = {"MISTRAL_BOT_CONFIG": str(config), "KUBECONFIG": str(kubeconfig)}
    async with all_is_well(environ) as sandbox, the_bot(sandbox):
        yield sandbox


async def _deployed(admin: Admin) -> None:
    secret = {"metadata": {"name": "mistral-secrets"}, "data": {"api-key": base64.b64encode(b"a key").decode()}}
    await admin.create(f"{CORE}/secrets", secret)
    await admin.create(f"{APPS}/deployments", service("registry.example.com/mistral-service:1.0.0"))
    await _rolled_out(admin)


async def _rolled_out(admin: Admin) -> None:
    async with asyncio.timeout(_WAIT_S):
        while True:
            held = await admin.get(_DEPLOYMENT)
            status = held.get("status", {})
            seen = status.get("observedGeneration") == held["metadata"]["generation"]
            if seen and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == 3:
                return
            await asyncio.sleep(0.1)


def _typed(command: str, kubeconfig: Path, admin: Admin) -> Subject:
    """What people type, until it says that it is done; ``{number}`` is another one each time."""
    numbers = iter(range(1_000_000))

    async def once() -> float:
        words = command.format(number=next(numbers))
        took, _ = await shell(f"{program('kubectl')} --kubeconfig {kubeconfig} {words}")
        await _rolled_out(admin)
        return took

    return once


class _Clicks:
    def __init__(self, sandbox: Sandbox, admin: Admin) -> None:
        self._slack, self._admin, self._number = sandbox.slack.workspace, admin, 0

    async def one(self) -> float:
        """Seconds; the value differs each time, so that there is something to change."""
        self._number += 1
        slack = self._slack
        await slack.command("mitigate limit_concurrency", user=ROBIN)
        form = await slack.wait_for(lambda: slack.views.get(ROBIN), timeout_s=_WAIT_S)
        told = {"reason": "to be measured", "argument_value": str(self._number)}
        if self._number == 1:
            told |= {"title": "Measured", "severity": "P3"}
        await slack.submit(form, {block: {"value": value} for block, value in told.items()})

        def waiting() -> list[Message]:
            return [one for one in slack.messages if "waits for approval" in one.all_text]

        card: Message = (await slack.wait_for(waiting, timeout_s=_WAIT_S))[0]
        began = time.perf_counter()
        click = asyncio.create_task(slack.click(card, "approve", user=ADA))
        async with asyncio.timeout(_WAIT_S):
            await self._accepted()
        took = time.perf_counter() - began
        await click
        await slack.wait_for(lambda: ": *fixed*" in card.all_text, timeout_s=_WAIT_S)
        return took

    async def _accepted(self) -> None:
        """Looks all the time: when it arrives is what is measured."""
        wanted = {"name": "MAX_CONCURRENT_REQUESTS", "value": str(self._number)}
        while True:
            (container,) = (await self._admin.get(_DEPLOYMENT))["spec"]["template"]["spec"]["containers"]
            if wanted in container.get("env", []):
                return
            await asyncio.sleep(_LOOK_S)
