"""How many messages a second are rendered, and how much of that is the check against Slack's limits?"""

import time
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

from bench.figures import Figure, Subject, at_least, lasting, scaled, taking_turns
from bot import render
from bot.ports import Reply
from bot.render import Renderer
from tests.messages import MESSAGES

ROUNDS, SECONDS = scaled(5), lasting(0.05)
# Promised of each card, with all that can be on it, the check included: messages a second.
CARDS = 500.0
# The triage's is the card that people wait for.
_CARDS = {"triage", *(name for name in MESSAGES if name.endswith("_card"))}


async def measure() -> list[Figure]:
    renderer = Renderer()
    renderer.compile()
    return [await _measured(renderer, name) for name in sorted(MESSAGES, key=lambda name: (name not in _CARDS, name))]


async def _measured(renderer: Renderer, name: str) -> Figure:
    once: Callable[[], object]
    sample = MESSAGES[name]
    reply = Reply(template=name, context=sample.rich, thread=sample.thread)
    most = 100 if name == "home" else render.BLOCKS
    is_form = name.endswith("_modal")
    once = partial(renderer.view, reply) if is_form else partial(renderer.message, reply, most=most)
    rates = await taking_turns(ROUNDS, {"whole": _rate(once), "unchecked": _unchecked(once)})
    return Figure(
        what=f"rendering `{name}`",
        values=rates["whole"],
        unit="/s",
        beside="without the check",
        reference=rates["unchecked"],
        goal=at_least(CARDS) if name in _CARDS else None,
        headline=name == "triage",
    )


def _rate(once: Callable[[], object]) -> Subject:
    async def measured() -> float:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            once()
            count += 1
        return count / (time.perf_counter() - began)

    return measured


def _unchecked(once: Callable[[], object]) -> Subject:
    async def measured() -> float:
        with patch.object(render, "_check", lambda *_: None):
            return await _rate(once)()

    return measured
