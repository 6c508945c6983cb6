"""What must never be shown, masked: one table of patterns for everything that looks like a secret.

RE2 looks for them, whose time grows with the text alone: with ``re`` a hostile line of 100 KB takes most of a minute.
Ordinary text (UUIDs, hashes, pod names, trace ids) stays as it is: a pattern needs a token's own prefix, or a word
such as ``password`` before the value.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import re2

MASK = "***"
# In what programs read: YAML takes a star for something else.
MASKED = b"MASKED"
_NOTHING = frozenset({b"null", b"true", b"false", b"none", b"~", b"{}", b"[]", b"|", b">", b"|-", b">-", b"masked"})

# A value after a telling name: quoted, or up to white space, a comma, an ampersand or a closing bracket.
# A quote may be escaped (JSON within a log line), and may be left open where the line was cut.
_VALUE = r"""(\\?"(?:[^"\\\n]|\\[^"\n])*(?:\\?"|(?m:$))|'[^'\n]*(?:'|(?m:$))|[^\s,;&'"<>\])}]+)"""
# The next word after a telling flag, but for another flag.
_FLAGGED = r"""(\\?"[^"\n]*(?:"|(?m:$))|'[^'\n]*(?:'|(?m:$))|[^\s,;&'"<>\])}-][^\s,;&'"<>\])}]*)"""
_NAME = (
    r"[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|account[_-]?key|"
    r"private[_-]?key|routing[_-]?key|signing[_-]?key|client[_-]?key|credentials?|shared[_-]?key|connection[_-]?string)"
)

# (what it is, pattern, what stands instead); the order matters: what is longest and surest comes first.
_TABLE = (
    (
        "private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        MASK,
    ),
    ("age key", r"AGE-SECRET-KEY-1[0-9A-Z]{20,}", MASK),
    ("Slack webhook", r"(https://hooks\.slack(?:-gov)?\.com/)[\w/-]+", r"\1" + MASK),
    ("password in a URL", r"([a-zA-Z][\w+.-]*://)[^\s/@:]*:[^\s/@]+@", r"\1" + MASK + "@"),
    ("JSON web token", r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?", MASK),
    (
        "authorization header",
        r"(?i)\b(authorization\"?'?\s*[:=]\s*[\"']?(?:bearer|basic|token|digest)?\s*)[^\s\"',;]+",
        r"\1" + MASK,
    ),
    ("bearer token", r"(?i)\b(bearer\s+)[\w.~+/=-]{6,}", r"\1" + MASK),
    ("cookie header", r"(?i)\b((?:set-)?cookie\"?'?\s*[:=]\s*)[^\n]+", r"\1" + MASK),
    ("Slack token", r"\bxox[a-z]-[\w-]{5,}|\bxapp-[\w-]{5,}|\bxoxe\.[\w.-]{5,}", MASK),
    ("AWS access key id", r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[0-9A-Z]{12,}\b", MASK),
    ("GitHub token", r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}", MASK),
    ("GitLab token", r"\bgl(?:pat|dt|rt|cbt|ptt|soat)-[\w-]{15,}", MASK),
    ("OpenAI, Anthropic or Stripe key", r"(^|[^\w-])(?:sk|rk|pk)[-_][\w-]{16,}", r"\1" + MASK),
    ("Google API key", r"\bAIza[\w-]{30,}", MASK),
    ("Google OAuth token", r"\bya29\.[\w-]{10,}", MASK),
    ("npm or PyPI token", r"\bnpm_\w{20,}|\bpypi-[\w-]{16,}", MASK),
    ("SendGrid key", r"\bSG\.[\w-]{10,}\.[\w-]{10,}", MASK),
    ("Twilio key", r"\b(?:SK|AC)[0-9a-f]{32}\b", MASK),
    ("Hugging Face token", r"\bhf_\w{20,}", MASK),
    ("Vault token", r"\bhv[sb]\.[\w-]{20,}", MASK),
    ("Grafana token", r"\bgl(?:sa|c)_[\w+/=]{20,}", MASK),
    ("Atlassian token", r"\bAT(?:ATT|CTT)3x[\w=-]{20,}", MASK),
    ("New Relic key", r"\bNRAK-[A-Z0-9]{20,}", MASK),
    ("DigitalOcean token", r"\bdo[opr]_v1_[0-9a-f]{20,}", MASK),
    ("Databricks token", r"\bdapi[0-9a-f]{32}\b", MASK),
    ("Shopify token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}", MASK),
    ("Telegram token", r"\b[0-9]{8,10}:AA[\w-]{33}\b", MASK),
    ("Postman or Linear key", r"\bPMAK-[0-9a-f-]{20,}|\blin_api_\w{20,}", MASK),
    ("Docker login", r"(\"auths?\"\s*:\s*\")[A-Za-z0-9+/=]{8,}(\")", r"\1" + MASK + r"\2"),
    ("Azure shared access signature", r"(?i)([?&]sig=)[^&\s\"']+", r"\1" + MASK),
    ("flag of a command", r"(?i)((?:^|[\s\"'])--?" + _NAME + r"\s+)" + _FLAGGED, r"\1" + MASK),
    # "secret: api_key = x" is a name of a name
    ("named value", r"(?i)(\b(?:" + _NAME + r"\\?[\"']?\s*(?:=>|:=|[:=])\s*)+)" + _VALUE, r"\1" + MASK),
)
EMAIL = "e-mail address"
_EMAIL = (EMAIL, r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", MASK)
OWN = "the bot's own"


@dataclass(frozen=True)
class _BytePatterns:
    """The table for streams. ``any`` finds whether there is something, ``which`` tells what: most text holds none."""

    each: Sequence[tuple[str, Any, str]]
    any: Any
    which: Any

    @classmethod
    def of(cls, table: Sequence[tuple[str, str, str]]) -> "_BytePatterns":
        which = re2.Set.SearchSet()
        for _, pattern, _ in table:
            which.Add(pattern.encode())
        which.Compile()
        both = "|".join(f"(?:{pattern})" for _, pattern, _ in table)
        each = tuple((kind, re2.compile(pattern.encode()), instead) for kind, pattern, instead in table)
        return cls(each, re2.compile(both.encode()), which)


_PATTERNS = tuple((re2.compile(pattern), instead) for _, pattern, instead in _TABLE)
# most text holds none: one look instead of thirty
_ANY = re2.compile("|".join(f"(?:{pattern})" for _, pattern, _ in _TABLE))


@lru_cache(maxsize=2)
def _bytes(emails: bool) -> _BytePatterns:
    return _BytePatterns.of((*_TABLE, _EMAIL) if emails else _TABLE)


def redact(text: str) -> str:
    """``text`` with everything that looks like a secret masked."""
    if _ANY.search(text):
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
    return text


def kinds() -> tuple[str, ...]:
    """What is looked for, but for addresses and the bot's own."""
    return tuple(kind for kind, _, _ in _TABLE)


def spans(data: bytes, *, emails: bool) -> Iterator[tuple[int, int]]:
    """Where something that looks like a secret begins and ends, in order."""
    return (found.span() for found in _bytes(emails).any.finditer(data))


def redact_bytes(data: bytes, counts: Counter[str], *, emails: bool) -> bytes:
    """As :func:`redact`, for what programs read, too: quotes stay, so that JSON and YAML remain what they are.

    How many of each kind were masked is added to ``counts``.
    """
    known = _bytes(emails)
    for index in sorted(known.which.Match(data)):
        kind, pattern, instead = known.each[index]
        before, _, after = instead.partition(MASK)
        parts, end = list[bytes](), 0
        # the library's own sub costs ten times as much for each finding
        for found in pattern.finditer(data):
            first, last = _around(found, before), _around(found, after)
            masked = found[0][len(first) : len(found[0]) - len(last)]
            if _says_nothing(masked):
                continue
            parts += (data[end : found.start()], first, _quoted(masked), last)
            end = found.end()
            counts[kind] += 1
        data = b"".join((*parts, data[end:]))
    return data


def _around(found: Any, kept: str) -> bytes:
    """What stays of a finding beside the mask: a group of its own, or what the table says."""
    return found[int(kept[1:])] or b"" if kept.startswith("\\") else kept.encode()


def _says_nothing(masked: bytes) -> bool:
    """Neither a word of YAML or JSON nor the next key is a secret, though a telling name stands before it."""
    return masked.endswith(b":") or masked.lower() in _NOTHING


def _quoted(masked: bytes) -> bytes:
    """The mask between the quotes that there were."""
    for quote in (b'\\"', b'"', b"'"):
        if masked.startswith(quote):
            closed = masked.endswith(quote) and len(masked) > len(quote)
            return quote + MASKED + (quote if closed else b"")
    return MASKED


def redact_all(value: Any) -> Any:
    """A JSON value with every text in it redacted; keys are our own."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_all(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(held) for held in value]
    return value


def mask(text: str, secrets: Iterable[str]) -> str:
    """``text`` with these very values masked, wherever they stand; the longest first, in case one holds another."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    return text


def mask_within(value: Any, secrets: Iterable[str]) -> Any:
    """``value`` with :func:`mask` applied to every text in it: in dataclasses, sequences and the values of mappings."""
    secrets = tuple(secrets)
    if type(value) is str:
        return mask(value, secrets)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: mask_within(getattr(value, one.name), secrets) for one in fields(value)})
    if isinstance(value, Mapping):
        return {key: mask_within(held, secrets) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mask_within(held, secrets) for held in value)
    return value
