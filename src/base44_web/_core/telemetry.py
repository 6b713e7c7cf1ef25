"""What OpenTelemetry is told, where the app has it: calls and their tries, what the cache had, what guards decided.

It is looked for as the first engine is made: `import base44_web` stays as light as it is, and no visitor waits for the
import. Where it is not installed nothing is imported, and each function here is one comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, final

from .catalogue import SERVICES
from .config import Settings
from .transport.message import PlatformRequest

if TYPE_CHECKING:
    from .otel import OpenTelemetry

T = TypeVar("T")
logger = logging.getLogger("base44_web")

_OTHER: Final = "other"
_otel: OpenTelemetry | None = None
_listener: OpenTelemetry | None = None  # the same, if somebody listened as the last call, guard or request began
_looked = False


class Attempt(Protocol):
    """One try of a call to the platform."""

    def answered(self, status: int | None, error: str | None) -> None:
        """What it ended with: the HTTP status, if an answer came, and the name of the error, if it is one."""
        ...


@final
class _Unobserved:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        pass

    def answered(self, status: int | None, error: str | None) -> None:
        pass


_UNOBSERVED: Final = _Unobserved()


def look() -> None:
    """Look for OpenTelemetry, once."""
    global _otel, _looked
    if _looked:
        return
    _looked = True
    if find_spec("opentelemetry") is None:
        return
    try:
        from .otel import OpenTelemetry

        _otel = OpenTelemetry()
    except ImportError:  # what else there is below that name
        return
    except Exception as error:  # noqa: BLE001 - a provider that the environment names, and nobody can load
        logger.warning(
            "OpenTelemetry cannot be used (%s): there are no spans and no metrics of base44_web. Check "
            "OTEL_PYTHON_TRACER_PROVIDER and OTEL_PYTHON_METER_PROVIDER.",
            type(error).__name__,
            extra={"base44_event": "telemetry_unusable", "base44_error": type(error).__name__},
        )


def _listening() -> OpenTelemetry | None:
    global _listener
    _listener = None if _otel is None or _otel.is_idle() else _otel
    return _listener


def is_on() -> bool:
    """Whether somebody listens."""
    return _listening() is not None


def observed(
    method: str, settings: Settings, connector: str | None, steps: Coroutine[Any, Any, T]
) -> Coroutine[Any, Any, T]:
    """A call of a client's method, or a guard's in its place, observed. What it calls in turn is a part of it.

    Args:
        method: which.
        settings: what knows the connectors' names.
        connector: the connector's ID, or the integration type, if it is about one.
        steps: the call itself, which is given back as it is where nobody listens.
    """
    otel = _listening()
    if otel is None or otel.within_operation():
        return steps
    return otel.operation(method, None if connector is None else label(settings, connector), steps)


def attempt(request: PlatformRequest, count: int) -> AbstractContextManager[Attempt]:
    """One try of a call to the platform.

    Args:
        request: what is sent.
        count: how often it was sent before.
    """
    if _listener is None or not _listener.within_operation():
        return _UNOBSERVED
    return _listener.attempt(request.method, request.url, count)


def cached(outcome: str) -> None:
    """What became of a look into the cache; of several in one operation the last one counts."""
    if _listener is not None:
        _listener.cached(outcome)


def decided(outcome: str) -> None:
    """What a guard decided: `admitted`, or a situation's slug."""
    otel = _listening()
    if otel is not None:
        otel.decided(outcome.replace("-", "_"))


def serving() -> None:
    """Note the server's span: what a guard decides is told there, whatever span has begun within it by then."""
    otel = _listening()
    if otel is not None:
        otel.serving()


def label(settings: Settings, connector: str) -> str:
    """A connector as metrics may have it: a name that somebody configured, a type that is known, or `other`.

    Views can be asked for any connector by anybody, and each value makes a time series of its own.
    """
    return settings.connector_name(connector) or (connector if connector in SERVICES else _OTHER)
