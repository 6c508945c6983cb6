"""Scenarios: what the world does, read from YAML and checked. The format is told at the top of scenarios.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import SettingsError
from bot.sandbox.reading import built, document

FAILURES = ("dns", "connect", "tls", "timeout", "garbage")


@dataclass(frozen=True, kw_only=True)
class AnswerSpec:
    """What an HTTP upstream answers: a status with a body and headers, late by ``delay_s``, or one of FAILURES."""

    status: int = 200
    body: Any = None
    """None: what the upstream says when all is well, or a bare error."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    fail: str | None = None


@dataclass(frozen=True, kw_only=True)
class MistralSpec:
    models: AnswerSpec = AnswerSpec()
    canary: Mapping[str, AnswerSpec] = field(default_factory=dict)
    """By model; the keys are MISTRAL_CANARY_MODELS."""
    listed: tuple[str, ...] | None = None
    """The ids that ``/v1/models`` lists; None: those of ``canary`` and a few more."""
    deprecation: Mapping[str, int] = field(default_factory=dict)
    """Days until a listed model is deprecated."""


@dataclass(frozen=True, kw_only=True)
class PrometheusSpec:
    """Rates per second; ``errors`` by code. ``requests: 0`` and ``errors`` empty: 0/0."""

    requests: float = 0.0
    requests_hour_ago: float | None = None
    """None: as now."""
    errors: Mapping[str, float] = field(default_factory=dict)
    onset_minutes_ago: float | None = None
    """When the errors began; None: they were always there."""
    errors_ratio_last_30m: float | None = None
    """The share that failed until five minutes ago, for what is over now."""
    stopped_minutes_ago: float | None = None
    """When the last request and the last error came, five minutes ago or more: 0/0 since; None: they still come."""
    by_pod: Mapping[str, float] = field(default_factory=dict)
    """Errors per second by pod; empty: spread evenly over the cluster's pods."""
    by_model: Mapping[str, float] = field(default_factory=dict)
    fail: str | None = None
    """``down`` (refuses), ``timeout``, ``401``, ``403``, ``500``, ``garbage`` or ``nan``."""


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    desired: int = 3
    ready: int = 3
    revision: int = 1
    rollout_minutes_ago: float = 3000
    pods_started_minutes_ago: float | None = None
    """None: with the rollout."""
    not_ready_minutes: float = 10
    """For how long the pods that are not ready have not been."""
    secret_changed_minutes_ago: float | None = None
    waiting: str | None = None
    """The waiting reason of the pods that are not ready."""
    terminated: str | None = None
    """The reason with which one pod's container ended two minutes ago, such as OOMKilled."""
    egress: str | None = None
    """None: no NetworkPolicy; else ``allows only PORT[, PORT]`` or ``allows nothing``."""
    logs: tuple[str, ...] = ()
    """Lines of the last five minutes, repeated to thirty over all pods; empty: a few harmless ones."""
    secret: str = "present"  # noqa: S105 - whether there is one
    """``present``, ``missing``, ``without key``, or ``other key`` (the template names a key that is not there)."""
    spare_keys: Mapping[str, str] = field(default_factory=dict)
    """More Secrets by name, each with this key under the usual entry, as somebody makes them before a rotation."""
    key_from: str = "secret"
    """``secret``: the pod template takes the key from the Secret; ``value``: it is written into the template."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """What the newest revision changed against the one before: ``image`` or names of variables."""
    forbidden: tuple[str, ...] = ()
    """Kinds that may not be touched, such as ``pods``; with a verb what may not be done, as ``patch deployments``."""
    fail: str | None = None
    """``down``, ``timeout`` or ``401`` (login expired) for the whole API."""


@dataclass(frozen=True, kw_only=True)
class ProviderStatusSpec:
    """The provider's status page in the form of ``kind``: rootly, statuspage or instatus; or it fails."""

    kind: str = "statuspage"
    indicator: str = "none"
    incidents: tuple[Mapping[str, Any], ...] = ()
    """Each with ``name``, ``impact`` and ``components``."""
    fail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Expect:
    cause: str
    severity: str
    mitigations: tuple[str, ...] | None = None
    never: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Causes that must be among ``also``."""
    row: int | None = None
    """The number of the table's row that matches first."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One state of the world and the diagnosis that decision-table.md gives for it. None: not configured."""

    name: str
    mistral: MistralSpec | None = None
    service: AnswerSpec | None = None
    control: AnswerSpec = AnswerSpec()
    prometheus: PrometheusSpec | None = None
    cluster: ClusterSpec | None = None
    provider_status: ProviderStatusSpec | None = None
    expect: Expect


def load_scenarios(path: Path | None = None) -> dict[str, Scenario]:
    """The scenarios of a YAML file (by default the sandbox's own) by name; raises SettingsError that names a fault."""
    path = path or Path(__file__).with_name("scenarios.yaml")
    held = document(path)
    if not isinstance(held, list):
        raise SettingsError([f"the scenario file {path} should hold a list of scenarios"])
    scenarios: dict[str, Scenario] = {}
    for entry in held:
        scenario = scenario_of(entry)
        if scenario.name in scenarios:
            raise SettingsError([f"the scenario file {path} has {scenario.name!r} twice"])
        scenarios[scenario.name] = scenario
    return scenarios


def scenario_of(entry: Mapping[str, Any]) -> Scenario:
    """The scenario that an entry of the file tells; raises SettingsError that names a fault."""
    name = str(entry.get("name"))
    held = dict(entry)
    mistral = held.get("mistral")
    if mistral is not None:
        mistral = dict(mistral)
        mistral["models"] = _build(AnswerSpec, mistral.get("models") or {}, f"{name}: mistral.models")
        mistral["canary"] = {
            model: _build(AnswerSpec, spec or {}, f"{name}: mistral.canary.{model}")
            for model, spec in (mistral.get("canary") or {}).items()
        }
        held["mistral"] = _build(MistralSpec, mistral, f"{name}: mistral")
    kinds = {
        "service": AnswerSpec,
        "control": AnswerSpec,
        "prometheus": PrometheusSpec,
        "cluster": ClusterSpec,
        "provider_status": ProviderStatusSpec,
        "expect": Expect,
    }
    for key, kind in kinds.items():
        if held.get(key) is not None:
            held[key] = _build(kind, held[key], f"{name}: {key}")
    scenario: Scenario = _build(Scenario, held, name)
    return scenario


def _build(kind: Any, held: Mapping[str, Any], where: str) -> Any:
    if held.get("fail") is not None and kind is AnswerSpec and held["fail"] not in FAILURES:
        raise SettingsError(
            [f"scenario {where}: fail holds {held['fail']!r}; it should be one of {', '.join(FAILURES)}"]
        )
    return built(kind, held, where)
