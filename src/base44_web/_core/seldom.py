"""A line of the log that could come with every request: told once in a while, with how often it happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import final


def how_often(count: int) -> str:
    """For a line of the log: empty for once, which the line itself says."""
    return "" if count == 1 else f" ({count} times since the last such line)"


@final
class Seldom:
    """Counts, and says when to tell.

    Args:
        seconds: between two lines that say the same.
        monotonic: the time.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._told = -math.inf
        self._what: str = ""
        self._count = 0

    def happened(self, what: str = "") -> int:
        """How often it happened since it was last told, this time included; 0: say nothing now. News are told at once.

        Args:
            what: what happened, where that differs.
        """
        self._count += 1
        now = self._monotonic()
        if now - self._told < self._seconds and what == self._what:
            return 0
        count, self._count = self._count, 0
        self._told = now
        self._what = what
        return count
