"""The engine: the connections of one `Settings`, for all threads, event loops and forked processes that use it."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, final

from ._flow import Flights, Gate
from ._identity import KnownUsers, Statuses
from ._incoming import reads_cookies
from ._keys import Keys
from ._message import Request, Response
from ._relay import Relay
from ._secret import Opaque
from ._session import Seal
from ._transport import AsyncTransport, Transport, TransportFactory, transport_factory
from .settings import Settings

if TYPE_CHECKING:
    from ._transport import AsyncClient, SyncClient

_CALLS: Final = 100  # at once; also what the default transports have connections for
_IDENTITY_CALLS: Final = 20  # at once: forged tokens must not take the places of everything else
_WAITING: Final = 1000  # for a place, of each kind

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@final
class Engine(Opaque):
    """Opens connections on first use, and again after it was closed.

    Blocking connections are closed by `close()`, else when the engine is no longer used or the interpreter ends.
    Those of an event loop are closed by `aclose()` on it, else by the loop itself as it ends: each is held by an async
    generator, which `asyncio.run`, and every server that ends its loop properly, closes (`loop.shutdown_asyncgens`).
    """

    __slots__ = (
        "__weakref__", "_factory", "_inherited", "_loops", "_pool", "flights", "gate", "identity_gate", "keys",
        "reads_cookies", "relay", "seal", "settings", "statuses", "users",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, transport: TransportFactory | SyncClient | AsyncClient | None = None
    ) -> None:
        self.settings = settings
        self.reads_cookies = reads_cookies(settings)
        self.users = KnownUsers(settings.identity_ttl)
        self.statuses = Statuses()
        self.keys = Keys(settings) if settings.verification == "keys" else None
        self.relay = Relay(settings) if settings.platform_headers == "signed" else None
        self.flights = Flights()
        self.gate = Gate(_CALLS, _WAITING)
        self.identity_gate = Gate(_IDENTITY_CALLS, _WAITING)
        self.seal = Seal(settings.session_secret) if "session" in settings.token_sources else None
        self._factory = transport_factory(transport, settings.ca_file)
        self._pool = _Pool(self._factory)
        weakref.finalize(self, _Pool.close, self._pool)
        self._loops: dict[asyncio.AbstractEventLoop, tuple[AsyncTransport, AsyncGenerator[None]]] = {}
        self._inherited: list[object] = []
        _engines.add(self)

    async def open_async(self) -> AsyncTransport:
        """The running event loop's transport."""
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None:
            for ended in [other for other in list(self._loops) if other.is_closed()]:
                self._loops.pop(ended, None)
            transport = self._factory.open_async()
            held = self._loops[loop] = (transport, self._until_loop_ends(loop, transport))
            await anext(held[1])
        return held[0]

    def open(self) -> Transport:
        """The blocking transport."""
        return self._pool

    def in_thread(self) -> AsyncTransport:
        """The blocking transport, awaited: for an event loop that lives no longer than one request."""
        return _Threaded(self._pool)

    async def _until_loop_ends(
        self, loop: asyncio.AbstractEventLoop, transport: AsyncTransport
    ) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._loops.pop(loop, None)
            await transport.aclose()

    def close(self) -> None:
        """Close the blocking connections."""
        self._pool.close()

    async def aclose(self) -> None:
        """Close the blocking connections and the running event loop's."""
        self._pool.close()
        held = self._loops.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    def _after_fork(self) -> None:
        self._pool.after_fork()
        for shared in (self.users, self.statuses, self.flights, self.gate, self.identity_gate):
            shared.after_fork()
        if self.keys is not None:
            self.keys.after_fork()
        # The parent's loops do not run here: kept, for closing what they hold would need them.
        self._inherited.append(self._loops)
        self._loops = {}


def _start_afresh() -> None:
    for engine in list(_engines):
        engine._after_fork()


os.register_at_fork(after_in_child=_start_afresh)


@final
class _Pool(Opaque):
    """A blocking transport that opens on first use, counts who is using it, and survives a fork."""

    __slots__ = ("_active", "_factory", "_inherited", "_lock", "_transport")

    def __init__(self, factory: TransportFactory) -> None:
        self._factory = factory
        self._transport: Transport | None = None
        self._active = 0
        self._lock = threading.Lock()
        self._inherited: list[Any] = []

    def send(self, request: Request, *, timeout: float, connect_timeout: float) -> Response:
        with self._lock:
            self._active += 1
            if self._transport is None:
                self._transport = self._factory.open()
            transport = self._transport
        try:
            return transport.send(request, timeout=timeout, connect_timeout=connect_timeout)
        finally:
            with self._lock:
                self._active -= 1

    def close(self) -> None:
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def after_fork(self) -> None:
        """In the child: let go of the parent's sockets."""
        idle, self._active = self._active == 0, 0
        self._lock = threading.Lock()
        if idle:
            self.close()
        elif self._transport is not None:
            # Another thread was inside as the process forked, maybe holding the client's lock: to close could hang.
            self._inherited.append(self._transport)
            self._transport = None


@final
class _Threaded:
    """A blocking transport, awaited in a thread of the event loop's executor."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: Request, *, timeout: float, connect_timeout: float) -> Response:
        return await asyncio.to_thread(self._transport.send, request, timeout=timeout, connect_timeout=connect_timeout)

    async def aclose(self) -> None:
        """Nothing of its own to close."""
