"""The signals, one a file, each ending in ``PROBE``; :func:`load` lists this folder, so a new file is a new probe."""

from bot.loading import found_in
from bot.ports import Probe


def load() -> tuple[Probe, ...]:
    """The probes in the order in which people read them; raises SettingsError that tells every file that is wrong."""
    from bot.domain.signals import ProbeName

    known_in = "ProbeName in bot/domain/signals.py"
    found = found_in(__name__, __path__, "PROBE", list(ProbeName), kind="probe", known_in=known_in)
    return tuple(found[name] for name in ProbeName if name in found)
