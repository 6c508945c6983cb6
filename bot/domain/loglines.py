"""Log lines: which are errors, of what kind, and which are the same but for numbers, ids and quoted values; pure."""

import heapq
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import re2

from bot.domain.redaction import redact
from bot.domain.signals import LogLine, LogPattern

# A line without any of these is no error line; looked for in whole chunks before anything else is done with a line,
# and therefore by RE2, which is forty times as fast as re here.
CANDIDATE = re2.compile(rb"(?i)err|exception|fatal|critical|panic|traceback|emerg|alert|\bE\d{4} ")
_LEVEL = re.compile(
    r"(?i)\b(?:level|severity|lvl)[\"']?\s*[=:]\s*[\"']?(?:error|err|critical|crit|fatal|panic|emerg|emergency|alert)\b"
    # digits stand between what parts them: of pieces that overlap, each would be tried with each
    r"|^\W*(?:[\dTZ]+(?:[:.,+ -]+[\dTZ]+)*\W+)?(?:ERROR|CRITICAL|FATAL|PANIC|EMERG|ALERT)\b"
    r"|(?:^|[\s\[|(:])(?-i:ERROR|ERR|CRITICAL|FATAL|PANIC|EMERG)(?:[\s\]|):]|$)"
    r"|\[(?:error|crit|alert|emerg|fatal)\]"
    r"|^(?:error|fatal|panic|critical)\b\s*[:\]]"
)
_LOWER_LEVEL = re.compile(
    r"(?i)\b(?:level|severity|lvl)[\"']?\s*[=:]\s*[\"']?(?:debug|info|notice|trace|warn|warning)\b"
    r"|^\W*(?:[\dTZ]+(?:[:.,+ -]+[\dTZ]+)*\W+)?(?:DEBUG|INFO|NOTICE|TRACE|WARN|WARNING)\b"
)
_NONE = re.compile(r"(?i)\berrors?[\"']?\s*[=:]\s*[\"']?(?:0|none|null|nil|false|no)\b|\b(?:0|no) errors?\b")
_KLOG = re.compile(r"^[EF]\d{4} \d\d:\d\d:\d\d")
_EXCEPTION = re.compile(
    r"^Traceback \(most recent call last\)|\b[A-Z]\w*(?:Error|Exception)\b\s*(?:[:(]|$)|^panic: "
    r"|\bUnhandled(?:Promise)?\w*Rejection"
)
_CONTINUED = re.compile(r"^(?:\s+\S|Caused by: |During handling of the above|The above exception|\.\.\. \d+ more)")

_MISTRAL = re.compile(
    r"(?i)mistral|x-ratelimit|rate_limited|invalid_model|tier_not_allowed"
    r"|\bcode[\"']?\s*[=: ]\s*[\"']?(?:1300|1500|1910|3051|3505|3810|1100|3800)\b"
)
# A status by itself: "401:", "status":401 and "HTTP401" count; main.go:401, 12:34:500, 10.0.0.429 and 429 ms do not.
_CODE = re.compile(
    r"(?i)(?:(?<![a-z\d.,:/-])|(?<=http)|(?<=http[/-])|(?<=[\"'\]]:)|(?<=(?:.http|error|tatus|.code):)|(?<=[a-z ],))"
    r"(40[0-4]|410|413|422|429|50[0-4]|52\d)(?![a-z\d_])(?![.,:-]\d)(?!\s?(?:ms|s|sec|seconds|bytes|tokens)\b)"
)
_INVALID_MODEL = re.compile(r"(?i)invalid_model|invalid model|\b1500\b")
# Codes of Mistral's own errors and the HTTP status that they come with; facts.md.
_OWN_CODES = {"1300": "429", "3505": "429", "3810": "429", "1910": "403", "3051": "400", "1100": "503", "3800": "503"}
_STAGES = (
    (
        "dns",
        re.compile(
            r"(?i)getaddrinfo|nxdomain|name or service not known|no such host|enotfound|eai_again|name resolution"
            r"|nodename nor servname|dns|dial tcp: lookup"
        ),
    ),
    ("tls", re.compile(r"(?i)certificate|x509|\bssl|\btls|handshake|self_signed_cert|leaf_signature")),
    # a stage that does not finish counts as that stage: "timeout" means that there was a connection
    ("connect", re.compile(r"(?i)connect[ _-]?timeout|connect etimedout|dial tcp \S+ i/o timeout|errno 110\b")),
    ("timeout", re.compile(r"(?i)time[d -]?\s?out|etimedout|deadline exceeded|timeouterror")),
    (
        "connect",
        re.compile(
            r"(?i)econnrefused|econnreset|connection (?:refused|reset|aborted|closed|error|attempts failed)"
            r"|connecterror|broken pipe|epipe|unreach|no route to host|(?:cannot|could not|unable to|failed to) connect"
            r"|socket hang up|server disconnected|remote end closed"
        ),
    ),
)

