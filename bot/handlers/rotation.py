"""The part of a key's rotation that touches the Secret: writes the new key, and puts the old one back if it must.

The key goes from Secret to Secret and stands in no message, log, event or database. While the run is under way the old
key stays in the same Secret, so that a restart of the bot does not lose it.
"""

import asyncio
import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.clients import keys
from bot.domain.changes import KeyChange
from bot.domain.incident import Refusal
from bot.domain.objects import Object, within
from bot.domain.runs import Plan, Run
from bot.domain.workload import secret_key
from bot.errors import BadAnswer, Changed, NotFound, UpstreamError
from bot.handlers.moved import RUN, Moved, TooLate
from bot.handlers.planning import secret_pin
from bot.ports import Cluster, Exchange, ProbeRun

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
# Beside a key that was put back, or was not: the run that has given the rotation up, and which of the two stays.
_GIVEN_UP = "mistral-bot/given-up"
PUT_BACK = "The old key was put back."
_STAYS = {
    "old": PUT_BACK,
    "new": "The old key is refused by Mistral too, so the new one stays.",
}
_REFUSED = (401, 403)
# A key that was entered is forgotten so long after its run had to begin, whatever has become of that.
_AFTERWARDS_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Keys are handled here alone. ``check_s`` bounds the question whether Mistral takes one.

    ``entered``: by run, a key that somebody has entered in Slack; in this process's memory and nowhere else.
    """

    check_s: float = 5.0
    entered: dict[str, str] = field(default_factory=dict, repr=False)

    def waits(self, run: Run) -> bool:
        """Whether somebody has yet to enter the key, here."""
        return run.id not in self.entered and run.key_by_form

    async def enter(self, run: Run, asks: ProbeRun, key: str) -> None:
        """Keeps a key until it is written; raises Refusal where Mistral does not take it."""
        held = key.strip()
        if not held.isascii() or not held.isprintable() or " " in held or not held:
            raise Refusal("That is no key: it should be one word of printable ASCII.")
        refused = await keys.refused(asks, held)
        if refused is not None:
            raise Refusal(refused)
        self.entered[run.id] = held
        left = timedelta(0) if run.start_by is None else run.start_by - asks.clock.now()
        asyncio.get_running_loop().call_later(
            max(0.0, left.total_seconds()) + _AFTERWARDS_S, self.entered.pop, run.id, None
        )

    async def write(self, run: Run, plan: Plan, asks: ProbeRun, annotations: Mapping[str, str]) -> None:
        """The new key into the Secret, where it is not there yet. Raises Moved and UpstreamError, which hold no key."""
        cluster = _cluster(asks)
        for change in _keys(plan):
            held = await cluster.get("Secret", change.secret)
            if within(held, "metadata", "annotations").get(RUN) == run.id:
                continue
            if secret_pin(held) != plan.secret_pin:
                raise Moved(f"The Secret {change.secret} was changed since the preview.")
            new = await self._new_key(cluster, run, change)
            taken = await self._takes(asks, new)
            if taken is None:
                raise BadAnswer("it cannot be told whether Mistral takes the new key; the old one stays")
            if not taken:
                raise BadAnswer("Mistral does not take the new key; the old one stays")
            old = within(held, "data").get(change.entry)
            data = {change.entry: new, **({} if old is None else {_kept(run, change): old})}
            try:
                await cluster.patch("Secret", change.secret, _patch(held, data, annotations))
            except Changed:
                raise Moved(f"The Secret {change.secret} was changed since the preview.") from None
            self.entered.pop(run.id, None)

    async def written(self, run: Run, plan: Plan, asks: ProbeRun) -> bool:
        """Whether the new key is in the Secret already."""
        held = [await _cluster(asks).get("Secret", change.secret) for change in _keys(plan)]
        return any(within(one, "metadata", "annotations").get(RUN) == run.id for one in held)

    async def given_up(self, run: Run, plan: Plan, asks: ProbeRun) -> str:
        """What :meth:`put_back` said, if it was done: whoever takes over must not take that for a key that is new."""
        for change in _keys(plan):
            held = await _cluster(asks).get("Secret", change.secret)
            by, _, stays = str(within(held, "metadata", "annotations").get(_GIVEN_UP, "")).partition(":")
            if by == run.id and stays in _STAYS:
                return _STAYS[stays]
        return ""

    async def put_back(self, run: Run, plan: Plan, asks: ProbeRun) -> str:
        """The old key back into the Secret unless it is known to be bad; a sentence that says what was done."""
        cluster = _cluster(asks)
        for change in _keys(plan):
            old = within(await cluster.get("Secret", change.secret), "data").get(_kept(run, change))
            if old is None:
                continue
            refused = await self._takes(asks, str(old)) is False
            data = {} if refused else {change.entry: old}
            stays = {_GIVEN_UP: f"{run.id}:{'new' if refused else 'old'}"}
            await self._settle(cluster, run, change, data, stays)
        return await self.given_up(run, plan, asks)

    def left_behind(self, run: Run, plan: Plan) -> str:
        """Where people find the keys of a rotation that nobody knows the end of; empty where none is changed."""
        return " ".join(
            f"Secret {change.secret} may hold the new key, and the old one under {_kept(run, change)}."
            for change in _keys(plan)
        )

    async def forget(self, run: Run, plan: Plan, asks: ProbeRun) -> None:
        """The old key is not needed any more."""
        for change in _keys(plan):
            await self._settle(_cluster(asks), run, change, {}, {})

    async def settled(self, run: Run, plan: Plan, asks: ProbeRun, *, back: bool) -> str:
        """Puts the old key back, or forgets it; a sentence about it, also where the cluster does not let it."""
        try:
            if back or await self.given_up(run, plan, asks):
                return await self.put_back(run, plan, asks)
            await self.forget(run, plan, asks)
        except UpstreamError as error:
            logger.warning("the key's Secret was not put in order: %s", error)
            return f"The old key is still in the Secret, beside the new one: {error}."
        return ""

    async def _settle(
        self, cluster: Cluster, run: Run, change: KeyChange, data: Mapping[str, Any], annotations: Mapping[str, str]
    ) -> None:
        """Writes ``data`` and takes the kept key out, if it is there."""
        for _ in range(_ATTEMPTS):
            held = await cluster.get("Secret", change.secret)
            if _kept(run, change) not in within(held, "data"):
                return
            patch = _patch(held, {**data, _kept(run, change): None}, annotations)
            try:
                await cluster.patch("Secret", change.secret, patch)
            except Changed:
                continue
            return
        raise Changed(f"the Secret {change.secret} is being changed by somebody else all the time")

    async def _new_key(self, cluster: Cluster, run: Run, change: KeyChange) -> str:
        """As the Secret holds it, in base64."""
        if not change.source:
            if run.id not in self.entered:
                raise TooLate("The key that was entered is lost, as the bot was restarted; nothing was changed.")
            return base64.b64encode(self.entered[run.id].encode()).decode()
        try:
            source = await cluster.get("Secret", change.source)
        except NotFound:
            raise Moved(f"The Secret {change.source} is not there any more.") from None
        if within(source, "metadata").get("resourceVersion") != change.source_version:
            raise Moved(f"The Secret {change.source} was changed since the preview.")
        held = secret_key(source, change.source_entry)
        if held is None:
            raise Moved(f"The Secret {change.source} has no key {change.source_entry} any more.")
        # without the line's end that a Secret made from a file has
        return base64.b64encode(held.encode()).decode()

    async def _takes(self, asks: ProbeRun, encoded: str) -> bool | None:
        """Whether Mistral takes a key; None: that cannot be told."""
        try:
            key = base64.b64decode(encoded, validate=True).decode("ascii").strip()
        except ValueError:
            return False
        if not key.isprintable() or " " in key or not key:
            return False
        answer: Exchange = await asks.http.fetch(
            "GET",
            f"{asks.target.mistral.api_url}/v1/models",
            timeout_s=self.check_s,
            headers={"Authorization": f"Bearer {key}"},
        )
        if answer.status in _REFUSED:
            return False
        return True if answer.status == 200 and answer.failure is None else None


def _keys(plan: Plan) -> list[KeyChange]:
    return [change for change in plan.changes if isinstance(change, KeyChange)]


def _kept(run: Run, change: KeyChange) -> str:
    """The entry in which the old key waits; a dot keeps it from becoming a variable of the pods."""
    return f"{change.entry}.before-{run.id[:8]}"


def _cluster(asks: ProbeRun) -> Cluster:
    if asks.cluster is None:
        raise UpstreamError("the cluster is not configured any more")
    return asks.cluster


def _patch(secret: Object, data: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": within(secret, "metadata").get("resourceVersion")}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"metadata": metadata, "data": dict(data)}
