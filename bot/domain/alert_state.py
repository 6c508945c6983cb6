"""What a payload means for what is known of its alerts: new, over, firing anew, or nothing new; pure.

An alert is its fingerprint and when it began. Of one fingerprint one fires at a time: Alertmanager may tell a new
beginning without the end of the one before, and with several Prometheus servers move a beginning back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.alerts import Alert

# Alertmanager's usual group_interval: what says within it that an ended alert fires was sent before it ended.
LATE = timedelta(minutes=5)
# How exactly it is known when an alert was told of last.
SEEN_EVERY = timedelta(minutes=10)


@dataclass(kw_only=True)
class Known:
    """One alert as it is stored, or is to be. ``alert``: of a new one, all that was told of it."""

    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None
    seen_at: datetime
    key: str
    id: int = 0
    alert: Alert | None = None
    changed: bool = False
    """Is to be stored, and worked in."""

    def end(self, at: datetime, now: datetime) -> None:
        self.ends_at, self.seen_at, self.changed = at, now, True


class Register:
    """What is known of some fingerprints, and becomes known by what is told.

    ``known`` has what is told of, what fires of the same, and the newest of each.
    """

    def __init__(self, known: Iterable[Known], now: datetime) -> None:
        self._now = now
        self._by_identity: dict[tuple[str, datetime], Known] = {}
        self._firing: dict[str, list[Known]] = {}
        self._begun: dict[str, list[datetime]] = {}
        self._seen: set[int] = set()
        for one in sorted(known, key=lambda held: held.starts_at):
            self._add(one)

    def _add(self, known: Known) -> None:
        self._by_identity[known.fingerprint, known.starts_at] = known
        self._begun.setdefault(known.fingerprint, []).append(known.starts_at)
        if known.ends_at is None:
            self._firing.setdefault(known.fingerprint, []).append(known)

    @property
    def changed(self) -> list[Known]:
        return [one for one in self._by_identity.values() if one.changed]

    @property
    def seen(self) -> list[int]:
        """The ids of those whose ``seen_at`` is to be brought up to date, and nothing else."""
        return sorted(self._seen - {one.id for one in self.changed})

    def take(self, alert: Alert) -> None:
        """``alert`` is told now."""
        firing = self._firing.setdefault(alert.fingerprint, [])
        begun = alert.starts_at or (firing[-1].starts_at if firing else None)
        if begun is None and alert.ends_at is not None:
            return  # of something that keeps no beginning: it does not fire, and so is over already
        begun = begun or self._now
        known = self._by_identity.get((alert.fingerprint, begun))
        if alert.ends_at is not None:
            self._take_end(alert, begun, known, alert.ends_at)
        elif known is None:
            self._begin(alert, begun)
        elif known.ends_at is None:
            if self._now - known.seen_at > SEEN_EVERY:
                self._seen.add(known.id)
        elif self._now - known.seen_at > LATE:
            known.ends_at, known.changed = None, True
            known.seen_at = self._now
            self._supersede(known)

    def _take_end(self, alert: Alert, begun: datetime, known: Known | None, at: datetime) -> None:
        if known is None:
            self._add(self._new(alert, begun, at))
        elif known.ends_at is None:
            known.end(at, self._now)
        # nothing of it fires any more, but for what began after this end
        for one in self._firing[alert.fingerprint]:
            if one.ends_at is None and one.starts_at <= at:
                one.end(at, self._now)
        self._firing[alert.fingerprint] = [one for one in self._firing[alert.fingerprint] if one.ends_at is None]

    def _begin(self, alert: Alert, begun: datetime) -> None:
        others = self._begun.get(alert.fingerprint, ())
        later = [at for at in others if at > begun]
        # told late: another of the same has begun since
        known = self._new(alert, begun, min(later) if later else None)
        self._add(known)
        if not later:
            self._supersede(known)

    def _supersede(self, known: Known) -> None:
        """What fired before it does no more, though nobody has told its end."""
        for one in self._firing[known.fingerprint]:
            if one is not known and one.starts_at < known.starts_at:
                one.end(known.starts_at, self._now)
        held = [one for one in self._firing[known.fingerprint] if one.ends_at is None and one is not known]
        self._firing[known.fingerprint] = sorted([*held, known], key=lambda one: one.starts_at)

    def _new(self, alert: Alert, begun: datetime, at: datetime | None) -> Known:
        return Known(
            fingerprint=alert.fingerprint,
            starts_at=begun,
            ends_at=at,
            seen_at=self._now,
            key=alert.key,
            alert=alert,
            changed=True,
        )
