"""Kubernetes: each permission that a triage or a remedy needs, asked of the cluster itself (SelfSubjectAccessReview),
and whether the deployment is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.policy import ApprovalRule
from bot.domain.remedies import RemedyName
from bot.errors import Forbidden, UpstreamError
from bot.ports import CheckResult, Cluster, ProbeRun
from bot.settings import Kubernetes, Settings


@dataclass(frozen=True)
class _Permission:
    verb: str
    resource: str
    group: str = ""
    name: str = ""
    subresource: str = ""
    remedy: str | None = None
    """The one remedy that it is for; empty: all of them; None: a triage needs it."""
    optional: str = ""
    """What alone is poorer without it; empty: it is needed."""

    @property
    def text(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{part}{f' {self.name}' if self.name else ''}"

    def answered(self, namespace: str, rules: Sequence[ApprovalRule], *, allowed: bool) -> CheckResult:
        """What is missing is no fault where nobody may approve what it is for."""
        said = f"{'allowed' if allowed else 'forbidden'} in {namespace}"
        mend = f"Add it to the bot's Role in the namespace {namespace}"
        if self.remedy is not None:
            said += f", for {self.remedy or 'every remedy'}"
            mend += f"; without it {f'{self.remedy} cannot' if self.remedy else 'no remedy can'} be applied"
        if self.optional:
            return CheckResult(what=self.text, ok=True, detail=f"{said}, for {self.optional}")
        used = self.remedy is None or any(_covers(rule, self.remedy) for rule in rules)
        if not allowed and not used:
            said += ", which nobody may approve as `approvers` stands"
        ok = allowed or not used
        return CheckResult(what=self.text, ok=ok, detail=said, mend="" if ok else f"{mend}.")


def _covers(rule: ApprovalRule, remedy: str) -> bool:
    return rule.remedies is None or not remedy or remedy in rule.remedies


def _needed(kubernetes: Kubernetes) -> tuple[_Permission, ...]:
    return (
        _Permission("list", "pods"),
        _Permission("get", "pods", subresource="log"),
        _Permission("get", "deployments", "apps", kubernetes.deployment),
        _Permission("list", "replicasets", "apps"),
        _Permission("list", "networkpolicies", "networking.k8s.io"),
        _Permission("get", "secrets", "", kubernetes.secret),
        _Permission("patch", "deployments", "apps", kubernetes.deployment, remedy=""),
        _Permission("patch", "secrets", "", kubernetes.secret, remedy=RemedyName.ROTATE_KEY),
        _Permission("list", "events", optional="the events in bundles of evidence"),
    )


@dataclass(frozen=True)
class KubernetesCheck:
    name: str = "Kubernetes"
    per_target: bool = True

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        if run.cluster is None:
            return ()
        kubernetes = run.target.kubernetes
        results = []
        for one in _needed(kubernetes):
            try:
                allowed = await run.cluster.may(
                    one.verb, one.resource, group=one.group, name=one.name, subresource=one.subresource
                )
            except UpstreamError as error:
                mend = "Check KUBECONFIG and KUBE_CONTEXT, and log in to the cluster again."
                return (CheckResult(what="cluster", ok=False, detail=str(error), mend=mend),)
            results.append(one.answered(kubernetes.namespace, settings.policy.mitigations.approvers, allowed=allowed))
        return [*results, *await _deployment(run.cluster, kubernetes)]


async def _deployment(cluster: Cluster, kubernetes: Kubernetes) -> Sequence[CheckResult]:
    what = f"deployment {kubernetes.deployment}"
    try:
        await cluster.get("Deployment", kubernetes.deployment)
    except Forbidden:
        return ()  # the permission's own line says so
    except UpstreamError as error:
        mend = "Set KUBE_NAMESPACE and KUBE_DEPLOYMENT to where your service runs."
        return (CheckResult(what=what, ok=False, detail=str(error), mend=mend),)
    return (CheckResult(what=what, ok=True, detail=f"is there in {kubernetes.namespace}"),)


CHECK = KubernetesCheck()
