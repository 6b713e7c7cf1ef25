"""The connections of one engine: blocking ones for all threads, and those of each event loop; after `fork()` none."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Protocol, TypeVar, final

from ...errors import ConfigurationError
from ..secret import Opaque
from .exchange import opened


class _Closed(Protocol):
    def close(self) -> None: ...


class _AsyncClosed(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T")
S = TypeVar("S", bound=_Closed)
A = TypeVar("A", bound=_AsyncClosed)
S_co = TypeVar("S_co", bound=_Closed, covariant=True)
A_co = TypeVar("A_co", bound=_AsyncClosed, covariant=True)


class Factory(Protocol[S_co, A_co]):
    """Makes what a pool holds, of both kinds, when needed; a `TransportFactory` is one."""

    def open(self) -> S_co:
        """A new one for blocking code, shared by all threads."""
        ...

    def open_async(self) -> A_co:
        """A new one for the running event loop."""
        ...


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
class Pools(Opaque, Generic[S, A]):
    """Opens connections on first use, and again after they were closed.

    Blocking ones are closed by `close()`, else when this is no longer used or the interpreter ends. Those of an event
    loop are closed by `aclose()` on it, else by the loop itself as it ends: each is held by an async generator, which
    `asyncio.run`, and every server that ends its loop properly, closes (`loop.shutdown_asyncgens`); and the loop
    closes what nobody uses any more.
    """

    __slots__ = ("__weakref__", "_factory", "_inherited", "_loops", "blocking")

    def __init__(self, factory: Factory[S, A]) -> None:
        self._factory = factory
        self.blocking = BlockingPool(factory)
        weakref.finalize(self, BlockingPool[S].close, self.blocking)
        self._loops: dict[asyncio.AbstractEventLoop, tuple[A, AsyncGenerator[None]]] = {}
        self._inherited: list[object] = []

    def of_running_loop(self) -> A | None:
        """What the running event loop has, if it has been opened."""
        held = self._loops.get(running_loop())
        return None if held is None else held[0]

    async def open_for_running_loop(self) -> A:
        """What the running event loop has; opened, if it has not been."""
        held = self.of_running_loop()
        if held is not None:
            return held
        loop = running_loop()
        for ended in [other for other in list(self._loops) if other.is_closed()]:
            self._loops.pop(ended, None)
        made = opened(self._factory.open_async)
        until_it_ends = _until_loop_ends(weakref.ref(self), loop, made)
        self._loops[loop] = made, until_it_ends
        await anext(until_it_ends)
        return made

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
    pools: weakref.ref[Pools[Any, A]], loop: asyncio.AbstractEventLoop, made: A
) -> AsyncGenerator[None]:
    # Holds no `Pools`: with the last reference to that the generator ends too, and closes.
    try:
        yield
    finally:
        held = pools()
        if held is not None:
            held._loops.pop(loop, None)
        await made.aclose()


@final
class BlockingPool(Opaque, Generic[S]):
    """What blocking code uses: opened on first use, with a count of who is using it, and not after a fork."""

    __slots__ = ("_active", "_factory", "_held", "_inherited", "_lock")

    def __init__(self, factory: Factory[S, Any]) -> None:
        self._factory = factory
        self._held: S | None = None
        self._active = 0
        self._lock = threading.Lock()
        self._inherited: list[Any] = []

    def use(self, call: Callable[[S], T]) -> T:
        """What `call` gives, called with what is held."""
        with self._lock:
            if self._held is None:
                self._held = opened(self._factory.open)
            held = self._held
            self._active += 1
        try:
            return call(held)
        finally:
            with self._lock:
                self._active -= 1

    def close(self) -> None:
        """Close what is open; the next call opens it again."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held.close()

    def after_fork(self) -> None:
        """In the child: let go of the parent's sockets."""
        idle, self._active = self._active == 0, 0
        self._lock = threading.Lock()
        if idle:
            self.close()
        elif self._held is not None:
            # Another thread was inside as the process forked, maybe holding the client's lock: to close could hang.
            self._inherited.append(self._held)
            self._held = None
