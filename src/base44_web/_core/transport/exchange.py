"""What every exchange needs, whichever library makes it: a cap while reading, and errors that quote no credential."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self, TypeVar

from ...errors import (
    Base44Error,
    ConfigurationError,
    InvalidResponseError,
    RequestFailedError,
    RequestTimeoutError,
)
from ..secret import Opaque
from .message import MAX_BODY, PlatformRequest

T = TypeVar("T")

# What errors are called, or derive from, in httpcore, httpx2 and httpx, and in aiohttp.
_CONNECTING_TOOK_TOO_LONG: Final = frozenset({"ConnectTimeout", "ConnectionTimeoutError"})
_NOT_CONNECTED: Final = frozenset({"ConnectError", "ClientConnectorError"})


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


class _NoHeaders(logging.Filter):
    """At level DEBUG hpack logs each header of HTTP/2, and httpcore the headers of each answer: credentials, too."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or not (
            record.name.startswith("hpack") or "receive_response_headers" in str(record.msg)
        )


_no_headers = _NoHeaders()


def hide_headers_in_logs() -> None:
    """Keep headers out of the debug logs of the libraries below."""
    for core in ("httpcore", "httpcore2"):
        for part in ("http11", "http2", "proxy"):
            logging.getLogger(f"{core}.{part}").addFilter(_no_headers)
    for name in ("hpack.hpack", "hpack.table"):
        logging.getLogger(name).addFilter(_no_headers)


def drop_if_surplus(stream: object) -> None:
    """Have a connection closed after its answer if octets are left over, which would be the next caller's answer.

    Neither httpcore nor httpx looks (httpcore2 2.16, httpcore 1.0). The way to h11's buffer, and to what lies before
    it, is through private attributes; `tests/core/test_surplus.py` pins it for each library.
    """
    found: Any = stream
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection"):
        found = getattr(found, name, found)
    h11 = getattr(found, "_h11_state", None)
    # The second part of `trailing_data` says that no more can come: TLS has ended, and TCP maybe not.
    if h11 is not None and (any(h11.trailing_data) or _holds_octets(getattr(found, "_network_stream", None))):
        h11.send_failed()  # a connection in this state is not used again


def _holds_octets(stream: Any) -> bool:
    # Read from the socket and not yet by h11: records of TLS, and what lies in anyio's queue.
    while stream is not None:
        records = getattr(stream, "_read_bio", None)
        queue = getattr(getattr(stream, "_protocol", None), "read_queue", None)
        if queue or (records is not None and records.pending):
            return True
        stream = getattr(stream, "_stream", None) or getattr(stream, "transport_stream", None)
    return False


def opened(make: Callable[[], T]) -> T:
    """What `make` opens.

    Raises:
        ConfigurationError: it cannot be opened here.
    """
    try:
        return make()
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - proxy variables, certificate files, a factory of the user's
        reason = f"{type(error).__name__}: {error}"
    raise ConfigurationError(
        f"No HTTP client can be made ({reason}). Check the environment's proxy and certificate variables, ca_file "
        "(BASE44_CA_FILE), and the transport given.",
        code="no_http_client",
    )


def timeouts(timeout: float, connect_timeout: float) -> dict[str, Any]:
    """The `extensions` of a request for httpcore."""
    connect = min(timeout, connect_timeout)
    return {"timeout": {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}}


def compressed(encoding: str | None) -> Base44Error | None:
    """Why an answer of this `Content-Encoding` is not read, if so."""
    encoding = (encoding or "").strip().lower()
    if encoding in ("", "identity"):
        return None
    return InvalidResponseError(
        f"The platform's answer is compressed ({encoding[:20]}), which was not asked for and is not read.",
        code="invalid_response",
    )


def too_large(size: int) -> Base44Error | None:
    """Why no more of an answer is read than so many bytes, if so."""
    if size <= MAX_BODY:
        return None
    return InvalidResponseError(
        f"The platform's answer is larger than {MAX_BODY} bytes and was not read.", code="invalid_response"
    )


def header_mapping(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Lower-case names and values; a repeated header's values joined by commas (RFC 9110 §5.3).

    Not to be held while an answer is read: a traceback shows it.
    """
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def failure(error: Exception, request: PlatformRequest, timeout: float) -> Base44Error | ConfigurationError:
    """What went wrong on the way, without the library's own message: that can quote a header with its credential."""
    if isinstance(error, Base44Error | ConfigurationError):
        return error
    if isinstance(error, RuntimeError):
        return ConfigurationError(
            "The transport cannot be used here: the client given is closed, or belongs to another event loop. Give "
            "HttpxTransports(async_client=…), which makes one for each loop."
        )
    origin = "/".join(request.url.split("/", 3)[:3])
    names = [cls.__name__ for cls in type(error).__mro__]
    if not _CONNECTING_TOOK_TOO_LONG.isdisjoint(names):
        return RequestTimeoutError(
            f"Could not connect to {origin} in time. Check the network and server_url (BASE44_SERVER_URL).",
            code="connect_timeout",
        )
    if "TimeoutException" in names or isinstance(error, TimeoutError):
        return RequestTimeoutError(
            f"{origin} did not answer within {timeout:.3g} seconds (the setting timeout, BASE44_TIMEOUT).",
            code="timeout",
        )
    if not _NOT_CONNECTED.isdisjoint(names):
        return RequestFailedError(
            f"Could not connect to {origin}. Check the network, and server_url (BASE44_SERVER_URL).",
            code="connect_failed",
        )
    return RequestFailedError(
        f"{origin} dropped the connection, or its answer was no HTTP ({names[0]}).", code="connection_lost"
    )
