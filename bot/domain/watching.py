"""How the provider was found to fare; ``provider`` says what becomes of it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Watching:
    """``provider``: the open incidents of its page that concern us; ``unread``: why the page cannot be read, or empty.

    ``successes``: how often in a row its API was well; ``announced``: people have been told that it is.
    """

    provider: tuple[str, ...] = ()
    unread: str = ""
    successes: int = 0
    announced: bool = False
