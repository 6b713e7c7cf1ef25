"""The time, as one engine sees it; a test moves it instead of sleeping."""

from __future__ import annotations

import time


class Clock:
    """`monotonic` for durations and deadlines, `time` for what a token says (seconds since 1970)."""

    def __init__(self) -> None:
        self.monotonic = time.monotonic
        self.time = time.time
