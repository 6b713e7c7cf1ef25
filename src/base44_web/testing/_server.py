"""The emulator over HTTP.

Own code around h11, and no ASGI server, because its faults are below HTTP: a head that drips, a connection that
drops in the middle, octets that are no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self

import h11

from ._faults import Answer, Recorded
from ._loopback import is_loopback
from ._realtime import refuse

_MAX_BODY = 4 * 1024 * 1024  # bytes


class Answering(Protocol):
    """What answers requests: an emulator.

    Attributes:
        url: the origin where it is served; `None` while it is not.
    """

    url: str | None

    def answer(self, request: Recorded) -> Answer: ...


class Server:
    """Serves an emulator from a thread of its own, while its `with` block lasts.

    Attributes:
        url: its origin, such as `http://127.0.0.1:4410`.
    """

    def __init__(self, emulator: Answering, host: str, port: int) -> None:
        self._emulator = emulator
        self._address = (host, port)
        self._threads = ThreadPoolExecutor(32, "base44-emulator")  # functions call back while their caller waits
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="base44-emulator", daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        self._emulator.url = self.url
        return self

    def __exit__(self, *exc: object) -> None:
        self._emulator.url = None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        try:
            server = await asyncio.start_server(self._accept, *self._address, backlog=512)
        except OSError as error:
            self._error = error
            return
        finally:
            if self._error is not None:
                self._ready.set()
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            async for _ in self._exchanges(reader, writer):
                pass
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchanges(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        protocol = h11.Connection(h11.SERVER)
        loop = asyncio.get_running_loop()
        while True:
            request = await _read(protocol, reader)
            if request is None:
                return
            answer = await loop.run_in_executor(self._threads, self._answer, request)
            if answer.status == 101 and answer.fault.raw is None and answer.fault.drop != "before":
                await asyncio.sleep(answer.fault.delay)
                await self._switch(protocol, reader, writer, answer)
                return
            if not await _write(protocol, writer, request, answer):
                return
            if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
                return
            protocol.start_next_cycle()
            yield

    def _answer(self, request: Recorded) -> Answer:
        host = request.header("host") or ""
        # Else a name that somebody's DNS points at this machine, or at the network it is in.
        if host and not is_loopback(host) and host.rpartition(":")[0].strip("[]") != self._address[0]:
            text = b"The emulator answers to names of this machine alone (localhost), and to the --host it was given.\n"
            return Answer(421, (("content-type", "text/plain"),), text)
        return self._emulator.answer(request)

    async def _switch(
        self, protocol: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> None:
        writer.write(protocol.send(h11.InformationalResponse(status_code=101, headers=list(answer.headers))) or b"")
        await refuse(reader, writer)


async def _read(protocol: h11.Connection, reader: asyncio.StreamReader) -> Recorded | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
            return Recorded(head.method.decode(), head.target.decode("latin-1"), headers, bytes(body))
        else:
            return None


async def _write(protocol: h11.Connection, writer: asyncio.StreamWriter, request: Recorded, answer: Answer) -> bool:
    """Whether the connection can go on."""
    fault = answer.fault
    await asyncio.sleep(fault.delay)
    if fault.drop == "before":
        return False
    if fault.raw is not None:
        writer.write(fault.raw)
        await writer.drain()
        return False
    body = b"" if request.method == "HEAD" or answer.status in (204, 304) else answer.body
    headers = [*answer.headers, ("content-length", str(len(body)))]
    octets = protocol.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    octets += (protocol.send(h11.Data(body)) or b"") if body else b""
    octets += protocol.send(h11.EndOfMessage()) or b""
    if fault.drop == "during":
        octets = octets[: -max(1, len(body) // 2)]
    if fault.drip:
        for octet in octets:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(fault.drip)
    else:
        writer.write(octets)
        await writer.drain()
    return fault.drop is None
