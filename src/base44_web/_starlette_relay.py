"""Relayed requests under ASGI: judged before the app sees them, their body read first."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope

from ._relay import Relay
from ._replies import Reply
from ._starlette_guards import full_path
from ._starlette_request import Attached


async def judge(relay: Relay, attached: Attached, scope: Scope, receive: Receive) -> tuple[Reply | None, Receive]:
    """The answer to a request that is refused; and where the app gets the body from."""
    assert attached.incoming is not None
    if relay.is_bare(attached.incoming):
        return None, receive
    body = bytearray()
    more = scope["type"] == "http"
    while more and len(body) <= relay.max_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    path, query = full_path(scope), scope.get("query_string", b"").decode("latin-1")
    check = asyncio.to_thread(
        relay.check, attached.incoming, path=path, query=query, body=bytes(body[: relay.max_body + 1])
    )
    refused = await check
    attached.judged = relay
    return refused, _again(bytes(body), receive) if scope["type"] == "http" else receive


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more; then what else comes."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving
