"""Kubernetes: each permission that a triage needs, asked of the cluster itself (SelfSubjectAccessReview), and whether
the deployment is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

    @property
    def text(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{part}{f' {self.name}' if self.name else ''}"


def _needed(kubernetes: Kubernetes) -> tuple[_Permission, ...]:
    return (
        _Permission("list", "pods"),
        _Permission("get", "pods", subresource="log"),
        _Permission("get", "deployments", "apps", kubernetes.deployment),
        _Permission("list", "replicasets", "apps"),
        _Permission("list", "networkpolicies", "networking.k8s.io"),
        _Permission("get", "secrets", "", kubernetes.secret),
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
            results.append(
                CheckResult(
                    what=one.text,
                    ok=allowed,
                    detail=f"{'allowed' if allowed else 'forbidden'} in {kubernetes.namespace}",
                    mend="" if allowed else f"Add it to the bot's Role in the namespace {kubernetes.namespace}.",
                )
            )
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
