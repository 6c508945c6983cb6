"""The chart on a real API server: each object taken, and its account let do what the bot offers and nothing else."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, programs, rendered
from tests.chart.test_chart import MATRIX
from tests.cluster.plane import ControlPlane
from tests.role import rules

_MONITORING = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}
_ACCOUNT = "system:serviceaccount:bots:incident-mistral-incident-bot"


class Kubectl:
    def __init__(self, control_plane: ControlPlane) -> None:
        self.environ = {**os.environ, "KUBECONFIG": str(control_plane.run / "admin.kubeconfig")}

    def __call__(self, *words: str, given: Any = None, fails: bool = False) -> str:
        told = subprocess.run(
            [programs() / "kubectl", *words],
            input=None if given is None else yaml.safe_dump_all(given),
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=60,
        )
        assert fails or told.returncode == 0, told.stderr
        return told.stdout + told.stderr

    def helm(self, *words: str, values: Any) -> str:
        told = subprocess.run(
            [programs() / "helm", *words, "--values", "-"],
            input=yaml.safe_dump(values),
            capture_output=True,
            text=True,
            env={**self.environ, "HELM_CACHE_HOME": "/nonexistent"},
            timeout=100,
        )
        assert told.returncode == 0, told.stderr
        return told.stdout


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> Iterator[Kubectl]:
    held = Kubectl(control_plane)
    for namespace in ("bots", "prod", "eu"):
        held("create", "namespace", namespace)
    crds = [_crd(kind, plural) for kind, plural in _MONITORING.items()]
    held("apply", "--server-side", "-f", "-", given=crds)
    held("wait", "--for=condition=Established", *(f"crd/{crd['metadata']['name']}" for crd in crds), "--timeout=30s")
    yield held
    held("delete", "namespace", "bots", "prod", "eu", "--wait=false")


def _crd(kind: str, plural: str) -> dict[str, Any]:
    """As little as a kind needs to be known."""
    group = "monitoring.coreos.com"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_the_server_takes_every_object_of_the_matrix(kubectl: Kubectl, values: Mapping[str, Any]) -> None:
    objects = rendered("--kube-version", "1.20.2", values=values)
    for held in objects:
        held["metadata"].setdefault("namespace", "bots")
        if held["kind"] == "PodDisruptionBudget":
            held["apiVersion"] = "policy/v1beta1"  # which helm chooses where it asks the server, as it does below
    told = kubectl("apply", "--dry-run=server", "--validate=false", "-f", "-", given=objects)
    assert told.count("(server dry run)") == len(objects)


@pytest.fixture(scope="module")
def installed(kubectl: Kubectl) -> dict[str, Any]:
    values = dict(MATRIX["everything"]) | {"image": {"repository": "registry.example.com/bot"}}
    values["kubernetes"] = {"namespace": "prod"}
    kubectl.helm("install", "incident", str(CHART), "--namespace", "bots", values=values)
    return values


def test_it_is_installed_for_real_and_upgraded(kubectl: Kubectl, installed: dict[str, Any]) -> None:
    kinds = "deployment,service,configmap,serviceaccount,pdb,networkpolicy,ingress,servicemonitor,prometheusrule"
    listed = json.loads(kubectl("get", kinds, "--namespace", "bots", "--output", "json"))["items"]
    of_ours = {held["kind"] for held in listed if held["metadata"]["name"].startswith("incident-")}
    assert len(of_ours) == 9
    (budget,) = [held for held in listed if held["kind"] == "PodDisruptionBudget"]
    assert budget["apiVersion"].startswith("policy/")
    assert len(json.loads(kubectl("get", "role", "--namespace", "prod", "--output", "json"))["items"]) == 1
    told = kubectl.helm("upgrade", "incident", str(CHART), "--namespace", "bots", values=installed | {"replicas": 3})
    assert "3 replicas on postgresql" in told
    held = json.loads(kubectl("get", "deployment", "--namespace", "bots", "--output", "json"))["items"]
    assert [one["spec"]["replicas"] for one in held] == [3]


def _may(kubectl: Kubectl, namespace: str) -> set[tuple[str, str, str]]:
    """(verb, resource, name) of what the API server itself says that the bot's account may."""
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    review = {**kind, "spec": {"namespace": namespace}}
    words = ("create", "--as", _ACCOUNT, "--as-group", "system:serviceaccounts", "--output", "json", "-f", "-")
    status = json.loads(kubectl(*words, given=[review]))["status"]
    assert not status["incomplete"]
    return {
        (verb, resource, name)
        for rule in status["resourceRules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
    }


# What every account may: ask what it may.
_EVERYBODY = {("create", "selfsubjectaccessreviews", ""), ("create", "selfsubjectrulesreviews", "")}
_BOT = {
    ("list", "pods", ""),
    ("get", "pods/log", ""),
    ("list", "replicasets", ""),
    ("list", "networkpolicies", ""),
    ("list", "events", ""),
    ("get", "deployments", "mistral-service"),
    ("patch", "deployments", "mistral-service"),
    ("get", "secrets", "mistral-secrets"),
    ("patch", "secrets", "mistral-secrets"),
    ("get", "secrets", "mistral-secrets-new"),
}


def test_its_account_may_do_what_it_offers_and_nothing_else(kubectl: Kubectl, installed: dict[str, Any]) -> None:
    assert _may(kubectl, "prod") - _EVERYBODY == _BOT
    for elsewhere in ("bots", "eu", "default", "kube-system"):
        assert _may(kubectl, elsewhere) <= _EVERYBODY, elsewhere
    refused = kubectl("get", "secrets", "--namespace", "prod", "--as", _ACCOUNT, fails=True)
    assert "forbidden" in refused
    # what tests/cluster/test_driven.py lets the bot do each of its remedies with
    told = {(rule["verbs"][0], rule["resources"][0], rule.get("resourceNames", [""])[0]) for rule in rules()}
    assert told == _BOT


def test_read_only_it_may_change_nothing(kubectl: Kubectl, installed: dict[str, Any]) -> None:
    read_only = installed | {"kubernetes": {"namespace": "prod", "readOnly": True}}
    kubectl.helm("upgrade", "incident", str(CHART), "--namespace", "bots", values=read_only)
    held = _may(kubectl, "prod") - _EVERYBODY
    assert held == {one for one in _BOT if one[0] != "patch" and one[2] != "mistral-secrets-new"}
