"""Reads the settings, once, from the environment and one YAML file; nothing else reads either.

``load(environ)`` tells every wrong value together in one :class:`SettingsError`. The YAML file, named by
MISTRAL_BOT_CONFIG, holds what a variable cannot: ``targets``, ``labels``, ``timeouts``, ``limits``, ``log_excerpts``,
``policy``, ``may``, ``components``, ``remedies``, ``approvers``, ``mitigations``, ``alerts``, ``stakeholders``,
``status_page``, ``provider_watch``, ``evidence``, ``postmortem``, ``actions``, ``http``.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bot.aftermath import read_afterwards, read_evidence
from bot.alert_rules import read_alerts
from bot.audiences import read_stakeholders, read_status_page, read_watch
from bot.domain.policy import Policy
from bot.domain.redaction import redact
from bot.domain.remedies import EnvSpec
from bot.errors import SettingsError
from bot.policies import read_components, read_policy
from bot.remedies import read_mitigations, read_remedies
from bot.settings import (
    DEFAULT_TARGET,
    HttpLimits,
    Kubernetes,
    Labels,
    Limits,
    Mistral,
    Network,
    Prometheus,
    Settings,
    Slack,
    Target,
    Timeouts,
)
from bot.variables import TARGET_VARIABLES, VARIABLES, nearest

_SECTIONS = (
    *("targets", "labels", "timeouts", "limits", "log_excerpts", "policy", "may", "components"),
    *("remedies", "approvers", "mitigations", "alerts", "stakeholders", "status_page", "provider_watch"),
    *("evidence", "postmortem", "actions", "http"),
)
# Read by parts of the bot that own these lists; named here so that a misspelt key is told and these are not.
_LISTS_OF_OTHER_PARTS = ("queries",)


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that ``environ`` and its YAML file hold; raises SettingsError that tells every wrong one."""
    problems: list[str] = []
    values = _parse(environ, tuple(VARIABLES), "", problems)
    document = _read_yaml(values["MISTRAL_BOT_CONFIG"], problems)
    targets = [_target(DEFAULT_TARGET, values, environ), *_more_targets(document, values, environ, problems)]
    section = {
        name: _section(kind, document.get(name), name, problems)
        for name, kind in (("labels", Labels), ("timeouts", Timeouts), ("limits", Limits), ("http", HttpLimits))
    }
    excerpts = _excerpts(document, problems)
    remedies = read_remedies(document, problems)
    policy = _policy(document, remedies, problems)
    components = read_components(document, problems)
    alerts = read_alerts(document, [target.name for target in targets], problems)
    status_page = read_status_page(document, problems)
    evidence = read_evidence(document, problems)
    if problems:
        # each quotes what the file holds
        raise SettingsError([redact(problem) for problem in problems])
    return Settings(
        slack=_slack(values),
        network=_network(values),
        targets=tuple(targets),
        labels=section["labels"],
        timeouts=section["timeouts"],
        limits=section["limits"],
        log_excerpts=excerpts,
        policy=policy,
        components=components,
        alerts=alerts,
        status_page=status_page,
        remedies=remedies,
        host=values["HOST"],
        port=values["PORT"],
        http=section["http"],
        log_format=values["LOG_FORMAT"],
        templates_dir=values["TEMPLATES_DIR"],
        database_url=values["DATABASE_URL"],
        incident_channel=values["INCIDENT_CHANNEL"],
        alertmanager_token=values["ALERTMANAGER_TOKEN"],
        statuspage_api_key=values["STATUSPAGE_API_KEY"],
        statuspage_page_id=values["STATUSPAGE_PAGE_ID"],
        statuspage_api_url=values["STATUSPAGE_API_URL"],
        pagerduty_routing_key=values["PAGERDUTY_ROUTING_KEY"],
        pagerduty_events_url=values["PAGERDUTY_EVENTS_URL"],
        pager_webhook_url=values["PAGER_WEBHOOK_URL"],
        evidence_dir=values["EVIDENCE_DIR"],
        evidence=evidence,
    )


def _excerpts(document: Mapping[str, Any], problems: list[str]) -> bool:
    held = document.get("log_excerpts", True)
    if not isinstance(held, bool):
        problems.append(f"log_excerpts holds {held!r}; it should hold true or false")
    return bool(held)


def _policy(document: Mapping[str, Any], remedies: Mapping[str, EnvSpec], problems: list[str]) -> Policy:
    return replace(
        read_policy(document, problems),
        mitigations=read_mitigations(document, remedies, problems),
        stakeholders=read_stakeholders(document, problems),
        watch=read_watch(document, problems),
        afterwards=read_afterwards(document, problems),
    )


def _slack(values: Mapping[str, Any]) -> Slack:
    return Slack(
        bot_token=values["SLACK_BOT_TOKEN"],
        app_token=values["SLACK_APP_TOKEN"],
        signing_secret=values["SLACK_SIGNING_SECRET"],
        api_url=values["SLACK_API_URL"].rstrip("/") + "/",
    )


def _network(values: Mapping[str, Any]) -> Network:
    return Network(
        http_proxy=values["HTTP_PROXY"],
        https_proxy=values["HTTPS_PROXY"],
        no_proxy=values["NO_PROXY"],
        ca_file=values["SSL_CERT_FILE"],
    )


