"""aiohttp as the transport of awaited calls (the setting `http_client`), with all that httpx2 guarantees."""

from __future__ import annotations

import io
import math
import os
import select
import ssl
from typing import TYPE_CHECKING, Any, final
from weakref import WeakSet

import aiohttp
from yarl import URL

from ...errors import Base44Error, ConfigurationError
from .exchange import Body, compressed, failure, header_mapping, too_large
from .message import PlatformRequest, PlatformResponse
from .proxies import Proxies, login_apart

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.http_parser import HttpParser
    from aiohttp.tracing import Trace


@final
class AiohttpTransport:
    """Implements `AsyncTransport` over a session of its own, for the running event loop."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["http/1.1"])  # as httpcore does
        self._proxies = Proxies(socks=False)
        # No limit: how many calls there are at once is decided before (`Limiter`), and the time to connect would also
        # count what is spent in a queue of the pool's. The system looks up names, whether aiodns is there or not.
        connector = _Connector(ssl=tls, limit=0, keepalive_timeout=5.0, resolver=aiohttp.ThreadedResolver())
        _connectors.add(connector)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # As much as httpx2 takes: all fields in 100 KiB, however many.
            max_field_size=100 * 1024,
            max_headers=10_000,
            response_class=_Answer,
        )
        # It would send again what was lost on a kept connection, a DELETE too; `platform/retries.py` decides that.
        self._session._retry_connection = False

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        outcome = await self._exchange(request, timeout, connect_timeout)
        if not isinstance(outcome, PlatformResponse):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        await self._session.close()

    async def _exchange(
        self, request: PlatformRequest, timeout: float, connect_timeout: float
    ) -> PlatformResponse | Base44Error | ConfigurationError:
        body = Body()
        try:
            answer = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.plain_headers(),
                data=io.BytesIO(request.content) if request.content else None,  # plain bytes of a MiB it warns of
                allow_redirects=False,
                # From a threshold on aiohttp would round up to a whole second.
                timeout=aiohttp.ClientTimeout(
                    total=timeout, connect=min(timeout, connect_timeout), ceil_threshold=math.inf
                ),
                **self._way_to(request.url),
            )
            try:
                _check_framing(answer)
                refused = compressed(", ".join(answer.headers.getall("Content-Encoding", ())))
                if refused is not None:
                    return refused
                while not answer.content.at_eof():
                    body += await answer.content.readany()
                    refused = too_large(len(body))
                    if refused is not None:
                        return refused
            finally:
                # An answer that was read to its end has given its connection back by then; any other closes it.
                answer.close()
            return PlatformResponse(answer.status, header_mapping(answer.raw_headers), body.octets())
        except Exception as error:  # noqa: BLE001 - aiohttp's errors hold the headers of the request
            return failure(error, request, timeout)
        except BaseException as error:  # of who is cancelled aiohttp's frames hold the headers, too
            error.__traceback__ = None
            raise

    def _way_to(self, url: str) -> dict[str, Any]:
        proxy = self._proxies.of(url)
        if proxy is None:
            return {}
        # Apart from the address: that is in the repr of aiohttp's connections and errors.
        address, login = login_apart(proxy)
        headers = {"Proxy-Authorization": aiohttp.encode_basic_auth(*login)} if login else None
        return {"proxy": address, "proxy_headers": headers}


class _Answer(aiohttp.ClientResponse):
    """Without its headers in the repr: a `Location` can be a credential, and tracebacks show locals."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


def _check_framing(answer: aiohttp.ClientResponse) -> None:
    # aiohttp hands over statuses that are no answer's, and bodies that were coded for the way, undecoded.
    codings = answer.headers.getall("Transfer-Encoding", ())
    if answer.status < 200 or [coding.strip().lower() for coding in codings] not in ([], ["chunked"]):
        raise aiohttp.ClientPayloadError


class _Connector(aiohttp.TCPConnector):
    """A pool that drops a kept connection on which more has come than its answers, and what it drops at once.

    aiohttp's own would hand it out, and what came is then taken for the next caller's answer
    (3.14.5, https://github.com/aio-libs/aiohttp/issues/13656). And it closes in good order, which takes as long as the
    other side likes: what is left to send is sent first, and TLS waits for the other's end.
    """

    @property
    def closed(self) -> bool:
        """Whether nothing is open; that of an event loop that has ended without closing it."""
        return self._closed or self._loop.is_closed()

    def __del__(self, *_: Any) -> None:
        self._closed = self.closed
        super().__del__()

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if should_close or protocol.should_close:
            protocol.abort()
        super()._release(key, protocol, should_close=should_close)

    def _close(self, *, abort_ssl: bool = False) -> list[Any]:
        for protocol in list(self._acquired):
            protocol.abort()
        return super()._close(abort_ssl=abort_ssl)

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection for a request: a clean one from the pool, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if _is_clean(connection):
                return connection
            connection.close()


def _is_clean(connection: Connection) -> bool:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        return False
    # The one for the next answer is made after this: here it is the last answer's, and a new connection has none.
    parser = protocol._parser
    if parser is None:
        return True
    # What came is with the protocol, as messages; in the parser, as the beginning of one; or still in the socket.
    if protocol.should_close or _holds_a_beginning(parser):
        return False
    return not _is_readable(transport.get_extra_info("socket").fileno())


def _holds_a_beginning(parser: HttpParser[Any]) -> bool:
    # aiohttp has two parsers. The one in C tells of a message that has begun at the end of input; that in Python has
    # its octets at hand, and tells of it only if it can be read.
    if getattr(parser, "_tail", b"") or getattr(parser, "_lines", []):
        return True
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - what has begun is no HTTP
        return True


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


_connectors: WeakSet[_Connector] = WeakSet()


def _let_go() -> None:
    # As it is collected a connector closes what it holds; in a child that would take the parent's connections out of
    # the parent's event loop too, for both have one selector. Of one that counts as closed nothing is closed.
    for connector in list(_connectors):
        connector._closed = True


os.register_at_fork(after_in_child=_let_go)
