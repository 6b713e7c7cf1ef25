"""A limit for a whole call.

Own code, because no library bounds a whole call in blocking I/O: their timeouts bound each read.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import ssl

    from httpcore2 import NetworkBackend, NetworkStream

_deadline: ContextVar[float | None] = ContextVar("base44_web_deadline", default=None)


AsyncDeadline: Final = asyncio.timeout  # bounds what is awaited inside; `Deadline` is its twin


class Deadline:
    """Bounds what is inside by what is left of the whole: each socket operation of a `BoundedBackend`."""

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

    def expired(self) -> bool:
        """Whether the time is over: a client that was given can only be asked that between two reads."""
        return time.monotonic() > self._end


def _left(timeout: float | None) -> float | None:
    end = _deadline.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    left = left if timeout is None else min(timeout, left)
    if left <= 0:
        raise TimeoutError
    return left


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [host]  # the backend reports it as it always does
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class BoundedBackend:
    """An httpcore2 `NetworkBackend` whose streams heed `Deadline`. The look-up of a name is the system's, unbounded."""

    def __init__(self, backend: NetworkBackend) -> None:
        import httpcore2

        self._backend = backend
        self._core = httpcore2

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> BoundedStream:
        """Connect to the first address that answers."""
        end = None if timeout is None else time.monotonic() + timeout
        failed: Exception | None = None
        addresses = _addresses(host, port)
        # One by one: socket.create_connection would give each address the whole time.
        for tried, address in enumerate(addresses):
            left = None if end is None else (end - time.monotonic()) / (len(addresses) - tried)
            try:
                left = _left(left)
                return BoundedStream(self._backend.connect_tcp(address, port, left, local_address, socket_options))
            except (self._core.ConnectError, self._core.ConnectTimeout) as error:
                failed = error
            except TimeoutError:
                raise self._core.ConnectTimeout from None
        raise failed or self._core.ConnectError(host)

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> BoundedStream:
        """As `connect_tcp`."""
        return BoundedStream(self._backend.connect_unix_socket(path, _left(timeout), socket_options))

    def sleep(self, seconds: float) -> None:
        """Between the pool's own retries to connect."""
        self._backend.sleep(_left(seconds) or 0.0)


class BoundedStream:
    """An httpcore2 `NetworkStream` that heeds `Deadline`."""

    def __init__(self, stream: NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there."""
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all."""
        self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> BoundedStream:
        """Go on with TLS."""
        return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """The socket's facts."""
        return self._stream.get_extra_info(info)
