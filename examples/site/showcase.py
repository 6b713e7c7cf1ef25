"""What the examples show of themselves: the calls to the platform behind a page, and the source of its view.

An app of yours needs nothing of this. It does show how `transport=` is used: a `TransportFactory` around the default
one that notes each call. The calls of one request are told apart by a context variable, which threads and tasks of that
request inherit. No credential is noted, only in which headers there was one.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from base44_web import AsyncTransport, HttpxTransports, PlatformRequest, PlatformResponse, Secret, Transport

SITE = Path(__file__).resolve().parent
_calls: ContextVar[list[dict[str, Any]]] = ContextVar("calls")


class Showcase:
    """What one example shows of itself.

    Args:
        framework: its name.
        file: the file that its views are in.
    """

    def __init__(self, framework: str, file: str) -> None:
        self.framework = framework
        self.transport = NotingTransports()
        self._file = Path(file).resolve()

    def begin(self) -> None:
        """Begin to note the calls that this request makes."""
        _calls.set([])

    def values(self, view: str, path: str, server_url: str) -> dict[str, Any]:
        """For the template of a page. The list of calls is the request's own: it grows until the page is rendered."""
        return {
            "framework": self.framework,
            "view": view,
            "path": path,
            "emulated": urlsplit(server_url).hostname == "127.0.0.1",
            "calls": _calls.get([]),
        }

    def source_page(self) -> str:
        """The source of the views, as a page where `#name` is a function."""
        text = self._file.read_text(encoding="utf-8")
        lines = [escape(line) for line in text.splitlines()]
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
                lines[first] = f'<span id="{node.name}">{lines[first]}'
                lines[(node.end_lineno or node.lineno) - 1] += "</span>"
        name = f"examples/{self._file.relative_to(SITE.parent).as_posix()}"
        page = (SITE / "source.html").read_text(encoding="utf-8")
        style = (SITE / "assets" / "style.css").read_text(encoding="utf-8")
        return page.replace("{style}", style).replace("{name}", escape(name)).replace("{source}", "\n".join(lines))


class NotingTransports:
    """A `TransportFactory`: the default transports, each call noted for the request that makes it."""

    def __init__(self) -> None:
        self._default = HttpxTransports()

    def open(self) -> Transport:
        return _Noting(self._default.open())

    def open_async(self) -> AsyncTransport:
        return _NotingAsync(self._default.open_async())


class _Noting:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        with _noted(request) as call:
            answer = self._transport.send(request, timeout=timeout, connect_timeout=connect_timeout)
            call["status"] = answer.status
        return answer

    def close(self) -> None:
        self._transport.close()


class _NotingAsync:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        with _noted(request) as call:
            answer = await self._transport.send(request, timeout=timeout, connect_timeout=connect_timeout)
            call["status"] = answer.status
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()


@contextmanager
def _noted(request: PlatformRequest) -> Iterator[dict[str, Any]]:
    call = {
        "method": request.method,
        "path": urlsplit(request.url).path,
        "credentials": [name for name, value in request.headers if isinstance(value, Secret)],
        "status": "failed",
    }
    begun = time.perf_counter()
    try:
        yield call
    finally:
        call["ms"] = f"{(time.perf_counter() - begun) * 1000:.1f}"
        _calls.get([]).append(call)


class ServerTiming:
    """ASGI middleware for pages whose script fetches everything: the calls go into each answer's `Server-Timing`.

    Browsers show that header, https://www.w3.org/TR/server-timing/, in their developer tools, too.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        calls: list[dict[str, Any]] = []
        _calls.set(calls)

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"server-timing", _timing(calls).encode())]
            await send(message)

        await self._app(scope, receive, sending)


def _timing(calls: list[dict[str, Any]]) -> str:
    told = (f"{call['method']} {call['path']} {call['status']} {' '.join(call['credentials'])}" for call in calls)
    return ", ".join(f'base44;dur={call["ms"]};desc="{text}"' for call, text in zip(calls, told, strict=True))
