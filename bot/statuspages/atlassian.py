"""Atlassian Statuspage by its REST API v1 (https://developer.statuspage.io).

Which of our updates an incident there has stands in its ``metadata``, changed in the same request as the update itself:
after an answer that was lost it is read, and what is missing is added.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.clients.mistral import parse_json
from bot.domain.incident import plain
from bot.domain.publication import PublicIncident, PublicStatus, PublicUpdate, PublicView
from bot.domain.redaction import mask, redact
from bot.errors import BadAnswer, Forbidden, SettingsError, Unreachable
from bot.ports import Http, StatusPage
from bot.settings import Settings
from bot.variables import Secret

logger = logging.getLogger(__name__)

# "Each API token is limited to 1 request / second"; somewhat more, since the way there takes unequal times.
_PACE_S = 1.05
# Who is told to come back later than that is not waited for: the delivery comes again.
_LONGEST_WAIT_S, _LONGEST_REST_S = 10.0, 300.0
_TIMEOUT_S = 8.0
# Shorter than the lease of a delivery: nobody else tells the page meanwhile. What is not told by then comes next time.
_WITHIN_S = 35.0
_LATER = (408, 420, 425, 429)
# The key under which its metadata are ours.
_OURS = "mistral_bot"
# The newest that are looked through for one whose creation was not answered.
_LOOKED_THROUGH = 100
# Components are asked for by the page: all at once may be asked for only once a minute.
_PER_PAGE, _PAGES = 100, 10
# What a delivery keeps of where something stands.
_KNOWN_CHARS = 40
# Its ids and short links: they become parts of addresses.
_ID, _SHORT = re.compile(r"[A-Za-z0-9_-]{1,40}"), re.compile(r"[A-Za-z0-9.-]+(?:/[A-Za-z0-9_-]+)+")
_QUOTED_CHARS = 300


@dataclass
class Pace:
    """One request after another, none sooner after the last than Statuspage takes them."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _free_at: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def turn(self) -> None:
        """Returns when one may ask. Raises BadAnswer where that is long from now."""
        async with self._lock:
            now = self.monotonic()
            if self._free_at - now > _LONGEST_WAIT_S:
                raise BadAnswer(f"Statuspage asks to be asked later, in {self._free_at - now:.0f} s")
            if now < self._free_at:
                await self.sleep(self._free_at - now)
            self._free_at = max(now, self._free_at) + _PACE_S

    def rest(self, retry_after: str | None) -> None:
        """``retry_after``: the header's text, in seconds; nobody asks before that."""
        if retry_after is not None and retry_after.isdecimal():
            self._free_at = max(self._free_at, self.monotonic() + min(float(retry_after), _LONGEST_REST_S))


@dataclass(frozen=True, kw_only=True)
class Atlassian:
    """``url`` is the API's; ``page`` the page's id there."""

    http: Http
    url: str
    key: Secret
    page: str
    pace: Pace = field(default_factory=Pace)
    name: str = "atlassian"

    async def publish(self, incident: PublicIncident, view: PublicView, *, known: str | None) -> str:
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await self._publish(incident, view, known)
        except TimeoutError as error:
            raise Unreachable("Statuspage is slow; the rest follows") from error

    def link(self, incident: PublicIncident, known: str | None) -> str | None:
        short = (known or "").partition(" ")[2]
        return f"https://{short}" if short else None

    async def _publish(self, incident: PublicIncident, view: PublicView, known: str | None) -> str:
        states = {name: view.states[name].value for name in incident.components if name in view.states}
        there = await self._components() if states else {}
        if lacking := [name for name in states if name not in there]:
            logger.warning("the page at Statuspage has no component called %s", ", ".join(lacking))
        components = {there[name][0]: state for name, state in states.items() if name in there}
        held = await self._found(incident, known)
        missing = incident.updates[_told(held) :]
        for update in missing:
            if update.status is PublicStatus.POSTMORTEM and held is not None:
                await self._postmortem(held, update)
                body = _marked(incident, update)
            else:
                body = _marked(incident, update) | _said(incident, update, components)
            held = await self._write(held, {"incident": body})
        if held is None:
            raise BadAnswer("there is nothing to be told to Statuspage")
        if not missing:
            # another incident has changed them since, which the last update here could not know
            for name, (identity, state) in there.items():
                if name in states and states[name] != state:
                    await self._ask("PATCH", f"/components/{identity}", {"component": {"status": states[name]}})
        return _known(held)

    async def _components(self) -> dict[str, tuple[str, str]]:
        """The id and the state of the page's components by their names; groups of them have none of their own."""
        found: dict[str, tuple[str, str]] = {}
        for page in range(1, _PAGES + 1):
            listed = await self._ask("GET", f"/components?page={page}&per_page={_PER_PAGE}")
            held = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            found |= {
                str(one.get("name")): (str(one.get("id")), str(one.get("status")))
                for one in held
                if not one.get("group")
            }
            if len(held) < _PER_PAGE:
                break
        return found

    async def _found(self, incident: PublicIncident, known: str | None) -> dict[str, Any] | None:
        """The incident there; None: it has not been made yet."""
        if known is not None:
            held = await self._ask(
                "GET", f"/incidents/{known.partition(' ')[0]}", missing="the incident was deleted there"
            )
            return _object(held)
        listed = await self._ask("GET", f"/incidents?limit={_LOOKED_THROUGH}")
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and _ours(one).get("slug") == incident.slug:
                return one
        return None

    async def _write(self, held: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
        if held is None:
            return _object(await self._ask("POST", "/incidents", body))
        return _object(await self._ask("PATCH", f"/incidents/{held['id']}", body))

    async def _postmortem(self, held: Mapping[str, Any], update: PublicUpdate) -> None:
        """Written and published; what is published already, with the same words, is left alone."""
        place = f"/incidents/{held['id']}/postmortem"
        written = await self._ask("PUT", place, {"postmortem": {"body_draft": _body(update)}})
        if isinstance(written, dict) and written.get("published_at") and written.get("body") == _body(update):
            return
        await self._ask("PUT", f"{place}/publish", {"postmortem": {"notify_subscribers": True}})

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        missing: str = "it knows no such page: check STATUSPAGE_PAGE_ID",
    ) -> Any:
        """The JSON that is answered. Raises Unreachable and BadAnswer for what may work later, else Forbidden."""
        await self.pace.turn()
        answer = await self.http.fetch(
            method,
            f"{self.url}/pages/{self.page}{path}",
            timeout_s=_TIMEOUT_S,
            headers={"Authorization": f"OAuth {self.key.reveal()}"},
            json=body,
        )
        status = answer.status
        if status is None or (answer.failure is not None and 200 <= status <= 299):
            raise Unreachable("Statuspage cannot be reached")
        if 200 <= status <= 299:
            return parse_json(answer.body)
        if status in _LATER:
            self.pace.rest(answer.headers.get("retry-after"))
            raise BadAnswer(f"Statuspage asks to be asked later ({status}): it takes one request a second")
        if status >= 500:
            raise BadAnswer(f"Statuspage has a fault of its own ({status})")
        # an API may quote the key that it refuses
        why = mask(_why(status, parse_json(answer.body), missing), [self.key.reveal()])
        raise Forbidden(f"Statuspage refuses it ({status}): {_shortened(why)}")


