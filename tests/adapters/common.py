"""What the adapters' own suites share: headers as mappings, and ASGI by hand."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.checks import NAVIGATION, Headers
from tests.serving import PATIENCE

HEADERS = {"Authorization": "Bearer a.b.c"}
NAVIGATE = dict(NAVIGATION)
CONNECT_TEMPLATE = (
    "<!doctype html><title>{{ title }}</title><main>Mine: {{ service }} for {{ account }}, {{ next }}</main>"
)
EXPECTED = "<main>Mine: calendar for ada@test.example, /x</main>"


def start_up(app: Any) -> dict[str, str]:
    """What an app answers to `lifespan.startup`."""
    sent: list[dict[str, str]] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "lifespan.startup.complete":
            raise asyncio.CancelledError

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app({"type": "lifespan", "state": {}}, receive, send)

    asyncio.run(run())
    return sent[0]


def ask(app: Any, path: str, headers: dict[str, str], root_path: str = "", method: str = "GET") -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, root_path=root_path)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


DENIALS: Final = {"websocket.http.response": {}}


def talk(
    app: Any, path: str, headers: Headers = (), *, extensions: Any = DENIALS, subprotocols: Any = ()
) -> list[dict[str, Any]]:
    """What a server is sent for a handshake, until something is said; then the client goes away."""
    value = ", ".join(subprotocols).encode()
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"testserver"), *((name.encode(), said.encode()) for name, said in headers)],
        "subprotocols": list(subprotocols), "scheme": "ws", "extensions": extensions, "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    if value:
        scope["headers"].append((b"sec-websocket-protocol", value))
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        said, connected = asyncio.Event(), False

        async def receive() -> dict[str, Any]:
            nonlocal connected
            if not connected:
                connected = True
                return {"type": "websocket.connect"}
            await said.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            more = message["type"].endswith(("start", "accept")) or message.get("more_body")
            if not more:
                said.set()

        async with asyncio.timeout(PATIENCE):
            task = asyncio.create_task(app(scope, receive, send))
            task.add_done_callback(lambda done: said.set())
            await task

    asyncio.run(main())
    return sent


def written(folder: Path) -> Path:
    """A folder of templates with a connect page in it."""
    (folder / "base44_web").mkdir()
    (folder / "base44_web" / "connect.html").write_text(CONNECT_TEMPLATE)
    return folder


def broken(folder: Path) -> Path:
    """A folder of templates, one of which wants another that is nowhere."""
    (folder / "base44_web").mkdir()
    (folder / "base44_web" / "message.html").write_text("{% extends 'nowhere.html' %}")
    return folder
