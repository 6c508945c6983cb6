"""Reads the login to a Kubernetes cluster: from kubeconfig files and a context, or from the pod's own account.

The vendor's loader does the work (exec plugins, OIDC, client certificates); what it says of a wrong file is
translated here into a sentence that names the file. No sentence holds a token. It runs as a process of its own, for
:mod:`bot.clients.login`: it is given the settings as JSON on stdin, and prints what it read as JSON.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio import config as vendor
from kubernetes.aio.client import Configuration

from bot.clients.login import LOG_IN_AGAIN, Credentials, answer, asked, refusal, source
from bot.errors import LoginExpired, UpstreamError
from bot.settings import Kubernetes

# untyped
config: Any = vendor


class _Kept(logging.Handler):
    """What the vendor's library warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    kept = _Kept()
    logging.basicConfig(handlers=[kept])
    try:
        read = asyncio.run(credentials(asked(json.load(sys.stdin))))
    except UpstreamError as error:
        print(refusal(error, kept.lines))
    else:
        print(answer(read, kept.lines))


async def credentials(settings: Kubernetes) -> Credentials:
    """Raises UpstreamError that names the file, or LoginExpired where a login command failed."""
    configuration: Any = Configuration()
    token = token_file = None
    if settings.in_cluster:
        _load_own_account(configuration)
        # it is rotated: whoever uses it reads it
        token_file = str(config.incluster_config.SERVICE_TOKEN_FILENAME)
    else:
        await _load_files(settings, configuration)
        bearer = (await configuration.auth_settings()).get("BearerToken")
        token = None if bearer is None else bearer["value"].strip()
    try:
        return Credentials(
            server=configuration.host,
            token=token,
            token_file=token_file,
            ca=configuration.ca_cert_data or _text(configuration.ssl_ca_cert),
            certificate=_text(configuration.cert_file),
            key=_text(configuration.key_file),
            verify=bool(configuration.verify_ssl),
            strict=not configuration.disable_strict_ssl_verification,
            server_name=configuration.tls_server_name or None,
            proxy=configuration.proxy or None,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise UpstreamError(f"the certificates that {source(settings)} names cannot be used") from error


def _text(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text(encoding="utf-8")


def _load_own_account(configuration: Any) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (OSError, config.ConfigException) as error:
        raise UpstreamError(
            "the pod's own account cannot be read: does its service account mount a token "
            "(automountServiceAccountToken)?"
        ) from error


async def _load_files(settings: Kubernetes, configuration: Any) -> None:
    named = settings.kubeconfig or ""
    context = _checked_context(named, settings.context)
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


if __name__ == "__main__":
    main()
