"""Transports that say what happens and when, in place of a network that takes its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from base44_web import Base44Error
from base44_web._core.transport.message import PlatformRequest, PlatformResponse
from base44_web.testing import Emulator
from tests.serving import PATIENCE

Answer: TypeAlias = Callable[[PlatformRequest, float], PlatformResponse]


class Scripted:
    """Answers what a function says, on both kinds of I/O.

    Attributes:
        timeouts: what each request was given for a timeout.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.timeouts: list[float] = []

    def open(self) -> Any:
        return _Blocking(self.ask)

    def open_async(self) -> Any:
        return _Awaiting(self.ask)

    def ask(self, request: PlatformRequest, timeout: float) -> PlatformResponse:
        self.timeouts.append(timeout)
        return self._answer(request, timeout)


class _Blocking:
    def __init__(self, ask: Answer) -> None:
        self._ask = ask

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        return self._ask(request, timeout)

    def close(self) -> None:
        """Nothing is held."""


class _Awaiting:
    def __init__(self, ask: Answer) -> None:
        self._ask = ask

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        return self._ask(request, timeout)

    async def aclose(self) -> None:
        """Nothing is held."""


class Held:
    """The emulator, which keeps requests back until they are let go; for one event loop.

    Attributes:
        holds: which requests are kept back.
        waiting: how many were kept back so far.
        timeouts: what each of those was given for a timeout.
    """

    def __init__(self, emulator: Emulator, holds: Callable[[PlatformRequest], bool]) -> None:
        self.holds = holds
        self.timeouts: list[float] = []
        self._inner = emulator.transport.open_async()
        self._let_go = asyncio.Event()
        self._error: Base44Error | None = None

    @property
    def waiting(self) -> int:
        return len(self.timeouts)

    def open(self) -> Any:
        raise AssertionError("only awaiting calls can be held")

    def open_async(self) -> Any:
        return self

    async def arrived(self, count: int) -> None:
        """Wait until so many are kept back."""
        while self.waiting < count:
            await asyncio.sleep(0)

    def let_go(self, error: Base44Error | None = None) -> None:
        """Answer all, as the emulator does or with an error."""
        self._error = error
        self._let_go.set()

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        if self.holds(request) and not self._let_go.is_set():
            self.timeouts.append(timeout)
            await self._let_go.wait()
            if self._error is not None:
                raise self._error
        answer: PlatformResponse = await self._inner.send(request, timeout=timeout, connect_timeout=connect_timeout)
        return answer

    async def aclose(self) -> None:
        """Nothing is held open."""


class Meeting:
    """The emulator, which answers nobody before so many have asked: who asks one after the other waits for ever."""

    def __init__(self, emulator: Emulator, count: int) -> None:
        self._blocking, self._awaiting = emulator.transport.open(), emulator.transport.open_async()
        self._barrier = threading.Barrier(count)
        self._count = count
        self._all = asyncio.Event()

    def open(self) -> Any:
        return _Blocking(self._ask)

    def open_async(self) -> Any:
        return self

    def _ask(self, request: PlatformRequest, timeout: float) -> PlatformResponse:
        self._barrier.wait(PATIENCE)
        return self._blocking.send(request, timeout=timeout, connect_timeout=timeout)

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        self._count -= 1
        if self._count == 0:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), PATIENCE)
        return await self._awaiting.send(request, timeout=timeout, connect_timeout=connect_timeout)

    async def aclose(self) -> None:
        """Nothing is held."""
