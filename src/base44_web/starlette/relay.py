"""Relayed requests under ASGI: checked before the app sees them, their body read first."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope

from .._core.incoming.signature import SignatureCheck, signed_paths
from .replies import full_path
from .request import ScopeState


async def check_signature(check: SignatureCheck, state: ScopeState, scope: Scope, receive: Receive) -> Receive:
    """Where the app gets the body from.

    Raises:
        Base44Error: the request is refused.
    """
    assert state.incoming is not None
    if check.is_bare(state.incoming):
        return receive
    check.check_headers(state.incoming)
    body = bytearray()
    more = scope["type"] == "http"
    while more and len(body) <= check.max_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    paths, query = signed_paths(*_path_and_mount(scope)), scope.get("query_string", b"").decode("latin-1")
    octets = bytes(body[: check.max_body + 1])
    await asyncio.to_thread(check.check, state.incoming, paths=paths, query=query, body=octets)
    state.checked_by = check
    return _again(bytes(body), receive) if scope["type"] == "http" else receive


def _path_and_mount(scope: Scope) -> tuple[str, str]:
    """The path with the mount, and the mount: what a server or a proxy has taken away, and what apps are mounted at."""
    path, root = full_path(scope), str(scope.get("root_path", "")).rstrip("/")
    # A FastAPI app in a mount sets a root path of its own, which need not be part of the path.
    return path, root if path == root or path.startswith(f"{root}/") else str(scope.get("app_root_path", ""))


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more; then what else comes."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving
