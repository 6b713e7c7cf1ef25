"""The time, as one engine sees it; a test moves it instead of sleeping."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("base44_web")


class Clock:
    """`monotonic` for durations and deadlines, `time` for what a token says (seconds since 1970).

    `time` does not go back behind what it was at the start and the time since: a wall clock that is put back lets no
    token live on.
    """

    def __init__(self) -> None:
        self.monotonic = time.monotonic
        self.time = self._time
        self._ahead = time.time() - time.monotonic()
        self._told = False

    def _time(self) -> float:
        wall, since_start = time.time(), self.monotonic() + self._ahead
        if since_start - wall > 60 and not self._told:
            self._told = True
            logger.error(
                "The machine's clock was put back by %d seconds since the start: tokens are judged by the time since "
                "then. Restart the server if the clock was wrong before.",
                since_start - wall,
                extra={"base44_event": "clock_put_back"},
            )
        return max(wall, since_start)
