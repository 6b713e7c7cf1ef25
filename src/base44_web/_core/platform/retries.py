"""When a call to the platform is made again, and after how long."""

from __future__ import annotations

import random
from typing import Final

from ...errors import Base44Error, RateLimitError, RequestFailedError, RequestTimeoutError, ServerError

_FIRST: Final = 0.1  # seconds
_LONGEST: Final = 2.0  # seconds, of our own pauses
_LONGEST_ASKED: Final = 5.0  # seconds; whoever asks for more tells the visitor, who is waiting
_NEVER_LEFT: Final = ("connect_failed", "connect_timeout")


def pause_before(attempt: int, method: str, error: Base44Error, *, most: int, left: float) -> float | None:
    """Seconds to wait before a call is made again, or `None`: it is not.

    Args:
        attempt: how often it was made again already.
        method: of the request. GETs may be repeated; anything else only if it provably never left this machine.
        error: how it ended.
        most: how often it may be made again (`Settings.max_retries`).
        left: seconds left for the whole call.
    """
    if attempt >= most or not _may_repeat(method, error):
        return None
    asked = error.retry_after
    if asked is not None and asked > _LONGEST_ASKED:
        return None
    pause = min(_FIRST * 2**attempt, _LONGEST) * random.uniform(0.5, 1.0) if asked is None else asked  # noqa: S311
    return pause if pause < left else None


def _may_repeat(method: str, error: Base44Error) -> bool:
    if isinstance(error, RequestFailedError | RequestTimeoutError) and error.code in _NEVER_LEFT:
        return True
    if method != "GET" or error.code == "overloaded":
        return False
    return isinstance(error, RequestFailedError | RateLimitError) or (
        isinstance(error, ServerError) and error.status != 501
    )
