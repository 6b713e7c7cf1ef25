"""The default blocking transport: the pool of httpcore2, which httpx2 stands on, with a deadline for a whole call.

httpx2's own client has no place for a network backend, and a call's deadline lives there (`deadline.py`).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypedDict, cast
from urllib.parse import urlsplit

from ...errors import Base44Error, ConfigurationError
from .deadline import BoundedBackend, Deadline
from .exchange import (
    Body,
    compressed,
    drop_if_surplus,
    failure,
    header_mapping,
    hide_headers_in_logs,
    opened,
    timeouts,
    too_large,
)
from .message import PlatformRequest, PlatformResponse
from .proxies import Proxies, login_apart

if TYPE_CHECKING:
    import httpcore2


class _Limits(TypedDict):
    max_connections: int
    max_keepalive_connections: int
    keepalive_expiry: float  # seconds


_LIMITS: Final[_Limits] = {"max_connections": 100, "max_keepalive_connections": 20, "keepalive_expiry": 5.0}


class HttpcoreTransport:
    """Implements `Transport`; one pool for direct connections, and one for each proxy of the environment."""

    def __init__(self, tls: Callable[[], ssl.SSLContext]) -> None:
        hide_headers_in_logs()
        self._tls = tls
        self._proxies = Proxies()
        self._lock = threading.Lock()
        self._pools: dict[str, httpcore2.ConnectionPool] = {}

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        outcome = self._exchange(request, timeout, connect_timeout)
        if not isinstance(outcome, PlatformResponse):
            raise outcome
        return outcome

    def close(self) -> None:
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _exchange(
        self, request: PlatformRequest, timeout: float, connect_timeout: float
    ) -> PlatformResponse | Base44Error | ConfigurationError:
        body = Body()
        pool = opened(lambda: self._pool(self._proxies.of(request.url)))
        try:
            with (
                Deadline(timeout),
                pool.stream(
                    request.method,
                    request.url,
                    headers=_framing(request) + request.plain_headers(),
                    content=request.content,
                    extensions=timeouts(timeout, connect_timeout),
                ) as answer,
            ):
                refused = compressed(header_mapping(answer.headers).get("content-encoding"))
                if refused is not None:
                    return refused
                for chunk in answer.iter_stream():
                    body += chunk
                    chunk = b""
                    refused = too_large(len(body))
                    if refused is not None:
                        return refused
                drop_if_surplus(answer.stream)
            return PlatformResponse(answer.status, header_mapping(answer.headers), body.octets())
        except Exception as error:  # noqa: BLE001 - a library's own errors can quote a header with its credential
            return failure(error, request, timeout)

    def _pool(self, proxy: str | None) -> httpcore2.ConnectionPool:
        with self._lock:
            pool = self._pools.get(proxy or "")
            if pool is None:
                pool = self._pools[proxy or ""] = self._new_pool(proxy)
            return pool

    def _new_pool(self, proxy: str | None) -> httpcore2.ConnectionPool:
        import httpcore2

        backend = cast("httpcore2.NetworkBackend", BoundedBackend(httpcore2.SyncBackend()))
        through = None
        if proxy is not None:
            address, login = login_apart(proxy)
            tls = self._tls() if address.startswith("https:") else None
            through = httpcore2.Proxy(address, auth=login, ssl_context=tls)
        return httpcore2.ConnectionPool(self._tls(), through, network_backend=backend, **_LIMITS)


def _framing(request: PlatformRequest) -> list[tuple[str, str]]:
    host = ("Host", urlsplit(request.url).netloc)
    has_body = request.content or request.method == "POST"
    return [host, ("Content-Length", str(len(request.content)))] if has_body else [host]
