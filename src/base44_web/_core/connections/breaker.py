"""A switch that keeps requests away from a store that does not answer, until it does.

Own code: the tries to reach it again must cost no request anything, so they are a thread's; libraries let a request
try.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, final

from ..clock import Clock
from ..seldom import Seldom

logger = logging.getLogger("base44_web")
_PAUSE: Final = 1.0  # seconds between two tries
_TOLD: Final = 60.0  # seconds between two lines in the log


@final
class Breaker:
    """Open while the store does not answer.

    Args:
        clock: the time.
        probe: uses the store as requests do, on a connection of its own; raises if it cannot.
    """

    __slots__ = ("__weakref__", "_closed", "_lock", "_probe", "_told", "is_open")

    def __init__(self, clock: Clock, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._told = Seldom(_TOLD, clock.monotonic)
        self.after_fork()

    def after_fork(self) -> None:
        """In the child: the thread that tried is not here."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.is_open = False

    def trip(self, error: Exception) -> None:
        """It did not answer: nobody asks it until a try has succeeded."""
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
            self._closed = threading.Event()  # it may have been closed, and be used again
            tells = self._told.happened() > 0
        if tells:
            # Without the error's text: it can have the address, and that a password.
            logger.warning(
                "The connection_store cannot be used (%s): each server asks the platform for itself until it can. %s",
                type(error).__name__,
                _ADVICE.get(_kind(error), "Check connection_store (BASE44_CONNECTION_STORE)."),
                extra={"base44_event": "connection_store_down", "base44_error": type(error).__name__},
            )
        arguments = (weakref.ref(self), self._probe, self._closed)
        try:
            threading.Thread(target=_try_again, args=arguments, name="base44_web store", daemon=True).start()
        except RuntimeError:  # no threads here, or no more of them: the next request tries
            self.is_open = False

    def close(self) -> None:
        """Try no more, until it has failed again: after this the engine may be used once more."""
        with self._lock:
            self._closed.set()
            self.is_open = False


_ADVICE: Final = {
    "NoPermissionError": "Its user needs +mget +get +set +del +exists +pexpire +eval and the keys ~base44:*.",
    "AuthenticationError": "Check the user and password in connection_store (BASE44_CONNECTION_STORE).",
    "OutOfMemoryError": "It is full: raise its maxmemory, or let it evict (maxmemory-policy allkeys-lru).",
    "ConfigurationError": "Its factories must make clients of a Redis, a blocking and an awaiting one.",
    "UnicodeDecodeError": "Its clients must be made without decode_responses.",
}


def _kind(error: Exception) -> str:
    # What a script may not do is a ResponseError.
    return "NoPermissionError" if "ACL failure" in str(error) else type(error).__name__


def _try_again(breaker: weakref.ref[Breaker], probe: Callable[[], Any], closed: threading.Event) -> None:
    # Holds the breaker only for the moment: it ends with the engine that it belongs to.
    while not closed.wait(_PAUSE) and breaker() is not None:
        try:
            probe()
        except Exception:  # noqa: BLE001, S112 - whatever it is, it is not there yet
            continue
        found = breaker()
        if found is not None:
            found.is_open = False
            logger.info("The connection_store can be used again.", extra={"base44_event": "connection_store_back"})
        return
