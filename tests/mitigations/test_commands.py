"""The same by kubectl: lines that a shell takes as they are, for what is planned, its way back, and the usual."""

import shlex

import pytest

from bot.domain.changes import RESTARTED_AT, AnnotationChange, Change, EnvChange, KeyChange, RevisionChange, inverse
from bot.domain.redaction import redact
from bot.domain.remedies import ENV_REMEDIES, KEY_BY_FORM, EnvSpec, RemedyName
from bot.domain.workload import KeyReference
from bot.mitigations import load
from bot.mitigations._env import EnvRemedy
from tests.mitigations.asks import STAMP, remedy

STATUS = "kubectl -n shop rollout status deployment/chat"
FROM_MAP = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "flags", "key": "mode"}}}
PLAIN = {"name": "MODE", "value": "queue"}
COPIED = KeyChange(secret="keys", entry="api-key", source="new", source_entry="k.1", source_version="7")
TYPED = KeyChange(secret="keys", entry="api-key", source="", source_entry="", source_version="")


def lines(*changes: Change) -> list[str]:
    """Those for the changes, without the one that waits for the rollout."""
    *made, last = remedy("restart").commands("shop", "chat", changes)
    assert last == STATUS
    return made


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            EnvChange(container="app", name="MODE", before=None, after=PLAIN),
            "kubectl -n shop set env deployment/chat -c app MODE=queue",
        ),
        (
            EnvChange(container="app", name="MODE", before=PLAIN, after=None),
            "kubectl -n shop set env deployment/chat -c app MODE-",
        ),
        (
            EnvChange(container="app", name="MODE", before=PLAIN, after=FROM_MAP),
            "kubectl -n shop patch deployment/chat -p '"
            '{"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"value":null,"name":"MODE",'
            '"valueFrom":{"configMapKeyRef":{"name":"flags","key":"mode"}}}]}]}}}}\'',
        ),
        (
            AnnotationChange(name=RESTARTED_AT, before=None, after=STAMP),
            "kubectl -n shop rollout restart deployment/chat",
        ),
        (
            AnnotationChange(name=RESTARTED_AT, before=STAMP, after=None),
            "kubectl -n shop patch deployment/chat --type=merge -p '"
            '{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":null}}}}}\'',
        ),
        (
            RevisionChange(before=4, before_set="chat-4", after=3, after_set="chat-3"),
            "kubectl -n shop rollout undo deployment/chat --to-revision=3",
        ),
        (
            COPIED,
            'NEW="$(kubectl -n shop get secret new -o '
            """'go-template={{with index .data "k.1"}}{{base64decode .}}{{end}}')" && : "${NEW:?there is no key}" """
            """&& printf '{"stringData": {"%s": "%s"}}' api-key "$NEW" """
            "| kubectl -n shop patch secret keys --type=merge --patch-file=/dev/stdin; unset NEW",
        ),
        (
            TYPED,
            """read -rs NEW && : "${NEW:?there is no key}" && printf '{"stringData": {"%s": "%s"}}' api-key "$NEW" """
            "| kubectl -n shop patch secret keys --type=merge --patch-file=/dev/stdin; unset NEW",
        ),
    ],
)
def test_a_change_is_one_line(change: Change, line: str) -> None:
    assert lines(change) == [line]
    # what is shown is redacted before, which must leave a line as it is
    assert redact(line) == line


@pytest.mark.parametrize(
    "value", ["two words", "it's", '"', "$(reboot)", "`id`", "a;b", "a\\b", "-x", "*", "~", "é", "!!", "a=b", "#"]
)
def test_a_hostile_value_is_one_word_of_the_shell(value: str) -> None:
    after = {"name": "MODE", "value": value}
    (line,) = lines(EnvChange(container="app", name="MODE", before=None, after=after))
    assert shlex.split(line)[-1] == f"MODE={value}"
    assert shlex.split(line)[:3] == ["kubectl", "-n", "shop"]
    usual = EnvRemedy(name="own", spec=EnvSpec(what="x", variable="MODE", value=value)).commands("shop", "chat", ())
    assert shlex.split(usual[0])[-1] == f"MODE={value}"


