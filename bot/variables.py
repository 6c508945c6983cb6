"""The environment variables: name, default, meaning and what each may hold. ``settings`` makes values of them."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class LogFormat(StrEnum):
    """How the log's lines are written."""

    CONSOLE = "console"
    JSON = "json"


class Secret:
    """A value that must not be shown: only :meth:`reveal` gives it, ``str`` and ``repr`` give stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the wire only."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def _text(text: str) -> str:
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or any(c.isspace() or ord(c) < 32 for c in text):
        raise ValueError("an http:// or https:// URL")
    return text


def _proxy(text: str) -> str:
    return _url(text if "://" in text else f"http://{text}")


def _optional_url(text: str) -> str | None:
    return _url(text) if text else None


def _secret(text: str) -> Secret:
    if any(c.isspace() or ord(c) < 32 or ord(c) > 126 for c in text):
        raise ValueError("one word of printable ASCII without spaces")
    return Secret(text)


def _bot_token(text: str) -> Secret:
    if text.startswith(("xapp-", "xoxp-")):
        raise ValueError("the bot token, which starts with xoxb-")
    return _secret(text)


def _app_token(text: str) -> Secret:
    if text.startswith(("xoxb-", "xoxp-")):
        raise ValueError("the app-level token, which starts with xapp-")
    return _secret(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError("a port number from 0 (any free one) to 65535")
    return int(text)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("the path of a file that exists")
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError("the path of a folder that exists")
    return path


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("a number of seconds above 0")
    return value


def _models(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if any(not re.fullmatch(r"[\w.:/@-]{1,200}", name, re.ASCII) for name in names):
        raise ValueError("model names separated by commas, or nothing")
    return names


def _kube_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text):
        raise ValueError("a Kubernetes name: small letters, digits, - and .")
    return text


def _secret_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", text):
        raise ValueError("a key of a Secret: letters, digits, -, _ and .")
    return text


def _selector(text: str) -> str:
    if not re.fullmatch(r"[\w.,/()=! -]{1,500}", text, re.ASCII):
        raise ValueError("a Kubernetes label selector, such as app=mistral-service")
    return text


def _counter(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^\n]*\})?", text):
        raise ValueError('a counter or a selector, such as mistral_errors_total{namespace="prod"}')
    return text


def _database(text: str) -> str:
    if not text.startswith(("sqlite+aiosqlite:///", "postgresql+psycopg://")):
        raise ValueError("sqlite+aiosqlite:///FILE or postgresql+psycopg://…")
    return text


def _log_format(text: str) -> LogFormat:
    if text not in list(LogFormat):
        raise ValueError(" or ".join(LogFormat))
    return LogFormat(text)


@dataclass(frozen=True)
class Variable:
    """One environment variable; ``parse`` raises ValueError whose text ends the sentence "it should hold …"."""

    meaning: str
    default: str | None = None
    parse: Callable[[str], Any] = _text
    secret: bool = False
    empty_counts: bool = False
    lower_case_too: bool = False

    def shown(self, text: str) -> str:
        """What the variable holds, as it may be told: secrets and passwords in URLs masked, long text cut."""
        if self.secret:
            return f"a secret of {len(text)} characters"
        masked = re.sub(r"(://)[^@/\s]*@", r"\1***@", text)
        return repr(masked if len(masked) <= 100 else masked[:99] + "…")


def _masked(meaning: str, parse: Callable[[str], Secret] = _secret) -> Variable:
    return Variable(meaning, None, parse, secret=True)


TARGET_VARIABLES: dict[str, Variable] = {
    "MISTRAL_API_KEY": _masked("the service's key, where the bot may not read it from the Secret"),
    "MISTRAL_API_URL": Variable("Mistral's API", "https://api.mistral.ai", _url),
    "MISTRAL_CANARY_MODELS": Variable(
        "comma-separated; one tiny request each; empty: none", "mistral-small-latest", _models, empty_counts=True
    ),
    "MISTRAL_SLOW_SECONDS": Variable("a first byte of a canary later than this is slow", "3", _seconds),
    "MISTRAL_STATUS_URL": Variable(
        "the provider's status page; empty: off", "https://status.mistral.ai", _optional_url, empty_counts=True
    ),
    "SERVICE_HEALTH_URL": Variable("your own service's health endpoint", None, _url),
    "PROMETHEUS_URL": Variable("Prometheus", None, _url),
    "PROMETHEUS_TOKEN": _masked("a bearer token for Prometheus"),
    "PROMETHEUS_ERRORS": Variable("the counter of failed requests", "mistral_errors_total", _counter),
    "PROMETHEUS_REQUESTS": Variable("the counter of all requests", "mistral_requests_total", _counter),
    "KUBECONFIG": Variable("a kubeconfig; else the pod's own account, else ~/.kube/config, else off"),
    "KUBE_CONTEXT": Variable("a context of the kubeconfig; else its current one"),
    "KUBE_NAMESPACE": Variable("the service's namespace", "default", _kube_name),
    "KUBE_DEPLOYMENT": Variable("the service's deployment", "mistral-service", _kube_name),
    "KUBE_SELECTOR": Variable("the label selector of its pods", "app=mistral-service", _selector),
    "KUBE_SECRET": Variable("the Secret that holds the Mistral key", "mistral-secrets", _kube_name),
    "KUBE_SECRET_KEY": Variable("the key within that Secret", "api-key", _secret_key),
}

VARIABLES: dict[str, Variable] = {
    "SLACK_BOT_TOKEN": _masked("bot token", _bot_token),
    "SLACK_APP_TOKEN": _masked("set: Socket Mode", _app_token),
    "SLACK_SIGNING_SECRET": _masked("set: HTTP mode, `POST /slack/events`"),
    "SLACK_API_URL": Variable("Slack's Web API, or a stand-in for it", "https://slack.com/api/", _url),
    "HOST": Variable("the address to listen on", "0.0.0.0"),  # noqa: S104 - a pod must be reached from outside
    "PORT": Variable("the port to listen on", "8080", _port),
    "LOG_FORMAT": Variable("how the log is written: console or json", "console", _log_format),
    "MISTRAL_BOT_CONFIG": Variable("a YAML file for lists: targets, labels, timeouts, limits", None, _file),
    "TEMPLATES_DIR": Variable("a folder of templates that is looked in first", None, _folder),
    "HTTPS_PROXY": Variable("the proxy for https:// URLs", None, _proxy, lower_case_too=True),
    "HTTP_PROXY": Variable("the proxy for http:// URLs", None, _proxy, lower_case_too=True),
    "NO_PROXY": Variable("comma-separated hosts that need no proxy", None, lower_case_too=True),
    "SSL_CERT_FILE": Variable("a CA bundle to trust instead of the system's", None, _file),
    **TARGET_VARIABLES,
    "DATABASE_URL": Variable("the database", "sqlite+aiosqlite:///mistral-bot.db", _database),
    "INCIDENT_CHANNEL": Variable("where incidents are announced"),
    "ALERTMANAGER_TOKEN": _masked("bearer token that `POST /alerts` requires"),
    "STATUSPAGE_API_KEY": _masked("Atlassian Statuspage"),
    "STATUSPAGE_PAGE_ID": Variable("the page there"),
    "STATUSPAGE_API_URL": Variable("its API", "https://api.statuspage.io/v1", _url),
    "PAGERDUTY_ROUTING_KEY": _masked("PagerDuty Events API v2"),
    "PAGERDUTY_EVENTS_URL": Variable("its URL", "https://events.pagerduty.com/v2/enqueue", _url),
    "PAGER_WEBHOOK_URL": _masked("a webhook that is posted to when nobody responds, beside or instead of PagerDuty"),
    "EVIDENCE_DIR": Variable("where evidence bundles are kept", "./evidence", Path),
}


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: ``did you mean X?``, else ``known are X, Y, …``."""
    import difflib  # nobody misspells as a rule

    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
