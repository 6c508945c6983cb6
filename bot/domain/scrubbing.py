"""A stream without its secrets: masked as it comes, also where one lies across pieces or lines; pure.

What is fed is held back until nothing that follows can belong to it: by whole lines and one line more, since a value
may stand below its name. Of a line without an end, or a private key without one, only so much is held; what is longer
than that is no secret that anybody knows of.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from bot.domain.redaction import MASKED, OWN, redact_bytes, spans

# So much is looked through at once: a look costs little, and what it costs to begin one is spread.
_BLOCK = 256 * 1024
# What may be held back at most, and what of a line without an end stays so that no secret is cut through.
_HELD, _TAIL = 1024 * 1024, 16 * 1024
# Regions as near to each other are gone through together.
_NEAR = 4096
_KEY_BEGINS, _KEY_ENDS = b"-----BEGIN ", b"-----END "


class Scrubber:
    """``secrets``: values that are masked wherever they stand. ``emails``: whether e-mail addresses are, too."""

    def __init__(self, secrets: Iterable[str] = (), *, emails: bool = False) -> None:
        # the longest first, in case one holds another
        self._secrets = sorted((one.encode() for one in secrets if one), key=len, reverse=True)
        self._emails = emails
        self._held = bytearray()
        self.counts: Counter[str] = Counter()
        """How many of each kind were masked so far."""

    def feed(self, data: bytes) -> bytes:
        """What of it, and of what came before, can be given away."""
        self._held += data
        if len(self._held) < _BLOCK:
            return b""
        held = self._without_own(bytes(self._held))
        found = list(spans(held, emails=self._emails))
        cut = _cut(held, found)
        self._held = bytearray(held[cut:])
        return self._scrubbed(held[:cut], [(begin, end) for begin, end in found if end <= cut])

    def end(self) -> bytes:
        """The rest."""
        held = self._without_own(bytes(self._held))
        self._held.clear()
        return self._scrubbed(held, list(spans(held, emails=self._emails)))

    def _without_own(self, data: bytes) -> bytes:
        for secret in self._secrets:
            if found := data.count(secret):
                self.counts[OWN] += found
                data = data.replace(secret, MASKED)
        return data

    def _scrubbed(self, data: bytes, found: Sequence[tuple[int, int]]) -> bytes:
        """Only what holds something is gone through pattern by pattern, with the lines around it."""
        parts, done = list[bytes](), 0
        for begin, end in _regions(data, found):
            parts += (data[done:begin], redact_bytes(data[begin:end], self.counts, emails=self._emails))
            done = end
        return b"".join((*parts, data[done:]))


def _cut(held: bytes, found: Sequence[tuple[int, int]]) -> int:
    """Up to where nothing can change any more by what comes next."""
    last = held.rfind(b"\n")
    cut = held.rfind(b"\n", 0, max(last, 0)) + 1
    if cut == 0 or len(held) - cut > _HELD:
        # a line as long as that is let go up to its last so many bytes, at white space where there is some
        cut = len(held) - _TAIL
        cut = max(held.rfind(b" ", cut - _TAIL, cut), held.rfind(b"\n", cut - _TAIL, cut), cut - _TAIL) + 1
    begun = held.rfind(_KEY_BEGINS, 0, cut)
    if begun >= 0 and held.find(_KEY_ENDS, begun) < 0 and len(held) - begun <= _HELD:
        cut = begun
    for begin, end in found:
        if begin < cut < end:
            cut = begin if len(held) - begin <= _HELD else end
    return cut


def _regions(data: bytes, found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """From line to line around each finding, those that are near put together."""
    regions: list[tuple[int, int]] = []
    for begin, end in found:
        first, last = data.rfind(b"\n", 0, begin) + 1, data.find(b"\n", end)
        last = len(data) if last < 0 else last + 1
        if regions and first <= regions[-1][1] + _NEAR:
            regions[-1] = (regions[-1][0], max(last, regions[-1][1]))
        else:
            regions.append((first, last))
    return regions
