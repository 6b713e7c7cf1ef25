"""Realtime updates, refused so that the client stops asking.

The reference client opens a WebSocket at `/ws-user-apps/socket.io/` (dist/client.js, dist/utils/socket-utils.js), and
its socket.io client tries again for ever after whatever fails below socket.io. Only a refusal in socket.io's own words
ends it: CONNECT_ERROR (Socket.IO protocol 5, over Engine.IO protocol 4).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import struct

from ._faults import Recorded
from ._replies import Reply, json_reply

PATH = "/ws-user-apps/socket.io/"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_SECONDS = 10
_MAX_FRAME = 65536


def answer(request: Recorded) -> Reply:
    """Switch protocols; the server goes on with `refuse`."""
    key = request.header("sec-websocket-key")
    if (request.header("upgrade") or "").lower() != "websocket" or key is None:
        return json_reply(400, {"code": 0, "message": "Transport unknown"})
    accept = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()  # noqa: S324 - not for security
    return 101, {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": accept}, b""


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say hello, wait until the client asks to join, refuse, and wait for it to leave."""
    session = f'"sid":"{secrets.token_hex(10)}","upgrades":[],"pingInterval":25000,"pingTimeout":20000'
    writer.write(_text(f'0{{{session},"maxPayload":1000000}}'))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError, ValueError):
        async with asyncio.timeout(_SECONDS):
            while not (await _frame(reader))[1].startswith(b"40"):
                pass
            text = "Realtime updates are not emulated by base44-web's emulator."
            writer.write(_text("44" + json.dumps({"message": text})))
            while (await _frame(reader))[0] != 8:
                pass
            writer.write(b"\x88\x00")
            await writer.drain()


def _text(message: str) -> bytes:
    octets = message.encode()
    length = bytes((len(octets),)) if len(octets) < 126 else struct.pack("!BH", 126, len(octets))
    return b"\x81" + length + octets


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The opcode and payload of a frame from the client, which masks it (RFC 6455 §5.2)."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    if length > _MAX_FRAME or second & 127 == 127:
        raise ValueError("too large")
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(length)
    return first & 15, bytes(octet ^ mask[index % 4] for index, octet in enumerate(masked))
