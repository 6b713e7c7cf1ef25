"""Spans and metrics, through OpenTelemetry's API. Only `telemetry` imports this, and only where that is installed.

The few names of attributes are written out: the package of semantic conventions changes them while they are in
development. Tries are spans, not events of a span: OpenTelemetry gives those up (OTEP 4430).
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from contextvars import ContextVar
from importlib import metadata
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self, TypeVar, final
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.context import attach, create_key, detach, get_value, set_value
from opentelemetry.trace import Span, SpanKind, StatusCode

T = TypeVar("T")

SCOPE: Final = "base44_web"
_OPERATION: Final = create_key("base44_web.operation")
# Of the semantic conventions' for HTTP, and below them what the memory answers.
_SECONDS: Final = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
# Where the API keeps what an app has set up. Its public question for it takes half a microsecond, for each provider;
# where these names are gone, somebody is taken to listen, which costs more and loses nothing.
_TRACES: Final = vars(trace)
_METRICS: Final = vars(sys.modules.get("opentelemetry.metrics._internal", metrics))
_server: ContextVar[Span | None] = ContextVar("base44_web.server_span", default=None)


@final
class OpenTelemetry:
    """The tracer and the instruments. Made before the app's SDK, they find that as soon as it is there."""

    def __init__(self) -> None:
        version = _version()
        self.tracer = trace.get_tracer(SCOPE, version)
        meter = metrics.get_meter(SCOPE, version)
        self.duration = meter.create_histogram(
            "base44.client.operation.duration",
            unit="s",
            description="Duration of calls of the clients' methods, their tries and pauses included.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.lookups = meter.create_counter(
            "base44.client.cache.lookups", unit="{lookup}", description="Connections that were asked for."
        )
        self.decisions = meter.create_counter(
            "base44.guard.decisions", unit="{decision}", description="Who was admitted by guards, and who was not."
        )

    def is_idle(self) -> bool:
        """Whether no SDK is set up, so that nobody listens. FastAPI has the API always, most apps have no SDK."""
        return _TRACES.get("_TRACER_PROVIDER", self) is None and _METRICS.get("_METER_PROVIDER", self) is None

    def within_operation(self) -> bool:
        """Whether an operation goes on."""
        return _current() is not None

    async def operation(self, method: str, connector: str | None, steps: Coroutine[Any, Any, T]) -> T:
        """See `telemetry.observed`."""
        with _Operation(self, method, connector):
            return await steps

    def attempt(self, method: str, url: str, count: int) -> _Attempt:
        """See `telemetry.attempt`."""
        server, operation = urlsplit(url).hostname or "", _current()
        if operation is not None:
            operation.server = server
            operation.resent += count > 0
        return _Attempt(self.tracer, method, server, count)

    def cached(self, outcome: str) -> None:
        """See `telemetry.cached`."""
        operation = _current()
        if operation is None:  # a guard, which found all that it asks for
            self.lookups.add(1, {"base44.cache": outcome})
        else:
            operation.cache = outcome

    def decided(self, outcome: str) -> None:
        """See `telemetry.decided`."""
        span = _server.get()
        if span is None or not span.is_recording():
            span = trace.get_current_span()
        span.set_attribute("base44.guard", outcome)
        self.decisions.add(1, {"base44.guard": outcome})

    def serving(self) -> None:
        """See `telemetry.serving`."""
        _server.set(trace.get_current_span())


@final
class _Operation:
    """A call of a client's method: a span, and one measurement."""

    __slots__ = ("_attributes", "_began", "_method", "_otel", "_span", "_token", "cache", "resent", "server")

    def __init__(self, otel: OpenTelemetry, method: str, connector: str | None) -> None:
        self._otel = otel
        self._method = method
        self._attributes: dict[str, str | int] = {} if connector is None else {"base44.connector": connector}
        self.cache = self.server = ""
        self.resent = 0

    def __enter__(self) -> Self:
        self._span = self._otel.tracer.start_span(f"base44.{self._method}", attributes=self._attributes)
        self._token = attach(set_value(_OPERATION, self, trace.set_span_in_context(self._span)))
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds, attributes = perf_counter() - self._began, self._attributes
        if self.cache:
            attributes["base44.cache"] = self.cache
            self._otel.lookups.add(1, {"base44.cache": self.cache})
        if self.server:
            attributes["server.address"] = self.server
        if kind is not None:
            attributes["error.type"] = kind.__name__
        self._otel.duration.record(seconds, {**attributes, "base44.operation": self._method})
        if self.resent:
            attributes["http.request.resend_count"] = self.resent
        detach(self._token)
        _end(self._span, attributes, failed=kind is not None and issubclass(kind, Exception))


@final
class _Attempt:
    """One try: a span within its operation's. It says nothing of the path, which has IDs."""

    __slots__ = ("_attributes", "_failed", "_span", "_token", "_tracer")

    def __init__(self, tracer: trace.Tracer, method: str, server: str, count: int) -> None:
        self._tracer = tracer
        self._failed = False
        self._attributes: dict[str, str | int] = {"http.request.method": method, "server.address": server}
        if count:
            self._attributes["http.request.resend_count"] = count

    def __enter__(self) -> Self:
        name = str(self._attributes["http.request.method"])
        self._span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=self._attributes)
        self._token = attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._token)
        if kind is not None:
            self._attributes["error.type"] = kind.__name__
            self._failed = issubclass(kind, Exception)  # who is cancelled has not failed
        _end(self._span, self._attributes, failed=self._failed)

    def answered(self, status: int | None, error: str | None) -> None:
        """See `telemetry.Attempt`."""
        if status is not None:
            self._attributes["http.response.status_code"] = status
        if error is not None:
            self._attributes["error.type"] = error
            self._failed = True


def _current() -> _Operation | None:
    found = get_value(_OPERATION)
    return found if isinstance(found, _Operation) else None


def _end(span: Span, attributes: dict[str, str | int], *, failed: bool) -> None:
    if span.is_recording():
        span.set_attributes(attributes)
        if failed:
            span.set_status(StatusCode.ERROR)  # without the error's words: those are for logs
    span.end()


def _version() -> str:
    try:
        return metadata.version("base44-web")
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return ""
