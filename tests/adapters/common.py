"""What the adapters' own suites share: headers as mappings, and ASGI by hand."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx2

from tests.checks import NAVIGATION

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
