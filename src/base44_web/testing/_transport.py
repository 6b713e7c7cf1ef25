"""The emulator as a transport in this process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from .._core.transport.exchange import compressed, too_large
from .._core.transport.message import PlatformRequest, PlatformResponse
from .._core.transport.protocol import AsyncTransport, Transport
from ..errors import RequestFailedError, RequestTimeoutError
from ._faults import Answer, Recorded

if TYPE_CHECKING:
    from ._emulator import Emulator


class InProcess:
    """A `TransportFactory` that hands requests to an emulator without sockets; its faults behave as over HTTP."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def open(self) -> Transport:
        return _Sync(self._emulator)

    def open_async(self) -> AsyncTransport:
        return _Async(self._emulator)


class _Sync:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        answer = _ask(self._emulator, request)
        time.sleep(min(_duration(answer), timeout))
        return _receive(answer, timeout)

    def close(self) -> None:
        """Nothing is held."""


class _Async:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        answer = _ask(self._emulator, request)
        await asyncio.sleep(min(_duration(answer), timeout))
        return _receive(answer, timeout)

    async def aclose(self) -> None:
        """Nothing is held."""


def _ask(emulator: Emulator, request: PlatformRequest) -> Answer:
    scheme, _, rest = request.url.partition("://")
    host, _, path = rest.partition("/")
    headers = tuple((name.lower(), value) for name, value in request.plain_headers())
    return emulator.answer(Recorded(request.method, f"/{path}", headers, request.content), origin=f"{scheme}://{host}")


def _duration(answer: Answer) -> float:
    return answer.fault.delay + answer.fault.drip * len(answer.body)


def _receive(answer: Answer, timeout: float) -> PlatformResponse:
    if _duration(answer) >= timeout:
        raise RequestTimeoutError(f"The emulator did not answer within {timeout:g} seconds.", code="timeout")
    if answer.fault.drop is not None or answer.fault.raw is not None:
        raise RequestFailedError("The emulator dropped the connection.", code="connection_lost")
    headers = dict(answer.headers)
    refused = compressed(headers.get("content-encoding")) or too_large(len(answer.body))
    if refused is not None:
        raise refused
    return PlatformResponse(answer.status, headers, answer.body)
