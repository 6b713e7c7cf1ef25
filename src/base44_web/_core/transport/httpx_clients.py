"""What sends: the default connections, and clients of `httpx2` and `httpx`.

A client that somebody gives, of either library, works as it is.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...errors import ConfigurationError
from ..fields import HttpClient
from .exchange import hide_headers_in_logs
from .message import PlatformRequest, PlatformResponse
from .protocol import AsyncTransport, Transport, TransportFactory
from .proxies import Proxies

if TYPE_CHECKING:
    import ssl

    import httpx
    import httpx2

    SyncClient: TypeAlias = httpx2.Client | httpx.Client
    AsyncClient: TypeAlias = httpx2.AsyncClient | httpx.AsyncClient


class HttpxTransports:
    """The default `TransportFactory`: the system's TLS trust and proxies (none for loopback).

    Args:
        client: makes a blocking client of `httpx2` or `httpx`, in place of the default connections. A call on it is
            bounded between two reads.
        async_client: makes an async client, in place of the default one of `httpx2`.
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
        """A blocking transport, with connections of its own.

        Raises:
            ConfigurationError: `ca_file` cannot be read.
        """
        from ._sync import HttpxTransport
        from .httpcore_pool import HttpcoreTransport

        return HttpxTransport(self._client()) if self._client else HttpcoreTransport(self._tls_context)

    def open_async(self) -> AsyncTransport:
        """As `open`, for the running event loop."""
        from ._async import AsyncHttpxTransport

        if self._async_client is not None:
            return AsyncHttpxTransport(self._async_client())
        return self._default_async(self._tls_context())

    def _default_async(self, tls: ssl.SSLContext) -> AsyncTransport:
        return _DefaultAsync("httpx2", tls)

    def _tls_context(self) -> ssl.SSLContext:
        # Made once: it takes 20 ms, and would take them again for each event loop.
        context = self._tls
        if context is None:
            import httpx2

            context = httpx2.create_ssl_context()
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            self._tls = context
        return context


class _ChosenTransports(HttpxTransports):
    """The default, with the library that the setting `http_client` names for awaited calls."""

    def __init__(self, http_client: HttpClient, ca_file: str | None) -> None:
        super().__init__(ca_file=ca_file)
        self._http_client: HttpClient = http_client
        try:
            import_module(http_client)  # as the server starts, and not in its first request
        except ImportError:
            raise ConfigurationError(
                f'http_client="{http_client}" (BASE44_HTTP_CLIENT) needs {http_client}: '
                f'pip install "base44-web[{http_client}]".'
            ) from None

    def _default_async(self, tls: ssl.SSLContext) -> AsyncTransport:
        if self._http_client != "aiohttp":
            return _DefaultAsync(self._http_client, tls)
        from .aiohttp_client import AiohttpTransport

        return AiohttpTransport(tls)


class _DefaultAsync:
    """Implements `AsyncTransport`: a client for direct connections, and one for each proxy of the environment."""

    def __init__(self, library: str, tls: ssl.SSLContext) -> None:
        self._library: Any = import_module(library)
        self._tls = tls
        self._proxies = Proxies()
        self._clients: dict[str | None, AsyncTransport] = {None: self._new(None)}

    def _new(self, proxy: str | None) -> AsyncTransport:
        from ._async import AsyncHttpxTransport

        if proxy is not None and proxy.startswith("https:"):
            through = self._library.Proxy(proxy, ssl_context=self._tls)
        else:
            through = proxy
        return AsyncHttpxTransport(self._library.AsyncClient(verify=self._tls, trust_env=False, proxy=through))

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        proxy = self._proxies.of(request.url)
        client = self._clients.get(proxy)
        if client is None:
            client = self._clients[proxy] = self._new(proxy)
        return await client.send(request, timeout=timeout, connect_timeout=connect_timeout)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()


class GivenClient:
    """A `TransportFactory` around a client that the user made and closes."""

    def __init__(self, client: SyncClient | AsyncClient) -> None:
        self._client: Any = client
        self._process: int | None = None
        library_of(client)

    def open(self) -> Transport:
        """A blocking transport over the client.

        Raises:
            ConfigurationError: it is an async client, or was used before this process was forked.
        """
        from ._sync import HttpxTransport

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
        """An awaiting transport over the client.

        Raises:
            ConfigurationError: it is a blocking client.
        """
        from ._async import AsyncHttpxTransport

        if not hasattr(self._client, "aclose"):
            raise ConfigurationError(
                "The transport given is a blocking client, and this call is awaited: give "
                "HttpxTransports(async_client=…)."
            )
        return AsyncHttpxTransport(self._client, owned=False)


def transport_factory(
    transport: TransportFactory | SyncClient | AsyncClient | None,
    *,
    http_client: HttpClient = "httpx2",
    ca_file: str | None = None,
) -> TransportFactory:
    """What `transport=` means; without it, `http_client` and `ca_file` count.

    Raises:
        ConfigurationError: it is neither a factory nor a client, or the library of `http_client` is not installed.
    """
    if transport is None:
        return HttpxTransports(ca_file=ca_file) if http_client == "httpx2" else _ChosenTransports(http_client, ca_file)
    if isinstance(transport, type):
        raise ConfigurationError(f"transport must be an object, not the class {transport.__name__}: call it.")
    if hasattr(transport, "open") and hasattr(transport, "open_async"):
        return cast(TransportFactory, transport)
    return GivenClient(transport)  # pyright: ignore[reportArgumentType] - what is left is a client


def library_of(client: object) -> ModuleType:
    """The library that a client, or the class it derives from, comes from.

    Raises:
        ConfigurationError: it is no client of `httpx2` or `httpx`.
    """
    for cls in type(client).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in ("httpx2", "httpx"):
            return sys.modules[name]
        if name == "aiohttp":
            raise ConfigurationError(
                'A session of aiohttp cannot be the transport: give none, and set http_client="aiohttp" '
                "(BASE44_HTTP_CLIENT)."
            )
    raise ConfigurationError(
        f"transport must be an httpx2 or httpx client or a TransportFactory, not {type(client).__name__}."
    )


def without_cookies(client: Any) -> Any:
    """The same client, on the same connections, with a cookie jar that takes nothing; its headers are not logged.

    A client that is shared by users would keep one user's cookie and send it with the next user's call.
    """
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    hide_headers_in_logs()
    twin = copy.copy(client)
    twin.cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return twin
