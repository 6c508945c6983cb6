"""Reads what alerts are told in: Alertmanager's webhook (version 4), and the generic form; pure.

Whatever is in it is somebody else's: fields that are not known are ignored, texts are cut, cleaned of what no database
keeps and of secrets, and an odd value stands for nothing at all. Only what is not a webhook is refused.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from bot.domain.alerts import SEVERITY_WORDS, Alert, Alerts, Does, Payload, digest
from bot.domain.incident import Refusal, plain
from bot.domain.redaction import MASK, redact

# How much of an alert is kept; what is cut off is not needed to find it again.
LABELS, NAME_CHARS, VALUE_CHARS, SUMMARY_CHARS, URL_CHARS = 40, 100, 300, 500, 1000
# What rules and keys see of a label.
_READ_CHARS = 2000
_FINGERPRINT_CHARS = 64
# More than fit into a body, were they Alertmanager's; of empty ones there would be so many that reading them takes ten
# seconds, in which nobody else is answered.
_MOST = 5_000
_SUMMARIES = ("summary", "title", "message", "description")
# A sender's clock may be wrong, and is not believed to be that wrong.
_EARLIEST, _AHEAD = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=1)
_NO_WEBHOOK = "This is not Alertmanager's webhook: it should be a JSON map with a list of maps called alerts."


def read_webhook(held: Any, rules: Alerts, now: datetime) -> Payload:
    """What a webhook tells, without what the rules ignore. Raises Refusal where it is none."""
    told = held.get("alerts") if isinstance(held, dict) else None
    if not isinstance(told, list):
        raise Refusal(_NO_WEBHOOK)
    maps = [one for one in told if isinstance(one, dict)]
    if told and not maps:
        raise Refusal(_NO_WEBHOOK)
    if len(maps) > _MOST:
        raise Refusal(f"At most {_MOST} alerts are taken at once; let Alertmanager send fewer (max_alerts).")
    alerts = [_alert(one, str(held.get("status")), rules, now) for one in maps]
    left_out = held.get("truncatedAlerts")
    return Payload(
        alerts=tuple(one for one in alerts if one.judged.does is not Does.IGNORE),
        group=digest([_text(held.get(name)) for name in ("receiver", "groupKey")]),
        # whatever else than nothing it says, all of them are not here
        truncated=bool(left_out) and left_out != "0",
    )


def read_generic(held: Any, rules: Alerts, now: datetime) -> Payload:
    """What ``{title, severity, key, url, status}`` tells; raises Refusal, which says what is wrong."""
    if not isinstance(held, dict):
        raise Refusal("An alert should be a JSON map with title, severity, key, url and, when it is over, status.")
    title = held.get("title")
    if not isinstance(title, str) or not plain(title):
        raise Refusal("title is missing; it should hold a text.")
    status, severity = held.get("status", "firing"), held.get("severity", "warning")
    if status not in ("firing", "resolved"):
        raise Refusal("status should hold firing or resolved.")
    if not isinstance(severity, str) or severity.lower() not in [word.lower() for word in SEVERITY_WORDS]:
        raise Refusal(f"severity should hold one of {', '.join(SEVERITY_WORDS)}.")
    key = held.get("key", title)
    if isinstance(key, bool) or not isinstance(key, str | int) or not plain(str(key)):
        raise Refusal("key should hold a text.")
    labels = {"alertname": _read(title), "severity": severity, "source": "generic", "key": _read(str(key))}
    judged = rules.judged(labels)
    alert = Alert(
        # the sender's key is what an incident is kept by, whatever labels are configured
        fingerprint=digest(["generic", plain(str(key))]),
        starts_at=None,
        ends_at=now if status == "resolved" else None,
        key=digest({"generic": plain(str(key))}),
        named={"key": _shown("key", str(key))},
        name=_cut(redact(" ".join(plain(title).split())), VALUE_CHARS),
        labels={name: _shown(name, value) for name, value in labels.items()},
        url=_url(held.get("url")),
        judged=judged,
    )
    return Payload(alerts=() if judged.does is Does.IGNORE else (alert,), group="generic")


def _alert(held: Mapping[str, Any], status_of_all: str, rules: Alerts, now: datetime) -> Alert:
    raw = held.get("labels")
    labels = {plain(str(name)): _read(value) for name, value in raw.items()} if isinstance(raw, dict) else {}
    status = held.get("status") if isinstance(held.get("status"), str) else status_of_all
    named = rules.named(labels)
    name = labels.get("alertname") or "alert"
    annotations = held.get("annotations")
    return Alert(
        fingerprint=_fingerprint(held.get("fingerprint"), raw if isinstance(raw, dict) else {}),
        starts_at=_moment(held.get("startsAt"), now),
        ends_at=(_moment(held.get("endsAt"), now) or now) if status == "resolved" else None,
        key=digest(named),
        named={label: _shown(label, value) for label, value in named.items()},
        name=_cut(redact(" ".join(name.split())), VALUE_CHARS),
        labels={
            _cut(redact(label), NAME_CHARS): _shown(label, value) for label, value in list(labels.items())[:LABELS]
        },
        summary=_summary(annotations if isinstance(annotations, dict) else {}),
        url=_url(held.get("generatorURL")),
        judged=rules.judged(labels),
    )


def _fingerprint(told: Any, labels: Mapping[Any, Any]) -> str:
    """As it was told, else made of the labels: whoever sends none means those."""
    text = plain(told) if isinstance(told, str) else ""
    if 0 < len(text) <= _FINGERPRINT_CHARS and redact(text) == text:
        return text
    return digest([text, {str(name): _text(value) for name, value in labels.items()}])


def _moment(told: Any, now: datetime) -> datetime | None:
    """None: it is no time, or one that nobody can have meant, such as the year 1 that Go has for none."""
    if not isinstance(told, str):
        return None
    try:
        held = datetime.fromisoformat(told.strip())
        held = held.replace(tzinfo=UTC) if held.tzinfo is None else held.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return held if _EARLIEST <= held <= now + _AHEAD else None


def _text(value: Any) -> str:
    return plain(value if isinstance(value, str) else "" if value is None else str(value))


def _read(value: Any) -> str:
    """A label's value as rules and keys see it."""
    text = _text(value)
    # two that differ further on are still two
    return text if len(text) <= _READ_CHARS else text[:_READ_CHARS] + digest(text)


def _shown(name: str, value: str) -> str:
    """As people may see it: a name such as ``password`` tells what its value alone does not."""
    # masked first: what is cut off may be what a secret is known by
    text = _cut(redact(plain(value)), VALUE_CHARS)
    return MASK if text and redact(f"{name}={text}") != f"{name}={text}" and name != "key" else text


def _summary(annotations: Mapping[Any, Any]) -> str:
    for name in _SUMMARIES:
        text = " ".join(_text(annotations.get(name)).split())
        if text:
            return _cut(redact(text), SUMMARY_CHARS)
    return ""


def _url(told: Any) -> str:
    text = _text(told)
    if len(text) > URL_CHARS or not text.startswith(("http://", "https://")):
        return ""
    masked = redact(text)
    # a query may hold a secret that is encoded, and is left out then
    for shown in (masked, masked.partition("?")[0]):
        if redact(unquote_plus(shown)) == unquote_plus(shown):
            return shown
    return ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
