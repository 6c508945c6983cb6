"""What the remedies are called, and those that set one variable: their names, values and bounds are settings; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

KEY_BY_FORM = "(form)"
"""In place of a Secret's name, which it cannot be: a person enters the new key in a form, if the policy lets them."""


class RemedyName(StrEnum):
    """Those that come with the bot, in the order in which people read them."""

    ROTATE_KEY = "rotate_key"
    RESTART = "restart"
    ROLLBACK = "rollback"
    RATE_LIMIT_QUEUE = "rate_limit_queue"
    LIMIT_CONCURRENCY = "limit_concurrency"
    FALLBACK = "fallback"
    RAISE_TIMEOUT = "raise_timeout"


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """A remedy that sets ``variable`` to ``value``; ``what`` it does, in half a sentence."""

    what: str
    variable: str
    value: str
    off: str | None = None
    """The value that turns it off again; None: it is not turned off but reverted."""
    least: int | None = None
    """With ``most``: people may ask for another whole number between them."""
    most: int | None = None
    unit: str = ""
    only_up: bool = False
    """Whether a value below the one in place is a mistake."""
    temporary: bool = True
    shields: bool = True


ENV_REMEDIES: Mapping[str, EnvSpec] = MappingProxyType(
    {
        RemedyName.RATE_LIMIT_QUEUE: EnvSpec(
            what="queues requests above the rate limit instead of refusing them",
            variable="RATE_LIMIT_MODE",
            value="queue",
        ),
        RemedyName.LIMIT_CONCURRENCY: EnvSpec(
            what="limits how many requests each pod sends at the same time",
            variable="MAX_CONCURRENT_REQUESTS",
            value="5",
            least=1,
            most=1000,
        ),
        RemedyName.FALLBACK: EnvSpec(
            what="answers without Mistral, or with another model",
            variable="MISTRAL_FALLBACK",
            value="true",
            off="false",
        ),
        RemedyName.RAISE_TIMEOUT: EnvSpec(
            what="waits longer for Mistral's answers",
            variable="MISTRAL_TIMEOUT",
            value="60000",
            least=1000,
            most=600_000,
            unit="ms",
            only_up=True,
        ),
    }
)
