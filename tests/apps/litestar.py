"""The drivers' app on Litestar; its annotations are resolved in this module."""

import json
from typing import Any

from litestar import Litestar, MediaType, Response, post, route, websocket

from base44_web import Settings, SettingsResolver
from base44_web.litestar import (
    Base44Client,
    Base44Plugin,
    Request,
    WebSocket,
    app_user_connected,
    app_user_required,
    connect_router,
)
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync

METHODS: Any = ["GET", "POST"]
OK = {"status_code": 200, "media_type": MediaType.JSON}


def respond(status: int, document: Any, headers: dict[str, str]) -> Response[Any]:
    return Response(document, status_code=status, headers=headers)


def make(
    kind: str,
    settings: Settings | SettingsResolver | None,
    transport: Any = None,
    *,
    on_refusal: Any = None,
    **options: Any,
) -> Litestar:

    if kind == "async":

        @route("/run", http_method=METHODS, **OK)
        async def run(request: Request) -> dict[str, Any]:
            return await run_async(lambda: request.base44, json.loads(request.headers["x-call"]))

        @route("/guarded", http_method=METHODS, guards=[app_user_connected("calendar")], **OK)
        async def guarded(base44: Base44Client, request: Request) -> dict[str, Any]:
            return {**await guarded_async(base44), "given": base44 is request.base44}

        @route("/me", http_method=METHODS, guards=[app_user_required], **OK)
        async def me(base44: Base44Client) -> Any:
            return plain(await base44.user())

        @route("/escape", http_method=METHODS, **OK)
        async def escape(base44: Base44Client, request: Request) -> None:
            await escape_async(base44, json.loads(request.headers["x-call"]))

    else:

        @route("/run", http_method=METHODS, sync_to_thread=True, **OK)
        def run(request: Request) -> dict[str, Any]:
            return run_sync(lambda: request.base44.sync, json.loads(request.headers["x-call"]))

        @route("/guarded", http_method=METHODS, guards=[app_user_connected("calendar")], sync_to_thread=True, **OK)
        def guarded(base44: Base44Client, request: Request) -> dict[str, Any]:
            return {**guarded_sync(base44.sync), "given": base44 is request.base44}

        @route("/me", http_method=METHODS, guards=[app_user_required], sync_to_thread=True, **OK)
        def me(base44: Base44Client) -> Any:
            return plain(base44.sync.user())

        @route("/escape", http_method=METHODS, sync_to_thread=True, **OK)
        def escape(base44: Base44Client, request: Request) -> None:
            escape_sync(base44.sync, json.loads(request.headers["x-call"]))

    @post("/idle", **OK)
    async def idle() -> str:
        return "idle"

    @websocket("/socket")
    async def socket(socket: WebSocket, base44: Base44Client) -> None:
        await socket.accept()
        await socket.send_text(base44.token.reveal() if base44.token else "")

    @websocket("/guarded-socket", guards=[app_user_connected("calendar")])
    async def guarded_socket(socket: WebSocket) -> None:
        await socket.accept()

    @websocket("/escaping-socket")
    async def escaping_socket(socket: WebSocket, base44: Base44Client) -> None:
        await base44.connectors.connect_app_user("calendar")

    @websocket("/escaping-socket-late")
    async def escaping_socket_late(socket: WebSocket, base44: Base44Client) -> None:
        await socket.accept()
        await base44.connectors.connect_app_user("calendar")

    sockets = [socket, guarded_socket, escaping_socket, escaping_socket_late]
    return Litestar(
        [run, guarded, me, escape, idle, *sockets, connect_router("/base44")],
        plugins=[Base44Plugin(settings, transport=transport, on_refusal=hook(on_refusal, respond))],
        logging_config=None,  # its own would take the root logger's handlers away, those of the tests, too
        **options,
    )
