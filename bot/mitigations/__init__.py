"""The remedies, one a file, each ending in ``MITIGATION``; :func:`load` lists this folder."""

from collections.abc import Mapping

from bot.domain.remedies import EnvSpec
from bot.loading import found_in
from bot.ports import Remedy


def load(specs: Mapping[str, EnvSpec]) -> Mapping[str, Remedy]:
    """The remedies by name, in the order in which people read them; then those that the settings alone describe.

    ``specs`` are the settings' remedies that set a variable. Raises SettingsError that tells every file that is wrong.
    """
    from dataclasses import replace
    from types import MappingProxyType

    from bot.domain.remedies import RemedyName
    from bot.mitigations._env import EnvRemedy

    known_in = "RemedyName in bot/domain/remedies.py"
    found = found_in(__name__, __path__, "MITIGATION", list(RemedyName), kind="remedy", known_in=known_in)
    held: dict[str, Remedy] = {str(name): found[name] for name in RemedyName if name in found}
    for name, spec in specs.items():
        known = held.get(name)
        held[name] = replace(known, spec=spec) if isinstance(known, EnvRemedy) else EnvRemedy(name=name, spec=spec)
    return MappingProxyType(held)
