"""How requests leave: the transport protocols, and what `httpx2` and `httpx` need around them.

`httpx2` is the default; an `httpx` client works as well.
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
import ssl
import sys
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, cast

from ._deadline import bound_reads
from ._message import MAX_BODY, Request, Response
from ._secret import Opaque
from .errors import Base44Error, ConfigurationError, InvalidResponseError, RequestFailedError, RequestTimeoutError

if TYPE_CHECKING:
    import httpx
    import httpx2

    SyncClient: TypeAlias = httpx2.Client | httpx.Client
    AsyncClient: TypeAlias = httpx2.AsyncClient | httpx.AsyncClient


class Transport(Protocol):
    """Sends requests to the platform, blocking."""

    def send(self, request: Request, *, timeout: float, connect_timeout: float) -> Response:
        """Exchange one request for one answer, whatever its status.

        Args:
            request: what to send, as it is: no cookies, no redirects, no other credentials.
            timeout: seconds for the whole exchange.
            connect_timeout: seconds of it for connecting.

        Raises:
            RequestTimeoutError, RequestFailedError, InvalidResponseError
        """
        ...

    def close(self) -> None:
        """Release everything held."""
        ...


class AsyncTransport(Protocol):
    """Sends requests to the platform, awaiting. As `Transport`."""

    async def send(self, request: Request, *, timeout: float, connect_timeout: float) -> Response:
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


class HttpxTransports:
    """The default `TransportFactory`: `httpx2` clients, or `httpx` ones where that is installed instead.

    Args:
        client: makes the blocking client; by default one with the system's TLS trust and proxies.
        async_client: makes the async client.
        ca_file: a PEM file of certificate authorities to trust besides the system's, for the default clients.
    """

    def __init__(
        self,
        client: Callable[[], SyncClient] | None = None,
        async_client: Callable[[], AsyncClient] | None = None,
        *,
        ca_file: str | None = None,
    ) -> None:
        self._client = client
        self._async_client = async_client
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None

    def open(self) -> Transport:
        """A blocking transport, with a client of its own.

        Raises:
            ConfigurationError: `httpx2` is not installed, or `ca_file` cannot be read.
        """
        from ._sync.transport import HttpxTransport

        return HttpxTransport(self._client() if self._client else _library().Client(verify=self._tls_context()))

    def open_async(self) -> AsyncTransport:
        """As `open`, for the running event loop."""
        from ._async.transport import AsyncHttpxTransport

        make = self._async_client
        return AsyncHttpxTransport(make() if make else _library().AsyncClient(verify=self._tls_context()))

    def _tls_context(self) -> ssl.SSLContext:
        # Made once: it takes 20 ms, and would take them again for each event loop.
        context = self._tls
        if context is None:
            context = cast(ssl.SSLContext, _library().create_ssl_context())
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            self._tls = context
        return context


class GivenClient:
    """A `TransportFactory` around a client that the user made and closes."""

    def __init__(self, client: SyncClient | AsyncClient) -> None:
        self._client: Any = client
        self._process: int | None = None
        library_of(client)

    def open(self) -> Transport:
        """A blocking transport, with a client of its own.

        Raises:
            ConfigurationError: `httpx2` is not installed, or `ca_file` cannot be read.
        """
        from ._sync.transport import HttpxTransport

        # Its open connections would be shared: one process would read the other's answers.
        if self._process not in (None, os.getpid()):
            raise ConfigurationError(
                "The transport given is a client that was used before this process was forked: give "
                "HttpxTransports(client=…), which makes one for each process."
            )
        self._process = os.getpid()
        if not hasattr(self._client, "close"):
            raise ConfigurationError(
                "The transport given is an async client, and this call is blocking: give HttpxTransports(client=…)."
            )
        return HttpxTransport(self._client, owned=False)

    def open_async(self) -> AsyncTransport:
        """As `open`, for the running event loop."""
        from ._async.transport import AsyncHttpxTransport

        if not hasattr(self._client, "aclose"):
            raise ConfigurationError(
                "The transport given is a blocking client, and this call is awaited: give "
                "HttpxTransports(async_client=…)."
            )
        return AsyncHttpxTransport(self._client, owned=False)


def transport_factory(
    transport: TransportFactory | SyncClient | AsyncClient | None, ca_file: str | None = None
) -> TransportFactory:
    """What `transport=` means; without it, `ca_file` counts.

    Raises:
        ConfigurationError: it is neither a factory nor a client.
    """
    if transport is None:
        return HttpxTransports(ca_file=ca_file)
    if isinstance(transport, type):
        raise ConfigurationError(f"transport must be an object, not the class {transport.__name__}: call it.")
    if hasattr(transport, "open") and hasattr(transport, "open_async"):
        return cast(TransportFactory, transport)
    return GivenClient(transport)  # pyright: ignore[reportArgumentType] - what is left is a client


def _library() -> ModuleType:
    for name in ("httpx2", "httpx"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConfigurationError("Neither httpx2 nor httpx is installed: pip install httpx2, or give a transport.")


def library_of(client: object) -> ModuleType:
    """The library that a client, or the class it derives from, comes from.

    Raises:
        ConfigurationError: it is no client of `httpx2` or `httpx`.
    """
    for cls in type(client).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in ("httpx2", "httpx"):
            return sys.modules[name]
    raise ConfigurationError(
        f"transport must be an httpx2 or httpx client or a TransportFactory, not {type(client).__name__}."
    )


class _NoHeaders(logging.Filter):
    """hpack, which encodes the headers of HTTP/2, logs each of them at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_no_headers = _NoHeaders()


