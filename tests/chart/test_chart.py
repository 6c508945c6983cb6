"""The chart by the real helm: what it refuses, and what it makes of its values."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.measures import REGISTRY
from bot.variables import VARIABLES
from bot.web.metrics import Metrics
from tests.chart.rendering import CHART, POSTGRESQL, SECRET, helm, kind, rendered
from tests.needed import fail_or_skip
from tests.role import rules

EVERYTHING = {
    "existingSecret": "mistral-bot",
    "database": {"kind": "postgresql"},
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
    "settings": {"INCIDENT_CHANNEL": "C012AB3CD", "MISTRAL_SLOW_SECONDS": 4},
    "config": {"components": ["Chat"], "may": {"resolve": ["U012AB3CD"]}},
    "templates": {"statuspage/style.css": "body { margin: 0 }\n"},
    "kubernetes": {
        "namespace": "prod",
        "moreTargets": [{"namespace": "eu", "deployment": "mistral-eu", "secret": "keys", "newSecrets": []}],
    },
    "evidence": {"existingClaim": "bundles"},
    "networkPolicy": {"egressPorts": [443, 5432], "from": [{"namespaceSelector": {}}]},
    "ingress": {"enabled": True, "hosts": ["bot.example.com"], "tls": [{"hosts": ["bot.example.com"]}]},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "tolerations": [{"operator": "Exists"}],
    "priorityClassName": "important",
}
MATRIX: Mapping[str, Mapping[str, Any]] = {
    "the least": {"existingSecret": "mistral-bot"},
    "PostgreSQL": {"existingSecret": "mistral-bot", "database": {"kind": "postgresql"}},
    "three replicas": {"existingSecret": "mistral-bot", "database": {"kind": "postgresql"}, "replicas": 3},
    "a volume that is there": {"existingSecret": "mistral-bot", "database": {"existingClaim": "held"}},
    "without a cluster": {"existingSecret": "mistral-bot", "kubernetes": {"enabled": False}},
    "read only": {"existingSecret": "mistral-bot", "kubernetes": {"readOnly": True}},
    "an account of one's own": {
        "existingSecret": "mistral-bot",
        "serviceAccount": {"create": False, "name": "own"},
        "rbac": {"create": False},
    },
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_it_lints_and_renders_with_each_of_the_matrix(values: Mapping[str, Any]) -> None:
    linted = helm("lint", "--strict", str(CHART), values=values)
    assert linted.returncode == 0, linted.stdout
    objects = rendered(values=values)
    names = [(held["kind"], held["metadata"]["name"], held["metadata"].get("namespace")) for held in objects]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "existingSecret"),
        ((*SECRET, "--set", "replicas=2"), "replicas"),
        ((*SECRET, "--set", "database.kind=mysql"), "database/kind"),
        ((*SECRET, "--set", "replica=2"), "replica"),
        ((*SECRET, "--set", "settings.SLACK_BOT_TOKEN=xoxb-1"), "SLACK_BOT_TOKEN"),
        ((*SECRET, "--set", "settings.DATABASE_URL=x"), "DATABASE_URL"),
        ((*SECRET, "--set", "ingress.enabled=true"), "hosts"),
        ((*SECRET, "--set", "image.digest=latest"), "digest"),
        ((*SECRET, "--set-json", 'templates={"../x":"y"}'), "invalid propertyName '../x'"),
        ((*POSTGRESQL, "--set", "replicas=0"), "replicas"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_installed(words: Sequence[str], said: str) -> None:
    told = helm("template", "incident", str(CHART), *words)
    assert told.returncode != 0
    assert said in told.stderr


def test_a_file_has_one_bot_and_a_server_two() -> None:
    one = kind(rendered(*SECRET), "Deployment")["spec"]
    assert (one["replicas"], one["strategy"]["type"]) == (1, "Recreate")
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "incident-mistral-incident-bot"}} in one["template"][
        "spec"
    ]["volumes"]
    objects = rendered(*POSTGRESQL)
    two = kind(objects, "Deployment")["spec"]
    assert (two["replicas"], two["strategy"]["rollingUpdate"]) == (2, {"maxSurge": 1, "maxUnavailable": 0})
    (url,) = [held for held in container(objects)["env"] if held["name"] == "DATABASE_URL"]
    assert url["valueFrom"] == {"secretKeyRef": {"name": "mistral-bot", "key": "DATABASE_URL"}}
    assert not [held for held in objects if held["kind"] == "PersistentVolumeClaim"]
    assert kind(objects, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert not [held for held in rendered(*SECRET) if held["kind"] == "PodDisruptionBudget"], "it would hold up a drain"


def test_the_budget_is_of_the_version_that_the_cluster_has() -> None:
    """helm's own list without a cluster has the newest alone; a real 1.20 is in tests/cluster/test_install.py."""
    assert kind(rendered(*POSTGRESQL), "PodDisruptionBudget")["apiVersion"] == "policy/v1"


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (held,) = kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(held, dict)
    return held


