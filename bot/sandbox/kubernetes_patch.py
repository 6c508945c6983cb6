"""What a PATCH does to a Kubernetes object: merge patches (RFC 7386) and strategic merge patches, pure.

The merge keys are those of the API's types for the parts that the sandbox's objects have:
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "imagePullSecrets": "name",
}
_DIRECTIVES = ("$patch", "$setElementOrder", "$deleteFromPrimitiveList", "$retainKeys")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: maps merge, null deletes, everything else replaces. Neither argument is changed."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_patch(target: Any, patch: Any, field: str = "") -> Any:
    """As ``merge_patch``, but lists of named things merge by their merge key; ``$patch`` deletes or replaces."""
    if isinstance(patch, list):
        return _merge_list(target if isinstance(target, list) else [], patch, field)
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    wanted = {key: value for key, value in patch.items() if not key.startswith(_DIRECTIVES)}
    if patch.get("$patch") == "replace":
        return deepcopy(wanted)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in wanted.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic_patch(merged.get(key), value, key)
    return merged


def _merge_list(target: list[Any], patch: list[Any], field: str) -> list[Any]:
    key = _MERGE_KEYS.get(field)
    if key is None or not all(isinstance(item, Mapping) for item in patch):
        return deepcopy(patch)
    if any(item.get("$patch") == "replace" for item in patch):
        return [deepcopy(dict(item)) for item in patch if "$patch" not in item]
    merged = list(target)
    for item in patch:
        at = next((i for i, held in enumerate(merged) if held.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(strategic_patch({}, item))
        else:
            merged[at] = strategic_patch(merged[at], item)
    return merged
