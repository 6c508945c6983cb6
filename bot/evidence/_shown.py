"""How objects and records are written into a bundle: as YAML or JSON, without what is secret or noise."""

import json
from collections.abc import Mapping
from typing import Any

from bot.domain.redaction import MASKED, redact

_ENCODED = "data", "stringData", "binaryData"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode("utf-8", "replace")


def as_yaml(value: Any) -> bytes:
    import yaml  # costs 50 ms

    # the pure dumper: the other writes what it cannot print as YAML of its own
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.encode("utf-8", "replace")


def without_noise(held: Mapping[str, Any]) -> dict[str, Any]:
    """The object without its managedFields and what was applied last, which holds it all again."""
    metadata = {key: value for key, value in (held.get("metadata") or {}).items() if key != "managedFields"}
    if isinstance(notes := metadata.get("annotations"), Mapping):
        metadata["annotations"] = {key: value for key, value in notes.items() if key != _APPLIED}
    shown: dict[str, Any] = _without_secret_variables({**held, "metadata": metadata})
    return shown


def _without_secret_variables(held: Any) -> Any:
    """An environment variable's name and value stand apart, where nobody would see that they belong together."""
    if isinstance(held, Mapping):
        name, value = held.get("name"), held.get("value")
        if isinstance(name, str) and isinstance(value, str) and redact(f"{name}={value}") != f"{name}={value}":
            return {**held, "value": MASKED.decode()}
        return {key: _without_secret_variables(one) for key, one in held.items()}
    if isinstance(held, list):
        return [_without_secret_variables(one) for one in held]
    return held


def without_values(secret: Mapping[str, Any]) -> dict[str, Any]:
    """A Secret's metadata, and what its keys are called: never a value, nor an annotation's, which may hold one."""
    shown = without_noise({key: value for key, value in secret.items() if key not in _ENCODED})
    notes = shown["metadata"].get("annotations")
    if isinstance(notes, Mapping):
        shown["metadata"]["annotations"] = dict.fromkeys(notes, "(not collected)")
    # not by the key's name: that tells whoever masks that a secret follows
    keys = [
        {"name": str(key), "base64_characters": len(str(value or ""))}
        for part in ("data", "binaryData")
        for key, value in (secret.get(part) or {}).items()
    ]
    return {**shown, "keys": keys}
