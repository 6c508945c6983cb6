"""Changes as kubectl makes them: lines to paste into a shell, quoted for it. No key is ever in one."""

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from bot.domain.changes import RESTARTED_AT, AnnotationChange, Change, EnvChange, KeyChange, RevisionChange


def line(namespace: str, *words: str) -> str:
    return shlex.join(["kubectl", "-n", namespace, *words])


def lines(namespace: str, deployment: str, changes: Iterable[Change]) -> Sequence[str]:
    """One line for each change, and one that waits until it is rolled out."""
    made = [_line(namespace, f"deployment/{deployment}", change) for change in changes]
    return (*made, watched(namespace, deployment))


def watched(namespace: str, deployment: str) -> str:
    return line(namespace, "rollout", "status", f"deployment/{deployment}")


def _line(namespace: str, deployment: str, change: Change) -> str:
    match change:
        case EnvChange():
            return line(namespace, *_variable(deployment, change))
        case AnnotationChange(name=name, after=after) if name == RESTARTED_AT and after is not None:
            return line(namespace, "rollout", "restart", deployment)
        case AnnotationChange():
            patch = {"metadata": {"annotations": {change.name: change.after}}}
            return line(namespace, "patch", deployment, "--type=merge", "-p", _template_patch(patch))
        case RevisionChange():
            return line(namespace, "rollout", "undo", deployment, f"--to-revision={change.after}")
        case KeyChange():
            return _copied_key(namespace, change) if change.source else _typed_key(namespace, change)


def _variable(deployment: str, change: EnvChange) -> list[str]:
    if change.after is None:
        return ["set", "env", deployment, "-c", change.container, f"{change.name}-"]
    if set(change.after) <= {"name", "value"}:
        return ["set", "env", deployment, "-c", change.container, f"{change.name}={change.after.get('value', '')}"]
    # what is taken from elsewhere; a null takes the plain value away, or the API server refuses to have both
    held = {"name": change.container, "env": [{"value": None, **change.after}]}
    return ["patch", deployment, "-p", _template_patch({"spec": {"containers": [held]}})]


def _template_patch(template: Any) -> str:
    return json.dumps({"spec": {"template": template}}, separators=(",", ":"))


def _copied_key(namespace: str, change: KeyChange) -> str:
    """The shell takes the entry, without showing it and without the line's end that a file has."""
    # an entry's name is no text that a template would have to escape; what is not there must be no error, beside
    # which kubectl prints the whole Secret
    template = '{{with index .data "' + change.source_entry + '"}}{{base64decode .}}{{end}}'
    read = line(namespace, "get", "secret", change.source, "-o", f"go-template={template}")
    return _put(namespace, f'NEW="$({read})"', change)


def _typed_key(namespace: str, change: KeyChange) -> str:
    """The shell asks for the key, without showing it."""
    return _put(namespace, "read -rs NEW", change)


def _put(namespace: str, taken: str, change: KeyChange) -> str:
    """Hands the key on by a command of the shell's own: not in a history or a list of processes; never an empty one."""
    said = shlex.join(["printf", '{"stringData": {"%s": "%s"}}', change.entry])
    patch = line(namespace, "patch", "secret", change.secret, "--type=merge", "--patch-file=/dev/stdin")
    return f'{taken} && : "${{NEW:?there is no key}}" && {said} "$NEW" | {patch}; unset NEW'
