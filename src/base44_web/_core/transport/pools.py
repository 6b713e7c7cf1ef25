"""The connections of one engine: blocking ones for all threads, and those of each event loop; after `fork()` none."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import Any, TypeVar, final

from ...errors import ConfigurationError
from ..secret import Opaque
from .exchange import opened
from .message import PlatformRequest, PlatformResponse
from .protocol import AsyncTransport, Transport, TransportFactory

T = TypeVar("T", Transport, AsyncTransport)


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop.

    Raises:
        ConfigurationError: asyncio runs none here: the app runs on trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigurationError(
        "base44_web awaits on asyncio, and this app runs on another kind of event loop (trio): run it on asyncio, or "
        "use the blocking client in a thread.",
        code="not_asyncio",
    )


@final
class Pools(Opaque):
    """Opens connections on first use, and again after they were closed.

    Blocking ones are closed by `close()`, else when this is no longer used or the interpreter ends. Those of an event
    loop are closed by `aclose()` on it, else by the loop itself as it ends: each is held by an async generator, which
    `asyncio.run`, and every server that ends its loop properly, closes (`loop.shutdown_asyncgens`); and the loop
    closes what nobody uses any more.
    """

    __slots__ = ("__weakref__", "_factory", "_inherited", "_loops", "blocking")

    def __init__(self, factory: TransportFactory) -> None:
        self._factory = factory
        self.blocking = BlockingPool(factory)
        weakref.finalize(self, BlockingPool.close, self.blocking)
        self._loops: dict[asyncio.AbstractEventLoop, tuple[AsyncTransport, AsyncGenerator[None]]] = {}
        self._inherited: list[object] = []

    async def of_running_loop(self) -> AsyncTransport:
        """The running event loop's transport."""
        loop = running_loop()
        held = self._loops.get(loop)
        if held is None:
            for ended in [other for other in list(self._loops) if other.is_closed()]:
                self._loops.pop(ended, None)
            transport = opened(self._factory.open_async)
            held = self._loops[loop] = (transport, _until_loop_ends(weakref.ref(self), loop, transport))
            await anext(held[1])
        return held[0]

    def close(self) -> None:
        """Close the blocking connections."""
        self.blocking.close()

    async def aclose(self) -> None:
        """Close the blocking connections and the running event loop's."""
        self.blocking.close()
        try:
            held = self._loops.get(asyncio.get_running_loop())
        except RuntimeError:  # trio: nothing of ours is open there
            return
        if held is not None:
            await held[1].aclose()

    def after_fork(self) -> None:
        """In the child: let go of the parent's connections."""
        self.blocking.after_fork()
        # The parent's loops do not run here: kept, for closing what they hold would need them.
        self._inherited.append(self._loops)
        self._loops = {}


async def _until_loop_ends(
    pools: weakref.ref[Pools], loop: asyncio.AbstractEventLoop, transport: AsyncTransport
) -> AsyncGenerator[None]:
    # Holds no `Pools`: with the last reference to that the generator ends too, and closes.
    try:
        yield
    finally:
        held = pools()
        if held is not None:
            held._loops.pop(loop, None)
        await transport.aclose()


@final
class BlockingPool(Opaque):
    """A blocking transport that opens on first use, counts who is using it, and survives a fork."""

    __slots__ = ("_active", "_factory", "_inherited", "_lock", "_transport")

    def __init__(self, factory: TransportFactory) -> None:
        self._factory = factory
        self._transport: Transport | None = None
        self._active = 0
        self._lock = threading.Lock()
        self._inherited: list[Any] = []

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        """As `Transport.send`."""
        with self._lock:
            if self._transport is None:
                self._transport = opened(self._factory.open)
            transport = self._transport
            self._active += 1
        try:
            return transport.send(request, timeout=timeout, connect_timeout=connect_timeout)
        finally:
            with self._lock:
                self._active -= 1

    def close(self) -> None:
        """Close what is open; the next call opens it again."""
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