@pytest.mark.parametrize("where", ["Deployment", "Pod"])
def test_every_pod_is_within_the_restricted_pod_security_standard(where: str) -> None:
    """kubernetes.io/docs/concepts/security/pod-security-standards, each field of "restricted"."""
    held = kind(rendered(values=EVERYTHING), where)
    spec = held["spec"]["template"]["spec"] if where == "Deployment" else held["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"initContainers", "ephemeralContainers"} & spec.keys()
    for one in spec["containers"]:
        limits = one["securityContext"]
        assert limits["allowPrivilegeEscalation"] is False
        assert limits["capabilities"] == {"drop": ["ALL"]}
        assert limits["readOnlyRootFilesystem"] is True
        assert not limits.get("privileged")
        assert not {"procMount", "seLinuxOptions", "sysctls"} & limits.keys()
        assert not [held for held in one.get("ports", ()) if "hostPort" in held]
    allowed = {
        "configMap",
        "emptyDir",
        "persistentVolumeClaim",
        "secret",
        "projected",
        "downwardAPI",
        "csi",
        "ephemeral",
    }
    assert all((volume.keys() - {"name"}) <= allowed for volume in spec.get("volumes", ()))


def test_all_probes_ask_the_process_alone() -> None:
    held = container(rendered(*POSTGRESQL))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert held[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_the_role_is_the_readmes_and_read_only_changes_nothing_in_the_cluster() -> None:
    assert kind(rendered(*SECRET), "Role")["rules"] == rules()
    objects = rendered(*SECRET, "--set", "kubernetes.readOnly=true")
    held = kind(objects, "Role")["rules"]
    assert {verb for rule in held for verb in rule["verbs"]} == {"get", "list"}
    assert held == [rule for rule in rules() if "patch" not in rule["verbs"] and "new" not in str(rule)]
    assert yaml.safe_load(kind(objects, "ConfigMap")["data"]["config.yaml"]) == {"may": {"mitigate": []}}


def test_each_target_has_a_role_of_its_own_where_it_is() -> None:
    objects = rendered(values=EVERYTHING)
    roles = [held for held in objects if held["kind"] == "Role"]
    assert [held["metadata"]["namespace"] for held in roles] == ["prod", "eu"]
    named = {name for rule in roles[1]["rules"] for name in rule.get("resourceNames", ())}
    assert named == {"mistral-eu", "keys"}
    assert not [rule for rule in roles[1]["rules"] if "secrets" in rule["resources"] and "patch" in rule["verbs"]]
    bindings = [held for held in objects if held["kind"] == "RoleBinding"]
    assert [(held["metadata"]["namespace"], held["subjects"][0]["namespace"]) for held in bindings] == [
        ("prod", "bots"),
        ("eu", "bots"),
    ]


def test_what_is_optional_is_off() -> None:
    optional = {"Ingress", "ServiceMonitor", "PrometheusRule", "PodDisruptionBudget"}
    assert not optional & {held["kind"] for held in rendered(*SECRET)}
    assert optional <= {held["kind"] for held in rendered(values=EVERYTHING)}


def test_the_ingress_shows_nothing_but_what_the_public_and_slack_need() -> None:
    (rule,) = kind(rendered(values=EVERYTHING), "Ingress")["spec"]["rules"]
    paths = [held["path"] for held in rule["http"]["paths"]]
    assert paths == ["/status", "/api/v2", "/slack/events", "/alerts"]


def test_overrides_of_templates_lie_where_the_bot_looks() -> None:
    objects = rendered(values=EVERYTHING)
    spec = kind(objects, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [held for held in spec["volumes"] if held["name"] == "config"]
    (item,) = [held for held in volume["configMap"]["items"] if held["path"] == "templates/statuspage/style.css"]
    (config,) = [held for held in objects if held["kind"] == "ConfigMap" and "config.yaml" in held["data"]]
    assert config["data"][item["key"]] == "body { margin: 0 }\n"
    environ = {held["name"]: held.get("value") for held in container(objects)["env"]}
    assert environ["TEMPLATES_DIR"] == "/etc/mistral-bot/templates"
    assert environ["MISTRAL_SLOW_SECONDS"] == "4"


def test_a_changed_file_makes_new_pods() -> None:
    def checksum(*words: str) -> str:
        spec = kind(rendered(*SECRET, *words), "Deployment")["spec"]
        return str(spec["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum("--set-json", 'config={"components":["Chat"]}')


def test_the_schema_knows_each_setting_that_is_no_secret_and_not_the_charts_own() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    managed = rendered(*SECRET, "--set-json", 'templates={"updates/x":"y"}')
    # HOST and EVIDENCE_DIR are the image's; in a pod the cluster is the pod's own
    own = {held["name"] for held in container(managed)["env"]} | {"HOST", "EVIDENCE_DIR", "KUBECONFIG", "KUBE_CONTEXT"}
    named = {name for name, variable in VARIABLES.items() if not variable.secret}
    assert set(schema["properties"]["settings"]["propertyNames"]["enum"]) == named - own
    secrets = {name for name, variable in VARIABLES.items() if variable.secret}
    values = (CHART / "values.yaml").read_text()
    assert not [name for name in secrets if name not in values], "the file tells what the Secret may hold"


def test_every_value_is_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert yaml.safe_load((CHART / "values.yaml").read_text()).keys() == schema["properties"].keys() - {"global"}


def _expressions() -> list[str]:
    board = json.loads((CHART / "dashboards/mistral-bot.json").read_text())
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rule = kind(rendered(values=EVERYTHING), "PrometheusRule")
    return [*drawn, *(held["expr"] for group in rule["spec"]["groups"] for held in group["rules"])]


def test_what_is_drawn_and_alerted_on_is_measured() -> None:
    told = Metrics(lambda: None).text().decode()
    known = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE")}
    known |= {sample.name for family in REGISTRY.collect() for sample in family.samples}
    for expression in _expressions():
        names = re.findall(r"\b(?:mistral_bot|process)_\w+", expression)
        assert names or "up{" in expression
        for name in names:
            assert name in known or re.sub("_(bucket|count|sum|total)$", "", name) in known, name


def test_prometheus_itself_reads_each_expression(tmp_path: Path) -> None:
    promtool = "/usr/bin/promtool"
    if not Path(promtool).exists():
        fail_or_skip("promtool is not there: Debian's package prometheus has it")
    rule = kind(rendered(values=EVERYTHING), "PrometheusRule")["spec"]
    records = [
        {"record": f"panel_{number}", "expr": expression.replace("$job", "x")}
        for number, expression in enumerate(_expressions())
    ]
    rule["groups"].append({"name": "panels", "rules": records})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule))
    checked = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(_FIRING))
    tested = subprocess.run([promtool, "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _case(series: Mapping[str, str], alert: str, at: str, *, fires: bool) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


_JOB = 'job="incident-mistral-incident-bot"'
_FIRING = {
    "rule_files": ["rules.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        _case({f"up{{{_JOB}}}": "0x20"}, "IncidentBotDown", "10m", fires=True),
        _case(
            {f"up{{{_JOB},pod='a'}}": "0x20", f"up{{{_JOB},pod='b'}}": "1x20"}, "IncidentBotDown", "10m", fires=False
        ),
        _case(
            {f'mistral_bot_delivery_age_seconds{{{_JOB},state="waiting"}}': "400x20"},
            "IncidentBotDeliveriesStuck",
            "10m",
            fires=True,
        ),
        _case(
            {f'mistral_bot_delivery_age_seconds{{{_JOB},state="dead"}}': "4000x20"},
            "IncidentBotDeliveriesStuck",
            "10m",
            fires=False,
        ),
        _case(
            {f'mistral_bot_deliveries{{{_JOB},state="dead"}}': "1x20"}, "IncidentBotDeliveriesGivenUp", "5m", fires=True
        ),
        _case({f"mistral_bot_clock_overdue_seconds{{{_JOB}}}": "90x20"}, "IncidentBotClocksMissed", "5m", fires=True),
        _case({f"mistral_bot_clock_overdue_seconds{{{_JOB}}}": "3x20"}, "IncidentBotClocksMissed", "5m", fires=False),
    ],
}
