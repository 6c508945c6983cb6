"""The login to a Kubernetes cluster: from kubeconfig files and a context, or from the pod's own account.

The vendor's loader does the work (exec plugins, OIDC, client certificates); what it says of a wrong file is
translated here into a sentence that names the file. No sentence holds a token.
"""

import asyncio
import importlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import yaml

from bot.clients.imports import IMPORTING
from bot.errors import LoginExpired, UpstreamError
from bot.settings import Kubernetes

LOG_IN_AGAIN = "log in to the cluster again"


@dataclass(frozen=True)
class Login:
    """How to speak to one API server; ``made`` is the loop's time at which it was read."""

    server: str
    configuration: Any = field(repr=False)
    tls: ssl.SSLContext
    made: float

    @property
    def proxy(self) -> str | None:
        """``proxy-url`` of the kubeconfig; None leaves it to the environment."""
        return self.configuration.proxy or None

    @property
    def server_name(self) -> str | None:
        return self.configuration.tls_server_name or None

    async def authorization(self) -> str | None:
        """The Authorization header; a pod's own token is read anew once a minute, as it is rotated.

        Raises LoginExpired where a token cannot be read, or be sent.
        """
        try:
            settings = await self.configuration.auth_settings()
        except (OSError, _vendor("config").ConfigException) as error:
            raise LoginExpired(f"the pod's own token cannot be read: {LOG_IN_AGAIN}") from error
        # a file's last line may end in a line feed, which no header can carry
        value = settings["BearerToken"]["value"].strip() if "BearerToken" in settings else None
        if value is not None and not value.isprintable():
            raise LoginExpired(f"the token for the cluster holds control characters: {LOG_IN_AGAIN}")
        return value


async def log_in(settings: Kubernetes) -> Login:
    """Reads the login; raises UpstreamError that names the file, or LoginExpired where a login command failed.

    ``load_vendor`` should have been called before, in a thread.
    """
    configuration = _vendor("client.configuration").Configuration()
    if settings.in_cluster:
        _load_own_account(configuration)
    else:
        await _load_files(settings, configuration)
    try:
        tls = _vendor("client.rest").RESTClientObject(configuration).ssl_context
    except (OSError, ValueError) as error:
        raise UpstreamError(f"the certificates that {_source(settings)} names cannot be used") from error
    return Login(configuration.host.rstrip("/"), configuration, tls, asyncio.get_running_loop().time())


def load_vendor() -> None:
    """Imports the vendor's modules, which takes about a second the first time."""
    for name in ("client.configuration", "client.rest", "config"):
        _vendor(name)


def _vendor(name: str) -> ModuleType:
    with IMPORTING:
        return importlib.import_module(f"kubernetes.aio.{name}")


def _source(settings: Kubernetes) -> str:
    return "the pod's own account" if settings.in_cluster else f"the kubeconfig {settings.kubeconfig}"


def _load_own_account(configuration: Any) -> None:
    config = _vendor("config")
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (OSError, config.ConfigException) as error:
        raise UpstreamError(
            "the pod's own account cannot be read: does its service account mount a token "
            "(automountServiceAccountToken)?"
        ) from error


async def _load_files(settings: Kubernetes, configuration: Any) -> None:
    named = settings.kubeconfig or ""
    context = await asyncio.to_thread(_checked_context, named, settings.context)
    config = _vendor("config")
    try:
        loader = await config.load_kube_config(
            config_file=named, context=context, client_configuration=configuration, persist_config=False
        )
    except config.ConfigException as error:
        if "oidc" in str(error):
            raise LoginExpired(f"the login of context {context} has expired: {LOG_IN_AGAIN}") from error
        raise _malformed(named, f"the entries of context {context} are not complete") from error
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise _malformed(named, f"the entries of context {context} cannot be used") from error
    for what, value in (("server", configuration.host), ("proxy-url", configuration.proxy or None)):
        if value is not None and not _is_url(value):
            raise _malformed(named, f"the {what} of context {context} is not an http:// or https:// URL")
    if not isinstance(configuration.tls_server_name, str | None):
        raise _malformed(named, f"the tls-server-name of context {context} is not a text")
    user = loader._user
    held = vars(loader)
    if user is not None and "exec" in user and "token" not in held and not held.get("cert_file"):
        # the vendor logs why a login command failed and goes on without a login, as nobody
        command = Path(str(user["exec"].value.get("command", "?"))).name
        raise LoginExpired(f"the login command {command} of context {context} failed: {LOG_IN_AGAIN}")


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)


def _checked_context(named: str, wanted: str | None) -> str:
    """The context to use, once the files have been found to be kubeconfigs that have it."""
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    there = [path for path in paths if path.is_file()]
    if not there:
        raise UpstreamError(f"the kubeconfig {named} is not there")
    contexts: list[str] = []
    current: str | None = None
    for path in there:
        document = _read(path)
        contexts += [str(entry["name"]) for entry in document.get("contexts") or []]
        # as kubectl does: of several files the first that says so counts
        current = current or document.get("current-context")
    context = wanted or current
    if context is None:
        raise UpstreamError(f"the kubeconfig {named} has no current context; set KUBE_CONTEXT")
    if context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise UpstreamError(f"the kubeconfig {named} has no context {context!r}; it has: {known}")
    return context


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise _malformed(str(path), "it is not UTF-8") from error
    except OSError as error:
        raise UpstreamError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        # not chained: the parser quotes the line, which may hold a token
        raise _malformed(str(path), f"it is not valid YAML{where}") from None
    if not isinstance(document, dict):
        raise _malformed(str(path), "it holds no map of settings")
    for section in ("clusters", "contexts", "users"):
        entries = document.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e for e in entries):
            raise _malformed(str(path), f"{section} is not a list of named entries")
    return document


def _malformed(path: str, why: str) -> UpstreamError:
    return UpstreamError(f"the kubeconfig {path} is malformed: {why}")
