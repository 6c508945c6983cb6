"""The composition root of the command line: wires by hand, once, what a command needs.

Rooms are imported within the functions: a command pays only for what it uses (Bolt costs a second, Kubernetes another).
"""

from http.client import UNAUTHORIZED

from bot.ports import Reply
from bot.settings import Settings
from bot.worlds import prober


async def health(settings: Settings, target: str) -> Reply:
    """The models probe alone, as cheaply as can be.

    A key in the settings is tried before the cluster is asked for the Secret's (which costs half a second of imports);
    where that one is refused, the service's own decides.
    """
    from bot.handlers.triage import check_health
    from bot.probes.mistral_api import PROBE

    if settings.target(target).mistral.api_key is not None:
        async with prober(settings, target=target, cluster=False) as asks:
            reply = await check_health(asks, PROBE, target)
        if reply.context["status"] != UNAUTHORIZED or not settings.target(target).kubernetes.configured:
            return reply
    async with prober(settings, target=target) as asks:
        return await check_health(asks, PROBE, target)


async def triage(settings: Settings, target: str, *, as_json: bool) -> int:
    """One triage in the terminal; returns the exit status."""
    from bot.handlers.triage import TriageHandler
    from bot.probes import load
    from bot.terminal import show_live

    settings.target(target)
    async with prober(settings, target=target) as asks:
        handler = TriageHandler(prober=asks, probes=load())
        if as_json:
            import json

            report = await handler.run(target)
            print(json.dumps(report.as_json(), ensure_ascii=False, allow_nan=False))
        else:
            report = await show_live(handler, target)
        return report.exit_status


async def doctor(settings: Settings) -> int:
    """Every check of everything that is configured, in the terminal; 1 if any fails."""
    from bot.checks import load
    from bot.handlers.doctor import examine
    from bot.terminal import show_examined

    async with prober(settings) as asks:
        return await show_examined(examine(asks, load(), settings))


async def serve(settings: Settings) -> int:
    """The bot itself, until SIGTERM or SIGINT."""
    from bot.serve import serve as run

    return await run(settings)