def _parse(source: Mapping[str, str], names: tuple[str, ...], prefix: str, problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        variable = VARIABLES[name]
        held = source.get(name)
        if held is None and variable.lower_case_too:
            held = source.get(name.lower())
        text = variable.default if held is None or (not held.strip() and not variable.empty_counts) else held.strip()
        try:
            values[name] = None if text is None else variable.parse(text)
        except ValueError as error:
            values[name] = None if variable.default is None else variable.parse(variable.default)
            problems.append(f"{prefix}{name} holds {variable.shown(text or '')}; it should hold {error}")
    return values


def _target(name: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> Target:
    kubeconfig, in_cluster = _cluster_login(values["KUBECONFIG"], environ)
    return Target(
        name=name,
        mistral=Mistral(
            api_key=values["MISTRAL_API_KEY"],
            api_url=values["MISTRAL_API_URL"].rstrip("/"),
            canary_models=values["MISTRAL_CANARY_MODELS"],
            slow_s=values["MISTRAL_SLOW_SECONDS"],
            status_url=values["MISTRAL_STATUS_URL"],
        ),
        service_health_url=values["SERVICE_HEALTH_URL"],
        prometheus=Prometheus(
            url=values["PROMETHEUS_URL"],
            token=values["PROMETHEUS_TOKEN"],
            errors=values["PROMETHEUS_ERRORS"],
            requests=values["PROMETHEUS_REQUESTS"],
        ),
        kubernetes=Kubernetes(
            kubeconfig=kubeconfig,
            in_cluster=in_cluster,
            context=values["KUBE_CONTEXT"],
            namespace=values["KUBE_NAMESPACE"],
            deployment=values["KUBE_DEPLOYMENT"],
            selector=values["KUBE_SELECTOR"],
            secret=values["KUBE_SECRET"],
            secret_key=values["KUBE_SECRET_KEY"],
        ),
    )


def _cluster_login(named: str | None, environ: Mapping[str, str]) -> tuple[str | None, bool]:
    """(kubeconfig, in cluster): the file that is named, else the pod's own account, else ~/.kube/config, else off."""
    if named is not None:
        return named, False
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return None, True
    home = environ.get("HOME")
    usual = Path(home, ".kube", "config") if home else None
    return (str(usual), False) if usual is not None and usual.is_file() else (None, False)


def _read_yaml(path: Path | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml  # costs 50 ms, and most commands run without a file

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid YAML in UTF-8"
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problems.append(f"MISTRAL_BOT_CONFIG holds {str(path)!r}, which cannot be read: {reason}{where}")
        return {}
    if not isinstance(document, dict):
        problems.append(f"MISTRAL_BOT_CONFIG holds {str(path)!r}; the file should hold a map of settings")
        return {}
    known = (*_SECTIONS, *_LISTS_OF_OTHER_PARTS)
    problems.extend(f"{path}: unknown key {key!r}; {nearest(str(key), known)}" for key in document if key not in known)
    return document


def _more_targets(
    document: Mapping[str, Any], inherited: Mapping[str, Any], environ: Mapping[str, str], problems: list[str]
) -> list[Target]:
    listed = document.get("targets") or []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        problems.append("targets should hold a list of maps, each with a name and the variables that it overrides")
        return []
    targets: list[Target] = []
    for entry in listed:
        name = str(entry.get("name") or "")
        taken = name == DEFAULT_TARGET or any(target.name == name for target in targets)
        if not name or taken or any(character.isspace() for character in name):
            problems.append(f"targets: a name holds {name!r}; it should hold a word of its own, not used twice")
            continue
        held = {
            key: _expanded(str(value), environ) for key, value in entry.items() if key != "name" and value is not None
        }
        unknown = [key for key in held if key not in TARGET_VARIABLES]
        problems.extend(
            f"targets: {name}: {key} is not a setting of a target; {nearest(str(key), TARGET_VARIABLES)}"
            for key in unknown
        )
        own = _parse(held, tuple(key for key in held if key in TARGET_VARIABLES), f"targets: {name}: ", problems)
        targets.append(_target(name, {**inherited, **own}, environ))
    return targets


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    """``${NAME}`` as a whole value stands for the variable NAME, so that keys of further targets stay out of files."""
    if text.startswith("${") and text.endswith("}"):
        return environ.get(text[2:-1], "")
    return text


def _section(kind: Any, held: object, name: str, problems: list[str]) -> Any:
    values = kind()
    if held is None:
        return values
    if not isinstance(held, dict):
        problems.append(f"{name} should hold a map")
        return values
    known = {field.name: field for field in fields(kind)}
    for key, value in held.items():
        if key not in known:
            problems.append(f"{name}: unknown key {key!r}; {nearest(str(key), known)}")
            continue
        wants = str if kind is Labels else int if kind in (Limits, HttpLimits) else float
        right = (
            isinstance(value, str) if wants is str else isinstance(value, int | float) and not isinstance(value, bool)
        )
        if not right or (wants is not str and not value > 0) or (wants is int and not isinstance(value, int)):
            what = {str: "a label's name", int: "a whole number above 0", float: "a number of seconds above 0"}[wants]
            problems.append(f"{name}: {key} holds {value!r}; it should hold {what}")
            continue
        values = replace(values, **{key: wants(value)})
    return values
