"""The settings, as frozen values; ``configuration`` reads them from the environment and the YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bot.domain.alerts import Alerts
from bot.domain.policy import Policy
from bot.domain.remedies import EnvSpec
from bot.errors import SettingsError
from bot.variables import LogFormat, Secret, nearest

DEFAULT_TARGET = "default"


@dataclass(frozen=True, kw_only=True)
class Slack:
    """Where and as whom the bot speaks; Socket Mode where there is an app token, else signed HTTP."""

    bot_token: Secret | None
    app_token: Secret | None
    signing_secret: Secret | None
    api_url: str

    def problems(self) -> list[str]:
        """What keeps ``mistral-bot run`` from talking to Slack, one line each; empty when nothing does."""
        found = []
        if self.bot_token is None:
            found.append("SLACK_BOT_TOKEN is not set; it should hold the bot token (xoxb-…) of the Slack app")
        if self.app_token is None and self.signing_secret is None:
            found.append(
                "neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET (HTTP mode) is set; set one of them"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class Network:
    """The way out: proxies by scheme, the hosts that need none, and a CA bundle to trust instead of the system's."""

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Mistral:
    """The provider's API as one target uses it."""

    api_key: Secret | None
    api_url: str
    canary_models: tuple[str, ...]
    slow_s: float
    status_url: str | None


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """Where the metrics are and what the two counters are called (a name or a selector)."""

    url: str | None
    token: Secret | None
    errors: str
    requests: str


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """Which cluster, and what in it is the service. Neither ``kubeconfig`` nor ``in_cluster``: the part is off."""

    kubeconfig: str | None
    in_cluster: bool
    context: str | None
    namespace: str
    deployment: str
    selector: str
    secret: str
    secret_key: str

    @property
    def configured(self) -> bool:
        return self.in_cluster or self.kubeconfig is not None


@dataclass(frozen=True, kw_only=True)
class Target:
    """One service in one place that can be triaged; the environment describes the one called ``default``."""

    name: str
    mistral: Mistral
    service_health_url: str | None
    prometheus: Prometheus
    kubernetes: Kubernetes


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the counters' labels are called."""

    code: str = "code"
    pod: str = "pod"
    model: str = "model"


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds. ``deadline`` bounds a whole triage, ``default`` a probe, the others the probes they name."""

    deadline: float = 10.0
    default: float = 5.0
    canary: float = 8.0
    mistral_api: float | None = None
    control: float | None = None
    health: float | None = None
    prometheus: float | None = None
    pods: float | None = None
    rollout: float | None = None
    logs: float | None = None
    secret: float | None = None
    egress: float | None = None
    provider_status: float | None = None
    service_key: float = 1.5

    def of(self, probe: str) -> float:
        """The seconds that the probe called ``probe`` has."""
        own = getattr(self, probe, None)
        return self.default if own is None else float(own)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of anything that can be large is read; what was left out is said in the finding."""

    response_bytes: int = 8_000_000
    pods: int = 5_000
    page_objects: int = 250
    log_pods: int = 500
    log_streams: int = 20
    log_tail_lines: int = 2_000
    log_line_bytes: int = 4_096
    log_since_s: int = 300


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """How much comes in over HTTP before it is refused. Above the rates, which a burst of a second may double, the
    answer is short: 429 for pages, 503 for what is sent again later.
    """

    connections: int = 1_000
    """All of them together; for one more the oldest is closed."""
    slow_s: int = 75
    """A connection that has sent no whole request for so long is closed; above what load balancers keep idle."""
    pages_per_second: int = 5_000
    """The status page, its feed and API; and once more as many for health and metrics."""
    slack_per_second: int = 2_500
    alerts_per_second: int = 2_500


@dataclass(frozen=True, kw_only=True)
class StatusPageSettings:
    """What the public reads. ``url`` is the bot's own page as the public reaches it; None: no link to it is known.

    ``links`` are (text, URL); ``folder``: where the static site is written, None: nowhere. ``names_provider``: whether
    the texts that are ready to send name Mistral.
    """

    builtin: bool = True
    name: str = "Status"
    url: str | None = None
    logo: str | None = None
    links: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None
    names_provider: bool = False


@dataclass(frozen=True, kw_only=True)
class EvidenceSettings:
    """How much a bundle may hold and how long it is kept. ``emails``: whether e-mail addresses are masked, too.

    A bundle above ``upload_bytes`` stays in EVIDENCE_DIR; Slack takes files of up to 1 GB.
    """

    keep: timedelta = timedelta(days=30)
    since: timedelta = timedelta(hours=1)
    """How far back the logs go; the runbook's."""
    deadline_s: float = 300.0
    file_bytes: int = 100_000_000
    bundle_bytes: int = 1_500_000_000
    """Of the files together, before they are packed."""
    upload_bytes: int = 200_000_000
    emails: bool = False
    latency: str = "mistral_request_duration_seconds"
    """The histogram of how long requests take."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set; see the table in README.md."""

    slack: Slack
    network: Network
    targets: tuple[Target, ...]
    labels: Labels
    timeouts: Timeouts
    limits: Limits
    log_excerpts: bool
    policy: Policy
    components: tuple[str, ...]
    """What an incident may affect."""
    alerts: Alerts
    status_page: StatusPageSettings
    remedies: Mapping[str, EnvSpec]
    """Those that set a variable: the bot's own as the file has them, then those that the file adds."""
    host: str
    port: int
    http: HttpLimits
    log_format: LogFormat
    templates_dir: Path | None
    database_url: str
    incident_channel: str | None
    alertmanager_token: Secret | None
    statuspage_api_key: Secret | None
    statuspage_page_id: str | None
    statuspage_api_url: str
    pagerduty_routing_key: Secret | None
    pagerduty_events_url: str
    pager_webhook_url: Secret | None
    evidence_dir: Path
    evidence: EvidenceSettings

    def alert_problems(self) -> list[str]:
        """What keeps alerts that are taken from becoming incidents, one line each."""
        if self.alertmanager_token is None or self.incident_channel is not None:
            return []
        told = "it should hold the id of the channel (C…) where the incidents of alerts are announced"
        return [f"ALERTMANAGER_TOKEN is set and INCIDENT_CHANNEL is not; {told}"]

    def target(self, name: str) -> Target:
        """The target called ``name``; raises SettingsError with the nearest name if there is none."""
        for target in self.targets:
            if target.name == name:
                return target
        names = [target.name for target in self.targets]
        raise SettingsError([f"there is no target called {name!r}; {nearest(name, names)}"])
