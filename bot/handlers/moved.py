"""What is raised where the cluster is not as a preview showed it, and what marks an object as changed by a run."""

from bot.errors import BotError, Unreachable

RUN = "mistral-bot/run"
"""The annotation that holds the id of the run that changed the object last."""


class Moved(BotError):
    """What would be changed is not what the preview showed; the text is a sentence."""


class TooLate(BotError):
    """It was to begin earlier, or was over already: it is not done any more."""


class Unsure(Unreachable):
    """A change was sent, and no answer came: it may be there."""


class AsBefore(BotError):
    """A revert would change nothing: somebody has taken it back by hand."""