_MASKS = (
    (re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"), "ID"),
    (re.compile(r"\"[^\"]*\"|'[^']*'"), "…"),
    (re.compile(r"\b(?:0x)?(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b|\b(?=\w*\d)[\w+/=-]{20,}"), "ID"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "N"),
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_MOST_PATTERNS, _SHOWN_PATTERNS, _NEWEST = 1000, 10, 10
_PATTERN_LENGTH = 300


def is_error(line: str) -> bool:
    """Level error or above, or the first line of an exception; not a count such as ``errors=0``."""
    if line.startswith("{"):
        level = _json_level(line)
        if level is not None:
            return level in ("error", "err", "critical", "crit", "fatal", "panic", "emerg", "emergency", "alert")
    if _KLOG.match(line):
        return True
    if _CONTINUED.match(line) or _LOWER_LEVEL.search(line):
        return False
    # a count of no errors says nothing; an explicit level beside it still does
    line = _NONE.sub("", line)
    return _LEVEL.search(line) is not None or _EXCEPTION.search(line) is not None


def _json_level(line: str) -> str | None:
    try:
        held = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(held, dict):
        return None
    level = next((held[name] for name in ("level", "severity", "lvl", "levelname", "log.level") if name in held), None)
    # pino and bunyan write numbers: 50 is error, 60 fatal
    if isinstance(level, int | float) and not isinstance(level, bool):
        return "error" if level >= 50 else "info"
    return str(level).lower() if isinstance(level, str) else None


def kind_of(line: str, api_host: str) -> str:
    """An HTTP code where the line speaks of Mistral, a stage of the network, ``invalid_model``, else ``other``."""
    if _MISTRAL.search(line) or (api_host and api_host in line):
        if _INVALID_MODEL.search(line):
            return "invalid_model"
        code = _CODE.search(line)
        if code:
            return code[1]
        for own, status in _OWN_CODES.items():
            if re.search(rf"\b{own}\b", line):
                return status
    return next((stage for stage, words in _STAGES if words.search(line)), "other")


def pattern_of(line: str) -> str:
    """The line with numbers, ids and quoted values masked."""
    for pattern, instead in _MASKS:
        line = pattern.sub(instead, line)
    return line


class ErrorLines:
    """Takes error lines one at a time; keeps counts, patterns and the ten newest alone."""

    def __init__(self, api_host: str, line_bytes: int) -> None:
        self._api_host = api_host
        self._line_bytes = line_bytes
        self.count = 0
        self.by_kind: Counter[str] = Counter()
        self._patterns: Counter[str] = Counter()
        self._newest: list[tuple[str, int, str, str]] = []

    def add(self, pod: str, at: str, line: str) -> None:
        """``at`` is the line's RFC 3339 time as text (comparable), empty where it has none."""
        if not is_error(line):
            return
        self.count += 1
        self.by_kind[kind_of(line, self._api_host)] += 1
        # redacted before it is cut: half a secret is not recognised as one
        pattern = pattern_of(redact(line)[:_PATTERN_LENGTH])
        if pattern in self._patterns or len(self._patterns) < _MOST_PATTERNS:
            self._patterns[pattern] += 1
        entry = (at, self.count, pod, line)
        if len(self._newest) < _NEWEST:
            heapq.heappush(self._newest, entry)
        else:
            heapq.heappushpop(self._newest, entry)

    def patterns(self) -> tuple[LogPattern, ...]:
        found = self._patterns.most_common(_SHOWN_PATTERNS)
        return tuple(LogPattern(count=count, text=shown(text, self._line_bytes)) for text, count in found)

    def newest(self) -> tuple[LogLine, ...]:
        lines: Sequence[tuple[str, int, str, str]] = sorted(self._newest, reverse=True)
        return tuple(LogLine(pod=pod, text=shown(line, self._line_bytes), at=_time(at)) for at, _, pod, line in lines)


def shown(line: str, limit: int) -> str:
    """A line as it may be shown: redacted, in one piece, without control characters."""
    clean = _UNPRINTABLE.sub("·", redact(line).rstrip("\r\n"))
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _time(text: str) -> datetime | None:
    # Kubernetes gives nanoseconds; Python takes up to six digits
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if text else None
    except ValueError:
        return None
