"""The database: is it reached, is it at the migration that this bot needs, and does its clock agree with ours."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import StoreError
from bot.ports import CheckResult, Clock, Database, DatabaseState, ProbeRun
from bot.settings import Settings

# Timers are claimed by each replica's own clock.
_APART_S = 5.0


@dataclass(frozen=True)
class DatabaseCheck:
    database: Database
    name: str = "Database"
    per_target: bool = False

    async def check(self, run: ProbeRun, settings: Settings) -> Sequence[CheckResult]:
        try:
            state = await self.database.state()
        except StoreError as error:
            mend = "Check DATABASE_URL, and that its server runs or its file may be written."
            return (CheckResult(what="connection", ok=False, detail=str(error), mend=mend),)
        return (_migration(state), *_clock(state, run.clock))


def _migration(state: DatabaseState) -> CheckResult:
    held, newest = state.migration, state.newest
    if held is None:
        return CheckResult(what="migration", ok=True, detail="not used yet; the bot prepares it when it starts")
    if held == newest:
        return CheckResult(what="migration", ok=True, detail=f"at {held}, the newest")
    mend = (
        "Start the bot of this version, which migrates it."
        if held < newest
        else "A newer bot has used this database: update this one."
    )
    return CheckResult(what="migration", ok=False, detail=f"at {held}; this bot needs {newest}", mend=mend)


def _clock(state: DatabaseState, clock: Clock) -> Sequence[CheckResult]:
    if state.now is None:
        return ()
    apart_s = (state.now - clock.now()).total_seconds()
    ok = abs(apart_s) <= _APART_S
    ahead = "ahead of" if apart_s > 0 else "behind"
    return (
        CheckResult(
            what="clock",
            ok=ok,
            detail="agrees with this machine's" if ok else f"{abs(apart_s):.0f} s {ahead} this machine's",
            mend="" if ok else "Let both machines take their time from NTP.",
        ),
    )
