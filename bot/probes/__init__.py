"""The signals, one a file, each ending in ``PROBE``; :func:`load` lists this folder, so a new file is a new probe."""

from bot.errors import SettingsError
from bot.ports import Probe


def load() -> tuple[Probe, ...]:
    """The probes in the order in which people read them; raises SettingsError that tells every file that is wrong."""
    import importlib
    import pkgutil

    from bot.domain.signals import ProbeName

    problems: list[str] = []
    found: dict[str, tuple[str, Probe]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        # a leading underscore: what several probes share
        if module.name.startswith("_"):
            continue
        probe: Probe | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PROBE", None)
        if probe is None:
            problems.append(f"bot/probes/{module.name}.py has no PROBE; each file there should end in one")
        elif probe.name in found:
            problems.append(
                f"bot/probes/{found[probe.name][0]}.py and bot/probes/{module.name}.py both call their probe "
                f"{str(probe.name)!r}; a name may be used once"
            )
        elif probe.name not in set(ProbeName):
            problems.append(
                f"bot/probes/{module.name}.py calls its probe {str(probe.name)!r}; known names are "
                f"{', '.join(ProbeName)} (ProbeName in bot/domain/signals.py)"
            )
        else:
            found[probe.name] = (module.name, probe)
    if problems:
        raise SettingsError(problems)
    return tuple(found[name][1] for name in ProbeName if name in found)
