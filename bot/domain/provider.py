"""How the provider fares while an incident is open: what its page says, whether its API is well again; pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.causes import CAUSES, Family
from bot.domain.incident import BOT, CARD, HOME, Change, Incident, Outgoing, plain
from bot.domain.policy import Watch
from bot.domain.runs import Run
from bot.domain.signals import Finding, Verdict
from bot.domain.timeline import Event, Kind
from bot.domain.watching import Watching

# Causes outside the provider's family that end when its API is well again, as the decision table advises to watch it.
_ENDS_WITH_THE_API = frozenset({"provider_unreachable", "provider_timeout", "dns_provider"})


def is_the_providers(cause: str | None) -> bool:
    """Whether there is nothing to be done but to wait for the provider."""
    held = CAUSES.get(cause or "")
    return held is not None and (held.family is Family.PROVIDER or held.name in _ENDS_WITH_THE_API)


def page_read(incident: Incident, before: Watching, said: Sequence[str], now: datetime) -> Change | None:
    """The provider's page lists ``said``, such as ``Elevated errors (major)``; None: that is nothing new."""
    said = tuple(map(plain, said))
    was, now_told = {_name(one): one for one in before.provider}, {_name(one): one for one in said}
    texts = [f"Mistral's status page says: {one}" for name, one in now_told.items() if name not in was]
    texts += [f"Mistral's status page says now: {one}" for name, one in now_told.items() if was.get(name, one) != one]
    texts += [f"Mistral's status page no longer lists: {one}" for name, one in was.items() if name not in now_told]
    if not texts and not before.unread:
        return None
    after = replace(before, provider=said, unread="")
    return Change(incident=incident, events=_events(texts, now), messages=(CARD,), watching=after)


def page_unread(incident: Incident, before: Watching, why: str) -> Change | None:
    """The page cannot be read, which says nothing of how the provider fares; None: that is nothing new."""
    if before.unread == why:
        return None
    return Change(incident=incident, messages=(CARD,), watching=replace(before, unread=why))


def api_probed(
    incident: Incident, before: Watching, findings: Sequence[Finding], now: datetime, watch: Watch, runs: Sequence[Run]
) -> Change | None:
    """The API was asked once more; ``runs`` are the incident's mitigations. Unknown is no success. None: no news."""
    well = bool(findings) and all(one.verdict is Verdict.OK for one in findings)
    failed = any(one.verdict is Verdict.BAD for one in findings)
    successes = min(before.successes + 1, watch.successes) if well else 0
    after = replace(before, successes=successes)
    if before.announced and failed:
        after = replace(after, announced=False)
        events = _events(["Mistral's API fails again"], now)
        return Change(incident=incident, events=events, messages=(CARD,), watching=after)
    if before.announced or successes < watch.successes:
        return None if after == before else Change(incident=incident, watching=after)
    after = replace(after, announced=True)
    events = _events([f"Mistral's API was well {successes} times in a row"], now)
    standing = [run for run in runs if run.temporary and run.in_place and not run.kept]
    context = {"times": successes, "in_place": [{"id": run.id, "remedy": run.remedy} for run in standing]}
    told = Outgoing(kind="post", to=HOME, template="recovered", context=context)
    return Change(incident=incident, events=events, messages=(CARD, told), watching=after)


def _events(texts: Sequence[str], now: datetime) -> tuple[Event, ...]:
    return tuple(Event(kind=Kind.PROVIDER, at=now, actor=BOT, text=text) for text in texts)


def _name(said: str) -> str:
    """Without the impact, which may change."""
    return said.rpartition(" (")[0] or said
