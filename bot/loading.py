"""Lists a package's own folder: each file ends in one constant, so that a new file is a new probe or remedy."""

import importlib
import pkgutil
from collections.abc import Collection, Iterable
from typing import Any

from bot.errors import SettingsError


def found_in(
    package: str, path: Iterable[str], constant: str, known: Collection[str], *, kind: str, known_in: str
) -> dict[str, Any]:
    """What the files of ``package`` end in, by its own name; raises SettingsError that tells every file that is wrong.

    ``kind`` is what people call one, such as probe; ``known``: the names that there may be, as ``known_in`` has them.
    """
    folder, problems = package.replace(".", "/"), list[str]()
    found: dict[str, tuple[str, Any]] = {}
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        # a leading underscore: what several share
        if module.name.startswith("_"):
            continue
        held = getattr(importlib.import_module(f"{package}.{module.name}"), constant, None)
        if held is None:
            problems.append(f"{folder}/{module.name}.py has no {constant}; each file there should end in one")
        elif held.name in found:
            problems.append(
                f"{folder}/{found[held.name][0]}.py and {folder}/{module.name}.py both call their "
                f"{kind} {str(held.name)!r}; a name may be used once"
            )
        elif held.name not in known:
            problems.append(
                f"{folder}/{module.name}.py calls its {kind} {str(held.name)!r}; known names are "
                f"{', '.join(known)} ({known_in})"
            )
        else:
            found[held.name] = (module.name, held)
    if problems:
        raise SettingsError(problems)
    return {name: held for name, (_, held) in found.items()}


def made_in(package: str, path: Iterable[str], constant: str, *given: Any) -> tuple[Any, ...]:
    """What the files of ``package`` make of what is ``given``, each by its constant, a function; without None.

    Raises SettingsError that tells a file that ends in no such constant.
    """
    found = []
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        if module.name.startswith("_"):
            continue
        make = getattr(importlib.import_module(f"{package}.{module.name}"), constant, None)
        if make is None:
            raise SettingsError([f"{package.replace('.', '/')}/{module.name}.py does not end in {constant}"])
        made = make(*given)
        if made is not None:
            found.append(made)
    return tuple(found)