def _why(status: int, answered: Any, missing: str) -> str:
    match status:
        case 401:
            return "the key is not accepted: check STATUSPAGE_API_KEY"
        case 403:
            return "the key may not change the page: check STATUSPAGE_API_KEY and STATUSPAGE_PAGE_ID"
        case 404:
            return missing
        case _:
            said = answered.get("error") if isinstance(answered, dict) else None
            words = "; ".join(map(str, said)) if isinstance(said, list) else str(said or "it does not say why")
            return redact(" ".join(plain(words).split()))


def _shortened(words: str) -> str:
    return words if len(words) <= _QUOTED_CHARS else words[: _QUOTED_CHARS - 1] + "…"


def _said(incident: PublicIncident, update: PublicUpdate, components: Mapping[str, str]) -> dict[str, Any]:
    ended = update.status in (PublicStatus.RESOLVED, PublicStatus.POSTMORTEM)
    return {
        "name": incident.title,
        # a postmortem of what was never told is told as its end
        "status": PublicStatus.RESOLVED.value if ended else update.status.value,
        "impact_override": incident.impact.value,
        "body": _body(update),
        "components": dict(components),
        "component_ids": list(components),
        "deliver_notifications": True,
    }


def _body(update: PublicUpdate) -> str:
    return f"{update.text}\n\nWorkaround: {update.workaround}" if update.workaround else update.text


def _marked(incident: PublicIncident, update: PublicUpdate) -> dict[str, Any]:
    return {"metadata": {_OURS: {"slug": incident.slug, "update": update.number}}}


def _ours(held: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = held.get("metadata")
    ours = metadata.get(_OURS) if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else {}


def _told(held: Mapping[str, Any] | None) -> int:
    """How many of our updates it has."""
    number = 0 if held is None else _ours(held).get("update", 0)
    return number if isinstance(number, int) and number > 0 else 0


def _known(held: Mapping[str, Any]) -> str:
    """Its id there, and the address by which people reach it, where that is short enough to be kept."""
    short = str(held.get("shortlink") or "").partition("://")[2]
    both = f"{held['id']} {short}"
    return both if _SHORT.fullmatch(short) and len(both) <= _KNOWN_CHARS else str(held["id"])


def _object(answered: Any) -> dict[str, Any]:
    held: dict[str, Any] = answered if isinstance(answered, dict) else {}
    identity = held.get("id")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise BadAnswer("Statuspage's answer makes no sense: check STATUSPAGE_API_URL")
    return held


def _make(settings: Settings, http: Http) -> StatusPage | None:
    key, page = settings.statuspage_api_key, settings.statuspage_page_id
    if key is None and page is None:
        return None
    if key is None or page is None:
        unset, other = (
            ("STATUSPAGE_PAGE_ID", "STATUSPAGE_API_KEY")
            if page is None
            else ("STATUSPAGE_API_KEY", "STATUSPAGE_PAGE_ID")
        )
        raise SettingsError([f"{other} is set and {unset} is not; set both, or neither"])
    return Atlassian(http=http, url=settings.statuspage_api_url.rstrip("/"), key=key, page=page)


STATUS_PAGE = _make
