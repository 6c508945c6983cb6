"""What must never be shown, masked: one table of patterns for everything that looks like a secret.

RE2 looks for them, whose time grows with the text alone: with ``re`` a hostile line of 100 KB takes most of a minute.
Ordinary text (UUIDs, hashes, pod names, trace ids) stays as it is: a pattern needs a token's own prefix, or a word
such as ``password`` before the value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import re2

MASK = "***"

# A value after a telling name: quoted, or up to white space, a comma, an ampersand or a closing bracket.
# A quote may be escaped (JSON within a log line), and may be left open where the line was cut.
_VALUE = r"""(\\?"(?:[^"\\\n]|\\[^"])*(?:\\?"|$)|'[^'\n]*(?:'|$)|[^\s,;&'"<>\])}]+)"""
# The next word after a telling flag, but for another flag.
_FLAGGED = r"""(\\?"[^"\n]*(?:"|$)|'[^'\n]*(?:'|$)|[^\s,;&'"<>\])}-][^\s,;&'"<>\])}]*)"""
_NAME = (
    r"[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|account[_-]?key|"
    r"private[_-]?key|routing[_-]?key|signing[_-]?key|client[_-]?key|credentials?|shared[_-]?key|connection[_-]?string)"
)

# (what it is, pattern, what stands instead); the order matters: what is longest and surest comes first.
_TABLE = (
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)", MASK),
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
    ("Vault token", r"\bhvs\.[\w-]{20,}", MASK),
    ("Azure shared access signature", r"(?i)([?&]sig=)[^&\s\"']+", r"\1" + MASK),
    ("flag of a command", r"(?i)((?:^|[\s\"'])--?" + _NAME + r"\s+)" + _FLAGGED, r"\1" + MASK),
    # "secret: api_key = x" is a name of a name
    ("named value", r"(?i)(\b(?:" + _NAME + r"\\?[\"']?\s*(?:=>|:=|[:=])\s*)+)" + _VALUE, r"\1" + MASK),
)
_PATTERNS = tuple((re2.compile(pattern), instead) for _, pattern, instead in _TABLE)
# most text holds none: one look instead of twenty
_ANY = re2.compile("|".join(f"(?:{pattern})" for _, pattern, _ in _TABLE))


def redact(text: str) -> str:
    """``text`` with everything that looks like a secret masked."""
    if _ANY.search(text):
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
    return text


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
