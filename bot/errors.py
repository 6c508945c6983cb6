"""Every error that the bot raises on purpose; each one's text is a sentence for a person.

    BotError
    ├── Refusal                (in domain/incident) the act is not to be done, and why
    ├── SettingsError          the settings are wrong; .problems has one line each
    ├── TemplateError          a template cannot be rendered, or not within Slack's limits
    ├── MessageError           Slack did not take a message; .code is Slack's word for why
    ├── StoreError             the database cannot be used; nothing was changed
    │   ├── Conflict           somebody else changed the same thing first
    │   └── AlreadyDone        this very request was carried out before
    └── UpstreamError          something that was asked could not answer; the sentence says what to do
        ├── NotConfigured      it is switched off in the settings
        ├── Unreachable        no answer: network, time-out, cut in the middle
        ├── BadAnswer          an answer that makes no sense, or is larger than the limit
        ├── LoginExpired       the cluster or Prometheus no longer knows us
        ├── Forbidden          we may not; the sentence names the missing permission
        ├── NotFound           the thing itself is not there
        └── Changed            the object is not as it was when it was read: read it again

Vendor errors are translated into these once, in ``clients/`` and ``slack/messenger``, chained with ``from``.
"""

from collections.abc import Sequence


class BotError(Exception):
    """The root; ``str(error)`` is one sentence that a person can act on and that holds no secret."""


class SettingsError(BotError):
    """The settings are wrong; every wrong one is told, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class TemplateError(BotError):
    """A template is missing, malformed, or makes a message that Slack would refuse."""


_SLACKS_OWN = frozenset(
    {
        "unreachable",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "unknown",
        "team_added_to_org",
    }
)


class MessageError(BotError):
    """Slack refused or did not take a call; ``code`` is Slack's error word, such as ``not_in_channel``.

    ``retry_after_s`` is set where Slack says when to ask again (429).
    """

    def __init__(self, sentence: str, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def passing(self) -> bool:
        """Whether Slack may take the same call later; everything but its words for a fault of its own is final."""
        return self.retry_after_s is not None or self.code in _SLACKS_OWN or self.code.startswith("http_5")


class StoreError(BotError):
    """The database cannot be reached or used; the transaction was undone."""


class Conflict(StoreError):
    """Somebody else changed the same thing first: read it again."""


class AlreadyDone(StoreError):
    """This very request (a click, a submitted modal) was carried out before."""


class UpstreamError(BotError):
    """Something that a probe asked could not answer: its finding is ``unknown`` with this sentence."""


class NotConfigured(UpstreamError):
    """That part is switched off: nothing was asked."""


class Unreachable(UpstreamError):
    """No answer came: refused, cut, or later than the time-out."""


class BadAnswer(UpstreamError):
    """An answer came but is not what the protocol says, or is larger than the limit."""


class LoginExpired(UpstreamError):
    """The credentials are no longer accepted (401)."""


class Forbidden(UpstreamError):
    """Not allowed (403); the sentence is ``forbidden: VERB RESOURCE in NAMESPACE``."""


class NotFound(UpstreamError):
    """The object asked for does not exist (404)."""


class Changed(UpstreamError):
    """The object has changed since it was read (409): nothing was written."""
