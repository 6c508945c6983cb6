"""The Kubernetes API in one namespace, as ``ports.Cluster``: reads with bounds, asks once, translates every error.

The vendor's library reads the login; requests go over aiohttp directly, because the vendor's own
transport reads answers whole, whatever their size.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from bot.clients.login import LOG_IN_AGAIN, Login, Logins
from bot.clients.proxies import proxy_for
from bot.domain.objects import each
from bot.domain.redaction import redact
from bot.errors import BadAnswer, Changed, Forbidden, LoginExpired, NotFound, Unreachable
from bot.settings import Kubernetes, Limits, Network

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

# kind -> (path, resource): a fixed table saves the discovery, which is several round trips and a cache file
_RESOURCES = {
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "Event": ("/api/v1", "events"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# Error bodies are one small Status object; what is longer is not read.
_ERROR_BYTES = 64_000
# Who made a change, as the API server notes it in managedFields.
_FIELD_MANAGER = "mistral-bot"
_MERGE_PATCH = "application/merge-patch+json"
# What the server quotes of a refused object may be a secret: the value that it finds invalid, and the text around it.
_QUOTED_VALUE = re.compile(r"(?s)^((?:Invalid|Unsupported|Duplicate) value|Not found): (?:(?:.*[\"}\])]|\S+): |.*$)")
_QUOTED_TEXT = re.compile(r"(?s),? ?error found in #.*")


class KubernetesCluster:
    """One target's cluster. ``timeout_s`` bounds a login and each answer, and for logs the wait between two pieces."""

    def __init__(self, settings: Kubernetes, limits: Limits, network: Network, *, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._limits = limits
        self._network = network
        self._timeout_s = timeout_s
        self.logins = Logins(settings, timeout_s)
        self._session: ClientSession | None = None

    async def close(self) -> None:
        await self.logins.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def prepare(self) -> None:
        await self.logins.prepare()

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object; raises NotFound, Forbidden, LoginExpired, Unreachable, BadAnswer, UpstreamError."""
        asked = f"get {_RESOURCES[kind][1]}/{name}"
        return await self._json("GET", self._path(kind, name), asked)

    async def list(self, kind: str, *, selector: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects, ``limits.page_objects`` at a time and at most ``limits.pods``; raises as ``get`` does."""
        asked = f"list {_RESOURCES[kind][1]}"
        query = {"limit": str(min(self._limits.page_objects, self._limits.pods))}
        if selector:
            query["labelSelector"] = selector
        left = self._limits.pods
        while True:
            page = await self._json("GET", self._path(kind), asked, query=query)
            items, metadata = page.get("items"), page.get("metadata")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise BadAnswer(f"the cluster's answer to {asked} is not a list")
            for item in items[:left]:
                yield item
            left -= len(items)
            more = metadata.get("continue") if isinstance(metadata, dict) else None
            if not more or not items or left <= 0:
                return
            query["continue"] = str(more)

    async def log_chunks(
        self, pod: str, container: str, *, since_s: int, tail_lines: int | None, previous: bool = False
    ) -> AsyncIterator[bytes]:
        """The newest lines as they come off the wire; raises NotFound too where the container never started."""
        query = {"container": container, "sinceSeconds": str(since_s), "timestamps": "true"}
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        if previous:
            query["previous"] = "true"
        async with self._answer("GET", f"{self._path('Pod', pod)}/log", "get pods/log", query=query) as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    async def patch(self, kind: str, name: str, patch: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """The object after a merge patch; raises as ``get`` does, and Changed. Unreachable: it may be there or not."""
        asked = f"patch {_RESOURCES[kind][1]}/{name}"
        query = {"fieldManager": _FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return await self._json("PATCH", self._path(kind, name), asked, query=query, body=patch)

    async def may(self, verb: str, resource: str, *, group: str = "", name: str = "", subresource: str = "") -> bool:
        """Whether RBAC lets the bot do that in the namespace (SelfSubjectAccessReview)."""
        attributes = {
            "namespace": self._settings.namespace,
            "verb": verb,
            "group": group,
            "resource": resource,
            "name": name,
            "subresource": subresource,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        asked = "create selfsubjectaccessreviews"
        status = (await self._json("POST", _REVIEWS, asked, body=review)).get("status")
        allowed = status.get("allowed") if isinstance(status, dict) else None
        if not isinstance(allowed, bool):
            raise BadAnswer("the cluster's answer to an access review does not say whether it is allowed")
        return allowed

    def _path(self, kind: str, name: str | None = None) -> str:
        base, resource = _RESOURCES[kind]
        path = f"{base}/namespaces/{quote(self._settings.namespace, safe='')}/{resource}"
        return path if name is None else f"{path}/{quote(name, safe='')}"

    async def _json(
        self, method: str, path: str, asked: str, *, query: dict[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        async with self._answer(method, path, asked, query=query, body=body, total_s=self._timeout_s) as answer:
            limit = self._limits.response_bytes
            content = await _read(answer, limit)
        # who cannot read what came of a patch does not know whether it was made
        kind = Unreachable if method == "PATCH" else BadAnswer
        if len(content) > limit:
            raise kind(f"the cluster's answer to {asked} is larger than {limit} bytes (limits: response_bytes)")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            # not chained: a decoder's error carries the whole text, which may be a Secret's
            raise kind(f"the cluster's answer to {asked} is not JSON") from None
        if not isinstance(document, dict):
            raise kind(f"the cluster's answer to {asked} is not an object")
        return document

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        asked: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        total_s: float | None = None,
    ) -> AsyncIterator["ClientResponse"]:
        import aiohttp

        login = await self.logins.current(None)
        try:
            answer = await self._send(login, method, path, query, body, total_s)
            if answer.status == 401:
                # a rotated token or a new login of the person who runs the bot takes effect without a restart
                renewed = await self.logins.current(login)
                if renewed is not login:
                    answer.close()
                    login = renewed
                    answer = await self._send(login, method, path, query, body, total_s)
            try:
                if not 200 <= answer.status < 300:
                    raise await self._refusal(answer, asked)
                yield answer
            finally:
                # closed, not released: the rest of an answer that is too large must not be read either
                if not answer.content.at_eof():
                    answer.close()
                answer.release()
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise BadAnswer("the cluster's address is not a URL") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, aiohttp.ClientConnectionError | OSError) and not isinstance(error, TimeoutError):
                self.logins.doubt(login)
            raise Unreachable(f"the cluster at {_host(login.server)} cannot be reached: {_why(error)}") from error

    async def _send(
        self, login: Login, method: str, path: str, query: dict[str, str] | None, body: Any, total_s: float | None
    ) -> "ClientResponse":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        headers = {"Accept": "application/json", "User-Agent": "mistral-incident-bot"}
        authorization = login.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if method == "PATCH":
            headers["Content-Type"] = _MERGE_PATCH
        return await self._session.request(
            method,
            login.server + path,
            params=query,
            json=body,
            headers=headers,
            ssl=login.tls,
            proxy=login.proxy or proxy_for(login.server, self._network),
            server_hostname=login.server_name,
            timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=self._timeout_s, sock_read=self._timeout_s),
            allow_redirects=False,
        )

    async def _refusal(self, answer: "ClientResponse", asked: str) -> Exception:
        where = f"{asked} in {self._settings.namespace}"
        if answer.status == 401:
            return LoginExpired(f"the cluster does not know us any more: {LOG_IN_AGAIN}")
        content = await _read(answer, _ERROR_BYTES)
        if asked.startswith("patch "):
            return _patch_refused(answer.status, _status(content), where)
        if answer.status == 403:
            return Forbidden(f"forbidden: {where}")
        said = _message(_status(content))
        if answer.status == 404 or (answer.status == 400 and asked == "get pods/log"):
            return NotFound(said or f"not found: {where}")
        return BadAnswer(f"the cluster answered {answer.status} to {where}" + (f": {said}" if said else ""))


async def _read(answer: "ClientResponse", limit: int) -> bytes:
    """At most ``limit`` bytes and a piece: longer than ``limit`` means that there was more."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > limit:
            break
    return bytes(content)


def _status(content: bytes) -> Mapping[str, Any]:
    """The Status object of a refusal; empty where it is none (a proxy's page is not for people)."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}


def _message(status: Mapping[str, Any]) -> str:
    """The sentence of a Status object, which may quote anything; cut."""
    said = status.get("message")
    return _printable(redact(said)) if isinstance(said, str) else ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:200])


def _patch_refused(code: int, status: Mapping[str, Any], where: str) -> Exception:
    """The error of a patch that was refused, without the values that the server may quote."""
    said = str(status.get("message", ""))
    # a policy's no is a 403 too, but no Role would change it
    policy = said.startswith("admission webhook ")
    if code == 403 and not policy:
        return Forbidden(f"forbidden: {where}")
    if code == 404:
        return NotFound(_message(status) or f"not found: {where}")
    if code == 409:
        return Changed(f"{where.removeprefix('patch ')} has changed since it was read")
    secret = where.startswith("patch secrets/")
    causes = [_cause(one, secret=secret) for one in each(status, "details", "causes")]
    # a policy or a decoder says what it likes, and in a Secret all that there is to quote is secret
    why = "; ".join(causes) or (str(status.get("reason", "")) if secret else _QUOTED_TEXT.sub("", said))
    shown = _printable(redact(why))
    # a server that broke or is busy has refused nothing: the change may be there, or may be tried again
    kind = Unreachable if code >= 500 or code == 429 else BadAnswer
    return kind(f"the cluster answered {code} to {where}" + (f": {shown}" if shown else ""))


def _cause(cause: Mapping[str, Any], *, secret: bool) -> str:
    """One thing that is wrong with an object, such as ``spec.replicas: Invalid value: must be greater than 0``."""
    message = _QUOTED_TEXT.sub("", str(cause.get("message")))
    said = _QUOTED_VALUE.sub(r"\1: ", message).removesuffix(": ")
    if secret and not said.startswith("Forbidden: "):
        said = str(cause.get("reason"))
    return f"{cause.get('field')}: {said}"


def _why(error: BaseException) -> str:
    import aiohttp

    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | ssl.CertificateError):
        return "its certificate is not trusted, or TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.strerror or "connection refused"
    return "the connection broke"


def _host(server: str) -> str:
    parts = urlsplit(server)
    return parts.hostname + (f":{parts.port}" if parts.port else "") if parts.hostname else "an unknown address"
