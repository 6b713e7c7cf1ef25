"""The time, as one engine sees it; a test moves it instead of sleeping."""

from __future__ import annotations

import time


class Clock:
    """`monotonic` for durations and deadlines, `time` for what a token says (seconds since 1970).

    `time` does not go back behind what it was at the start and the time since: a wall clock that is put back lets no
    token live on.
    """

    def __init__(self) -> None:
        self.monotonic = time.monotonic
        self.time = self._time
        self._ahead = time.time() - time.monotonic()

    def _time(self) -> float:
        return max(time.time(), self.monotonic() + self._ahead)
