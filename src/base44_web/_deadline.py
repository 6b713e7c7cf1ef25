"""A limit for a whole call.

Own code, because neither httpx2 nor httpx bounds a whole call in blocking I/O: their timeouts bound each read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from contextvars import ContextVar, Token
from types import ModuleType, TracebackType
from typing import Any, Self

_deadline: ContextVar[float | None] = ContextVar("base44_web_deadline", default=None)


class AsyncDeadline:
    """Bounds what is awaited inside; on time out raises `TimeoutError`."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, traceback)

    def check(self) -> None:
        """Nothing to do: the event loop cancels."""


class Deadline:
    """Bounds each socket operation inside by what is left of the whole (see `bound_reads`)."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._token: Token[float | None] | None = None

    def __enter__(self) -> Self:
        self._token = _deadline.set(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            _deadline.reset(self._token)

    def check(self) -> None:
        """Raise `TimeoutError` if the time is over: for transports that `bound_reads` cannot reach."""
        if time.monotonic() > self._end:
            raise TimeoutError


def bound_reads(client: Any) -> None:
    """Make a blocking client's sockets heed `Deadline`.

    Reaches into the pools, for want of a public way (httpx2 2.16, httpx 0.28). Where a client has none, such as one
    with a mock transport, and on connections that it opened before it was given, a call is bounded between reads only.
    The look-up of a name is the system's, and not bounded. Outside of our calls nothing changes for the client.
    """
    for transport in (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()):
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if backend is not None and not isinstance(backend, _BoundedBackend):
            pool._network_backend = _BoundedBackend(backend)  # type: ignore[union-attr]


def _left(timeout: float | None, error: str, core: ModuleType) -> float | None:
    end = _deadline.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    left = left if timeout is None else min(timeout, left)
    if left <= 0:
        raise getattr(core, error)
    return left


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [host]  # the backend reports it as it always does
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class _BoundedBackend:
    """An httpcore `NetworkBackend` whose streams heed `Deadline`."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._core = sys.modules[type(backend).__module__.partition(".")[0]]

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        if _deadline.get() is None or timeout is None:
            return _BoundedStream(self._backend.connect_tcp(host, port, timeout, *args, **options), self._core)
        end = time.monotonic() + timeout
        failed: Exception | None = None
        # One by one: socket.create_connection would give each address the whole time.
        for address in _addresses(host, port):
            left = _left(end - time.monotonic(), "ConnectTimeout", self._core)
            try:
                return _BoundedStream(self._backend.connect_tcp(address, port, left, *args, **options), self._core)
            except (self._core.ConnectError, self._core.ConnectTimeout) as error:
                failed = error
        raise failed or self._core.ConnectError(host)

    def connect_unix_socket(self, path: str, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        left = _left(timeout, "ConnectTimeout", self._core)
        return _BoundedStream(self._backend.connect_unix_socket(path, left, *args, **options), self._core)

    def sleep(self, seconds: float) -> None:
        # Between a client's own retries to connect.
        self._backend.sleep(_left(seconds, "ConnectTimeout", self._core))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _BoundedStream:
    """An httpcore `NetworkStream` that heeds `Deadline`."""

    def __init__(self, stream: Any, core: ModuleType) -> None:
        self._stream = stream
        self._core = core

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._stream.read(max_bytes, _left(timeout, "ReadTimeout", self._core))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, "WriteTimeout", self._core))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        left = _left(timeout, "ConnectTimeout", self._core)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._core)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
