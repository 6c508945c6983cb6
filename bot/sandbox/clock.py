"""A process's clock that can be moved forward, for the sandbox and for the bot in it: both see the same later time.

time-machine moves what the process reads as the time of day, in every library; monotonic clocks and sleeps stay real.
"""

import time

import time_machine


class MovedClock:
    """The clock of this process; moved only from the first :meth:`move` until :meth:`close`."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._travel: time_machine.travel | None = None
        self._moved: time_machine.Traveller | None = None

    def move(self, seconds: float) -> None:
        """Forward by so much, for good: nothing here lets time go back."""
        self.ahead_s += seconds
        if self._moved is None:
            self._travel = time_machine.travel(time.time(), tick=True)
            self._moved = self._travel.start()
        self._moved.shift(seconds)

    def close(self) -> None:
        """The real time again."""
        if self._travel is not None:
            self._travel.stop()
        self.ahead_s, self._travel, self._moved = 0.0, None, None
