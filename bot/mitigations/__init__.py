"""The remedies, one a file, each ending in ``MITIGATION``; :func:`load` lists this folder."""

from collections.abc import Mapping

from bot.domain.remedies import EnvSpec
from bot.errors import SettingsError
from bot.ports import Remedy


def load(specs: Mapping[str, EnvSpec]) -> Mapping[str, Remedy]:
    """The remedies by name, in the order in which people read them; then those that the settings alone describe.

    ``specs`` are the settings' remedies that set a variable. Raises SettingsError that tells every file that is wrong.
    """
    import importlib
    import pkgutil
    from dataclasses import replace
    from types import MappingProxyType

    from bot.domain.remedies import RemedyName
    from bot.mitigations._env import EnvRemedy

    problems: list[str] = []
    found: dict[str, tuple[str, Remedy]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        # a leading underscore: what several remedies share
        if module.name.startswith("_"):
            continue
        remedy: Remedy | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "MITIGATION", None)
        if remedy is None:
            problems.append(f"bot/mitigations/{module.name}.py has no MITIGATION; each file there should end in one")
        elif remedy.name in found:
            problems.append(
                f"bot/mitigations/{found[remedy.name][0]}.py and bot/mitigations/{module.name}.py both call their "
                f"remedy {str(remedy.name)!r}; a name may be used once"
            )
        elif remedy.name not in set(RemedyName):
            problems.append(
                f"bot/mitigations/{module.name}.py calls its remedy {str(remedy.name)!r}; known names are "
                f"{', '.join(RemedyName)} (RemedyName in bot/domain/remedies.py)"
            )
        else:
            found[remedy.name] = (module.name, remedy)
    if problems:
        raise SettingsError(problems)
    held: dict[str, Remedy] = {str(name): found[name][1] for name in RemedyName if name in found}
    for name, spec in specs.items():
        known = held.get(name)
        held[name] = replace(known, spec=spec) if isinstance(known, EnvRemedy) else EnvRemedy(name=name, spec=spec)
    return MappingProxyType(held)
