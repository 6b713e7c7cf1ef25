"""How a step waits: on the event loop, or not at all.

What need not differ between awaiting and blocking code is written once, as coroutines that wait only through an `IO`.
With `BLOCKING` such a coroutine never suspends, and `run` takes it to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar, final

from ...errors import Base44Error
from ..seldom import Seldom
from ..transport.pools import Pools, running_loop
from .queues import Flight, SingleFlight

T = TypeVar("T")
logger = logging.getLogger("base44_web")
_detached: set[asyncio.Task[Any]] = set()


class IO(Protocol):
    """What a step may wait for."""

    def use(self, pools: Pools[Any, Any], call: Callable[[Any], Any]) -> Awaitable[Any]:
        """What `call` gives, called with what the pools hold for this kind of waiting.

        To be awaited at once: it may have begun.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def wait(self, future: Future[T], seconds: float) -> T:
        """The future's value. Who is cancelled leaves it as it is, for others wait too.

        Raises:
            TimeoutError: it has none after so many seconds.
        """
        ...

    def join(self, flights: SingleFlight, key: Hashable) -> tuple[Flight, Future[Any] | None]:
        """The flight for a key, and what to wait for; `None`: the caller leads it."""
        ...

    async def gather(self, *calls: Callable[[], Awaitable[T]]) -> list[T | Base44Error]:
        """Each call's result or error, in order; all at the same time. There is one at least."""
        ...

    async def detached(self, call: Callable[[], Coroutine[Any, Any, T]], ended: Callable[[], None]) -> T:
        """A call's result; the call goes on even if who began it is cancelled, for others wait for it.

        As it ends, or where it cannot begin, `ended` is called.
        """
        ...

    def begin(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a call made, if that can be; nobody waits for it."""
        ...


def run(steps: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits through `BLOCKING` alone, and so never suspends."""
    try:
        steps.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    steps.close()
    raise RuntimeError("blocking code awaited something")


@final
class _Awaiting:
    def __init__(self, *, in_threads: bool) -> None:
        self._in_threads = in_threads

    def use(self, pools: Pools[Any, Any], call: Callable[[Any], Any]) -> Awaitable[Any]:
        if self._in_threads:
            return asyncio.to_thread(pools.blocking.use, call)
        held = pools.of_running_loop()
        return _opening(pools, call) if held is None else call(held)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, future: Future[T], seconds: float) -> T:
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def landed(_: object) -> None:
            if loop.is_closed():
                return
            if threading.get_ident() == thread:  # asyncio.wrap_future would wake the loop through its pipe here, too
                wake()
            else:
                loop.call_soon_threadsafe(wake)

        future.add_done_callback(landed)
        timer = loop.call_later(max(0.0, seconds), wake)  # about half of what asyncio.timeout takes
        try:
            await woken
        finally:
            timer.cancel()
        return future.result(0)  # TimeoutError, if it was the timer

    def join(self, flights: SingleFlight, key: Hashable) -> tuple[Flight, Future[Any] | None]:
        return flights.join(key)

    async def gather(self, *calls: Callable[[], Awaitable[T]]) -> list[T | Base44Error]:
        if len(calls) == 1:
            return [await _outcome(calls[0])]
        running_loop()
        return list(await asyncio.gather(*(_outcome(call) for call in calls)))

    async def detached(self, call: Callable[[], Coroutine[Any, Any, T]], ended: Callable[[], None]) -> T:
        try:
            task = running_loop().create_task(call())
        except BaseException:
            ended()
            raise
        _detached.add(task)  # the loop holds tasks weakly
        task.add_done_callback(_detached.discard)
        # Not within `call`: of that a task runs nothing, if it is cancelled before its first step.
        task.add_done_callback(lambda _: ended())
        return await asyncio.shield(task)

    def begin(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop = asyncio.get_running_loop()
            task = loop.create_task(call())
            _detached.add(task)
            task.add_done_callback(_detached.discard)


async def _opening(pools: Pools[Any, Any], call: Callable[[Any], Any]) -> Any:
    return await call(await pools.open_for_running_loop())


@final
class _Blocking:
    async def use(self, pools: Pools[Any, Any], call: Callable[[Any], Any]) -> Any:
        if _in_event_loop():
            _warn_of_blocking()
        return pools.blocking.use(call)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this is the blocking kind

    async def wait(self, future: Future[T], seconds: float) -> T:
        return future.result(max(0.0, seconds))

    def join(self, flights: SingleFlight, key: Hashable) -> tuple[Flight, Future[Any] | None]:
        flight, waiting = flights.join(key)
        # On a loop's thread, to wait for a task of that loop would hang: who comes there leads a flight of their own.
        return (Flight(flights, key), None) if waiting is not None and _in_event_loop() else (flight, waiting)

    async def gather(self, *calls: Callable[[], Awaitable[T]]) -> list[T | Base44Error]:
        if _in_event_loop():
            return [await _outcome(call) for call in calls]
        begun = [_begin(call) for call in calls[1:]]
        return [await _outcome(calls[0]), *(finish() for finish in begun)]

    async def detached(self, call: Callable[[], Coroutine[Any, Any, T]], ended: Callable[[], None]) -> T:
        try:
            return await call()
        finally:
            ended()

    def begin(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        run(call())


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_WARNED: Final = Seldom(60)


def _warn_of_blocking() -> None:
    if _WARNED.happened():
        logger.warning(
            "A blocking call to the platform is made on an event loop's thread, which stands still meanwhile: in async "
            "code use the awaiting client, request.base44.aio (or AsyncBase44).",
            extra={"base44_event": "blocking_on_event_loop"},
        )


def _begin(call: Callable[[], Awaitable[T]]) -> Callable[[], T | Base44Error]:
    """Begin a call in a thread, with the caller's context variables; what is given back waits for its outcome."""
    done: Future[T | Base44Error] = Future()

    def work() -> None:
        try:
            done.set_result(run(_outcome(call)))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    try:
        threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()
    except RuntimeError:  # no threads here, as in WebAssembly
        return lambda: run(_outcome(call))
    return done.result


async def _outcome(call: Callable[[], Awaitable[T]]) -> T | Base44Error:
    try:
        return await call()
    except Base44Error as error:
        return error


AWAITING: Final[IO] = _Awaiting(in_threads=False)
IN_THREADS: Final[IO] = _Awaiting(in_threads=True)
"""For an event loop that ends with its request: connections must not, so the blocking ones send, in a thread."""
BLOCKING: Final[IO] = _Blocking()