def without_cookies(client: Any) -> Any:
    """The same client, on the same connections, with a cookie jar that takes nothing; its headers are not logged.

    A client that is shared by users would keep one user's cookie and send it with the next user's call.
    """
    for name in ("hpack.hpack", "hpack.table"):
        logging.getLogger(name).addFilter(_no_headers)
    twin = copy.copy(client)
    twin.cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return twin


def blocking(client: Any) -> Any:
    """`without_cookies`, for a blocking client, whose sockets must also heed `Deadline`."""
    bound_reads(client)
    return without_cookies(client)


def timeouts(timeout: float, connect_timeout: float) -> dict[str, Any]:
    """The `extensions` of a request for httpcore."""
    connect = min(timeout, connect_timeout)
    return {"timeout": {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}}


class Body(Opaque):
    """The octets of an answer as they come in; no traceback shows them."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def __iadd__(self, chunk: bytes) -> Self:
        self._octets += chunk
        return self

    def __len__(self) -> int:
        return len(self._octets)

    def octets(self) -> bytes:
        """What came in."""
        return bytes(self._octets)


def refusal(headers: Any, size: int) -> Base44Error | None:
    """Why an answer cannot be read, if so: compressed, or too large."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return InvalidResponseError(
            f"The platform's answer is compressed ({encoding[:20]}), which was not asked for and is not read.",
            code="invalid_response",
        )
    if size > MAX_BODY:
        return InvalidResponseError(
            f"The platform's answer is larger than {MAX_BODY} bytes and was not read.", code="invalid_response"
        )
    return None


def failure(error: Exception, request: Request, timeout: float) -> Base44Error:
    """What went wrong on the way, without the library's own message: that can quote a header with its credential."""
    if isinstance(error, Base44Error):
        return error
    if isinstance(error, RuntimeError):
        return ConfigurationError(
            "The transport cannot be used here: the client given is closed, or belongs to another event loop. Give "
            "HttpxTransports(async_client=…), which makes one for each loop."
        )
    origin = "/".join(request.url.split("/", 3)[:3])
    names = [cls.__name__ for cls in type(error).__mro__]
    if "ConnectTimeout" in names:
        return RequestTimeoutError(
            f"Could not connect to {origin} in time. Check the network and server_url (BASE44_SERVER_URL).",
            code="connect_timeout",
        )
    if "TimeoutException" in names or isinstance(error, TimeoutError):
        return RequestTimeoutError(
            f"{origin} did not answer within {timeout:g} seconds (the setting timeout, BASE44_TIMEOUT).", code="timeout"
        )
    if "ConnectError" in names:
        return RequestFailedError(
            f"Could not connect to {origin}. Check the network, and server_url (BASE44_SERVER_URL).",
            code="connect_failed",
        )
    return RequestFailedError(
        f"{origin} dropped the connection, or its answer was no HTTP ({names[0]}).", code="connection_lost"
    )
