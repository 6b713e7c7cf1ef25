"""What sends requests to the platform: the protocols that a transport of one's own implements."""

from __future__ import annotations

from typing import Protocol

from .message import PlatformRequest, PlatformResponse


class Transport(Protocol):
    """Sends requests to the platform, blocking."""

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        """Exchange one request for one answer, whatever its status.

        Args:
            request: what to send, as it is: no cookies, no redirects, no other credentials.
            timeout: seconds for the whole exchange.
            connect_timeout: seconds of it for connecting.

        Raises:
            RequestTimeoutError: no whole answer came in time.
            RequestFailedError: the platform cannot be reached, or dropped the connection.
            InvalidResponseError: the answer cannot be read.
        """
        ...

    def close(self) -> None:
        """Release everything held."""
        ...


class AsyncTransport(Protocol):
    """Sends requests to the platform, awaiting. As `Transport`."""

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        """As `Transport.send`."""
        ...

    async def aclose(self) -> None:
        """Release everything held."""
        ...


class TransportFactory(Protocol):
    """What to pass as `transport=` to a middleware, an extension or a client: makes both kinds, when needed."""

    def open(self) -> Transport:
        """A new blocking transport, shared by all threads."""
        ...

    def open_async(self) -> AsyncTransport:
        """A new transport for the running event loop."""
        ...
