"""Relayed requests under ASGI: checked before the app sees them, their body read first."""

from __future__ import annotations

import asyncio

from .._core.incoming.signature import SignatureCheck, signed_paths
from .scope import Message, Receive, Scope, ScopeState


async def check_signature(
    check: SignatureCheck, state: ScopeState, scope: Scope, receive: Receive, *, path: str, prefix: str
) -> Receive:
    """Where the app gets the body from.

    Args:
        check: of the app whose request it is.
        state: the request's.
        scope: its scope.
        receive: where its body comes from.
        path: decoded, with the mount.
        prefix: what the app's own settings say that a proxy takes away, which counts where the server knows of none.

    Raises:
        Base44Error: the request is refused.
    """
    assert state.incoming is not None
    if check.is_bare(state.incoming):
        return receive
    check.check_headers(state.incoming)
    body = (await read_body(receive, check.max_body) if scope["type"] == "http" else None) or b""
    mount, query = _mount(scope, path), scope.get("query_string", b"").decode("latin-1")
    paths = signed_paths(path, mount) if mount else signed_paths(prefix + path, prefix)
    octets = body[: check.max_body + 1]
    await asyncio.to_thread(check.check, state.incoming, paths=paths, query=query, body=octets)
    state.checked_by = check
    return _again(body, receive) if scope["type"] == "http" else receive


async def read_body(receive: Receive, most: int) -> bytes | None:
    """A request's body, or what there is of it as it grows larger than `most` bytes; `None`: its client went away."""
    body = bytearray()
    more = True
    while more and len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def never() -> Message:
    """What comes of a request whose answer does not depend on it: nothing any more."""
    return await asyncio.Future[Message]()


def _mount(scope: Scope, path: str) -> str:
    """What a server or a proxy has taken away of the path, and what apps are mounted at."""
    root = str(scope.get("root_path", "")).rstrip("/")
    # A FastAPI app in a mount sets a root path of its own, which need not be part of the path.
    return root if path == root or path.startswith(f"{root}/") else str(scope.get("app_root_path", ""))


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more; then what else comes."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving
