"""Reads the sandbox's YAML files and builds dataclasses of what they hold; a fault is told as a SettingsError."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from bot.errors import SettingsError


def document(path: Path) -> Any:
    """What the file holds; raises SettingsError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError([f"the scenario file {path} cannot be read: {error}"]) from error


def built(kind: Any, held: Mapping[str, Any], where: str) -> Any:
    """One ``kind``, lists as tuples; raises SettingsError for a key that there is not, or that is missing."""
    known = {one.name for one in fields(kind)}
    for key in held:
        if key not in known:
            raise SettingsError([f"scenario {where}: unknown key {key!r}; known are {', '.join(sorted(known))}"])
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in held.items()})
    except TypeError as error:
        raise SettingsError([f"scenario {where}: {error}"]) from error
