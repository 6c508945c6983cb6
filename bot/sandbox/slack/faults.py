"""What goes wrong at Slack's side on demand: an answer that is refused, late or lost, and Slack's own pace."""

import math
from collections import defaultdict, deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What one call meets. ``kind`` is answer (``status``, ``error``), pass, hang, late, lost or cut."""

    kind: str
    status: int = 200
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


PASS = Fault("pass")
"""Nothing: the call is answered as usual, and the next fault is for the call after it."""
HANG = Fault("hang")
"""No answer until the client leaves; nothing is done."""
LOST = Fault("lost")
"""The thing is done, and the connection cut in place of an answer."""
CUT = Fault("cut")
"""The connection is cut before anything is done."""


def late(delay_s: float) -> Fault:
    """The thing is done at once, and answered so many seconds later."""
    return Fault("late", delay_s=delay_s)


def rate_limited(retry_after_s: int = 1) -> Fault:
    return Fault("answer", 429, "ratelimited", {"Retry-After": str(retry_after_s)})


def server_error(status: int = 500) -> Fault:
    return Fault("answer", status, "internal_error")


def refused(error: str) -> Fault:
    """Slack's word for why not, as for a call that it understood."""
    return Fault("answer", 200, error)


class Faults:
    """A queue for each method; ``response_url`` and ``upload`` are queues of those two."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Fault]] = defaultdict(deque)

    def add(self, method: str, *faults: Fault) -> None:
        """The next calls of ``method`` meet these, one each."""
        self._queues[method].extend(faults)

    def take(self, method: str) -> Fault:
        queue = self._queues.get(method)
        return queue.popleft() if queue else PASS

    def left(self, method: str) -> int:
        """How many of the method's faults nobody has met yet."""
        return len(self._queues.get(method, ()))

    def clear(self) -> None:
        self._queues.clear()


# calls a minute of a tier: docs.slack.dev/apis/web-api/rate-limits
_TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
# the tier of each method, as its page under docs.slack.dev/reference/methods says; what is not here is not held back
_TIER_OF = {
    **dict.fromkeys(
        (
            *("conversations.archive", "conversations.create", "conversations.list", "conversations.rename"),
            *("conversations.setTopic", "pins.add", "pins.list", "pins.remove"),
            *("usergroups.list", "usergroups.users.list"),
        ),
        2,
    ),
    **dict.fromkeys(
        (
            *("chat.delete", "chat.update", "conversations.history", "conversations.info", "conversations.invite"),
            *("conversations.join", "conversations.open", "conversations.replies", "reactions.add"),
        ),
        3,
    ),
    **dict.fromkeys(
        (
            *("chat.postEphemeral", "conversations.members", "files.completeUploadExternal"),
            *("files.getUploadURLExternal", "users.info"),
            *("views.open", "views.publish", "views.push", "views.update"),
        ),
        4,
    ),
}
# method -> (seconds to a call, calls that may come at once, the argument that has a pace of its own);
# chat.postMessage has a tier of its own: a message a second and channel, with short bursts
_RATES: Mapping[str, tuple[float, int, str | None]] = {
    **{method: (60 / _TIERS[tier], _TIERS[tier], None) for method, tier in _TIER_OF.items()},
    "chat.postMessage": (1.0, 4, "channel"),
}


class Pace:
    """Slack's rate limits; a call before its time is refused and does not count."""

    def __init__(self) -> None:
        self._due: dict[Hashable, float] = {}

    def wait_s(self, method: str, arguments: dict[str, Any], now: float) -> int:
        """0 where the call may be made at ``now`` (seconds), else the whole seconds of Retry-After."""
        if method not in _RATES:
            return 0
        interval_s, burst, of_its_own = _RATES[method]
        key = (method, arguments.get(of_its_own) if of_its_own else None)
        due = max(self._due.get(key, now), now)
        early_s = due - now - interval_s * (burst - 1)
        if early_s > 1e-9:
            return math.ceil(early_s)
        self._due[key] = due + interval_s
        return 0
