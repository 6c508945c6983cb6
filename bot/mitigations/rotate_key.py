"""Mistral's key in the service's Secret, replaced by one that another Secret holds: no key passes through the bot's
messages, its database or its log.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.clients import keys
from bot.domain.changes import Change, KeyChange
from bot.domain.incident import Refusal
from bot.domain.objects import Object, each, within
from bot.domain.redaction import redact
from bot.domain.remedies import KEY_BY_FORM, RemedyName
from bot.domain.workload import KeyReference, key_entry, key_reference, secret_key
from bot.errors import NotConfigured, NotFound
from bot.mitigations._kubectl import line, lines, watched
from bot.mitigations._rollout import filled_in, must_roll_out
from bot.mitigations.restart import restart
from bot.ports import NOTHING_ASKED, Argument, Ask, Cluster
from bot.settings import Kubernetes

_SECRET = "secret"  # noqa: S105 - an argument's name
# A Secret's name, and an entry of it, as the API server takes them.
_NAMED = re.compile(r"([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?:/([A-Za-z0-9._-]{1,253}))?")
# Who writes a Secret again whenever it is not as they want it; their owner reference need not call itself controller.
_WRITERS = frozenset(
    {
        *("ExternalSecret", "ClusterExternalSecret", "SealedSecret", "SecretProviderClass"),
        *("SecretProviderClassPodStatus", "VaultStaticSecret", "VaultDynamicSecret", "OnePasswordItem"),
        *("InfisicalSecret", "DopplerSecret", "AzureKeyVaultSecret", "SopsSecret", "BitwardenSecret"),
    }
)
_WRITTEN = ("reconcile.external-secrets.io/", "external-secrets.io/", "secrets-store.csi.k8s.io/managed")
_USUAL = KeyReference("mistral-secrets", "api-key")


@dataclass(frozen=True, kw_only=True)
class RotateKey:
    name: str = RemedyName.ROTATE_KEY
    what: str = "checks a new key, puts it into the service's Secret and restarts the pods"
    temporary: bool = False
    reverts_itself: bool = False
    shields: bool = False
    arguments: Sequence[Argument] = (
        Argument(
            name=_SECRET,
            label="Secret that holds the new key",
            hint="its name, or NAME/ENTRY; never the key itself",
        ),
    )

    def temporary_with(self, arguments: Mapping[str, str]) -> bool:
        return False

    def checked(self, arguments: Mapping[str, str]) -> Mapping[str, str]:
        held = filled_in(self.name, arguments, [_SECRET])
        asked = held.get(_SECRET)
        if asked is None:
            raise Refusal(
                "Name the Secret in the service's namespace that holds the new key, as NAME or NAME/ENTRY; "
                "`kubectl create secret generic NAME --from-file=ENTRY=/dev/stdin` makes one without showing the key."
            )
        if asked != KEY_BY_FORM and (not _NAMED.fullmatch(asked) or redact(asked) != asked):
            raise Refusal(
                "That is no Secret's name; it should be NAME or NAME/ENTRY. If it was the key itself, revoke it: "
                "it was typed where others may see it."
            )
        return held

    async def plan(self, ask: Ask) -> Sequence[Change]:
        must_roll_out(ask)
        asked = self.checked(ask.arguments)[_SECRET]
        cluster, place = ask.run.cluster, ask.run.target.kubernetes
        if cluster is None:
            raise NotConfigured("not configured: set KUBECONFIG, or run in the cluster")
        target = await _target(ask.deployment, place, cluster)
        change = KeyChange(secret=target.name, entry=target.entry, source="", source_entry="", source_version="")
        if asked != KEY_BY_FORM:
            change = await _from_source(ask, cluster, target, asked)
        return (change, restart(ask))

    def commands(
        self,
        namespace: str,
        deployment: str,
        changes: Sequence[Change],
        *,
        usual: KeyReference | None = None,
        asked: Mapping[str, str] = NOTHING_ASKED,
    ) -> Sequence[str]:
        if changes:
            return lines(namespace, deployment, changes)
        at, entry = usual or _USUAL, (usual or _USUAL).key or _USUAL.key or ""
        named = asked.get(_SECRET, KEY_BY_FORM)
        source, _, source_entry = ("" if named == KEY_BY_FORM else named).partition("/")
        put = KeyChange(
            secret=at.secret,
            entry=entry,
            source=source,
            source_entry=(source_entry or entry) if source else "",
            source_version="",
        )
        return (
            lines(namespace, deployment, (put,))[0],
            line(namespace, "rollout", "restart", f"deployment/{deployment}"),
            watched(namespace, deployment),
        )


@dataclass(frozen=True)
class _Target:
    """The entry that the pods take the key from."""

    name: str
    entry: str
    secret: Object


async def _target(deployment: Object, place: Kubernetes, cluster: Cluster) -> _Target:
    """Raises Refusal where the bot should not, or cannot, write what the pods take."""
    reference = key_reference(deployment, place.secret, place.secret_key)
    if reference is None:
        raise Refusal(
            "The pod template takes Mistral's key from no Secret, so there is none to put a new key into; "
            "change it where the deployment has it from, or let it take the key from a Secret."
        )
    try:
        secret = await cluster.get("Secret", reference.secret)
    except NotFound:
        raise Refusal(
            f"There is no Secret {reference.secret}, which the pods take the key from; create it with the new key "
            "and restart."
        ) from None
    if secret.get("immutable") is True:
        raise Refusal(
            f"Secret {reference.secret} is immutable; create another with the new key, and let the deployment take "
            "the key from that one."
        )
    writer = _writer(secret)
    if writer:
        raise Refusal(
            f"Secret {reference.secret} is written by {writer}, which would put the old key back; change the key in "
            "the store behind it, have it synchronised, and restart."
        )
    return _Target(reference.secret, key_entry(reference, within(secret, "data"), place.secret_key), secret)


def _writer(secret: Object) -> str:
    """Who else writes the Secret; empty where nobody is known to."""
    for owner in each(secret, "metadata", "ownerReferences"):
        if owner.get("controller") is True or owner.get("kind") in _WRITERS:
            return f"{owner.get('kind')} {owner.get('name')}"
    for where in ("labels", "annotations"):
        for name in within(secret, "metadata", where):
            if str(name).startswith(_WRITTEN):
                return f"whoever set {name} on it"
    return ""


async def _from_source(ask: Ask, cluster: Cluster, target: _Target, asked: str) -> KeyChange:
    """Raises Refusal where the source has no new key that the API takes."""
    name, _, named = asked.partition("/")
    try:
        source = await cluster.get("Secret", name)
    except NotFound:
        place = ask.run.target.kubernetes.namespace
        raise Refusal(f"There is no Secret {name} in {place}; create it with the new key, or name another.") from None
    entry = _source_entry(name, named, within(source, "data"), target)
    key = secret_key(source, entry)
    if key is None:
        raise Refusal(f"Entry {entry} of Secret {name} holds no key: it should be one word of printable ASCII.")
    if key == secret_key(target.secret, target.entry):
        raise Refusal(f"Secret {name} holds the key that is in use; put the new one there first.")
    refused = await keys.refused(ask.run, key)
    if refused is not None:
        raise Refusal(refused)
    return KeyChange(
        secret=target.name,
        entry=target.entry,
        source=name,
        source_entry=entry,
        source_version=str(within(source, "metadata").get("resourceVersion") or ""),
    )


def _source_entry(name: str, named: str, data: Object, target: _Target) -> str:
    """The entry that is named; else the only one, or that which is called as in the target."""
    if name == target.name and (named or target.entry) == target.entry:
        raise Refusal(f"The pods take the key from Secret {name}, entry {target.entry}, already; name another source.")
    entry = named or (str(next(iter(data))) if len(data) == 1 else target.entry)
    if entry in data:
        return entry
    there = ", ".join(sorted(map(str, data))[:10]) or "none"
    raise Refusal(f"Secret {name} has no entry {entry}; its entries: {there}. Name one as {name}/ENTRY.")


MITIGATION = RotateKey()