def test_several_changes_are_a_line_each_in_their_order_and_so_is_their_way_back() -> None:
    first = EnvChange(container="one", name="MODE", before=None, after=PLAIN)
    second = EnvChange(container="two", name="MODE", before=PLAIN, after={"name": "MODE", "value": "drop"})
    assert [line.split(" -c ")[1] for line in lines(first, second)] == ["one MODE=queue", "two MODE=drop"]
    assert [line.split(" -c ")[1] for line in lines(*inverse([first, second]))] == ["two MODE=queue", "one MODE-"]
    restart = AnnotationChange(name=RESTARTED_AT, before=None, after=STAMP)
    assert [line.split()[0] for line in lines(COPIED, restart)] == ['NEW="$(kubectl', "kubectl"]


def test_without_a_plan_each_remedy_has_its_usual_lines() -> None:
    held = load(ENV_REMEDIES)
    assert {name: list(one.commands("shop", "chat", ())) for name, one in held.items()} == {
        "rotate_key": [
            """read -rs NEW && : "${NEW:?there is no key}" && printf '{"stringData": {"%s": "%s"}}' api-key "$NEW" """
            "| kubectl -n shop patch secret mistral-secrets --type=merge --patch-file=/dev/stdin; unset NEW",
            "kubectl -n shop rollout restart deployment/chat",
            STATUS,
        ],
        "restart": ["kubectl -n shop rollout restart deployment/chat", STATUS],
        "rollback": [
            "kubectl -n shop rollout history deployment/chat",
            "kubectl -n shop rollout undo deployment/chat",
            STATUS,
        ],
        "rate_limit_queue": ["kubectl -n shop set env deployment/chat RATE_LIMIT_MODE=queue", STATUS],
        "limit_concurrency": ["kubectl -n shop set env deployment/chat MAX_CONCURRENT_REQUESTS=5", STATUS],
        "fallback": ["kubectl -n shop set env deployment/chat MISTRAL_FALLBACK=true", STATUS],
        "raise_timeout": ["kubectl -n shop set env deployment/chat MISTRAL_TIMEOUT=60000", STATUS],
    }


@pytest.mark.parametrize(
    ("name", "asked", "line"),
    [
        ("fallback", {"value": "off"}, "set env deployment/chat MISTRAL_FALLBACK=false"),
        ("limit_concurrency", {"value": "3"}, "set env deployment/chat MAX_CONCURRENT_REQUESTS=3"),
        ("rollback", {"revision": "7"}, "rollout undo deployment/chat --to-revision=7"),
        ("rotate_key", {"secret": "next/token"}, 'get secret next -o \'go-template={{with index .data "token"}}'),
        ("rotate_key", {"secret": "next"}, 'get secret next -o \'go-template={{with index .data "api-key"}}'),
        ("rotate_key", {"secret": KEY_BY_FORM}, "read -rs NEW && "),
    ],
)
def test_the_usual_lines_do_what_was_asked_for(name: str, asked: dict[str, str], line: str) -> None:
    assert line in "\n".join(remedy(name).commands("shop", "chat", (), asked=asked))


def test_the_usual_lines_name_the_secret_of_the_settings() -> None:
    first, *_ = remedy("rotate_key").commands("shop", "chat", (), usual=KeyReference("keys", "token"))
    assert '}}\' token "$NEW"' in first
    assert "patch secret keys " in first
    for name in set(RemedyName) - {"rotate_key"}:
        usual = remedy(name).commands("shop", "chat", (), usual=KeyReference("keys", "token"))
        assert usual == remedy(name).commands("shop", "chat", ())


@pytest.mark.parametrize("name", RemedyName)
def test_what_is_shown_of_the_usual_lines_is_redacted_before_which_leaves_them_as_they_are(name: str) -> None:
    for line in remedy(name).commands("shop", "chat", ()):
        assert redact(line) == line
