"""The drivers' app on FastAPI; a module of its own, because FastAPI resolves annotations in the module."""

import json
from typing import Annotated, Any

from fastapi import FastAPI, Header, WebSocket
from starlette.responses import JSONResponse

from base44_web import AppUser, Connection
from base44_web.fastapi import (
    AppUserConnection,
    AppUserRequired,
    Base44Client,
    Base44Middleware,
    SyncBase44Client,
    connect_router,
    guard_responses,
)
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync

Calendar = Annotated[Connection, AppUserConnection("calendar")]
User = Annotated[AppUser, AppUserRequired()]
Call = Annotated[str, Header(alias="x-call")]


def respond(status: int, document: Any, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(document, status, headers)


def make(kind: str, settings: Any, transport: Any = None, *, on_refusal: Any = None) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings, transport=transport, on_refusal=hook(on_refusal, respond))
    app.include_router(connect_router(), prefix="/base44")

    async def run(base44: Base44Client, call: Call) -> Any:
        return JSONResponse(await run_async(lambda: base44, json.loads(call)))

    def run_blocking(base44: SyncBase44Client, call: Call) -> Any:
        return JSONResponse(run_sync(lambda: base44, json.loads(call)))

    endpoint = run if kind == "async" else run_blocking
    app.add_api_route("/run", endpoint, methods=["POST"])
    app.add_api_route("/run", endpoint, methods=["GET"], include_in_schema=False)

    if kind == "async":

        async def guarded(base44: Base44Client, connection: Calendar) -> Any:
            return {
                **await guarded_async(base44),
                "given": connection.access_token == base44.connection("calendar").access_token,
            }

        async def me(user: User) -> Any:
            return JSONResponse(plain(user))

        async def escape(base44: Base44Client, call: Call) -> Any:
            await escape_async(base44, json.loads(call))

    else:

        def guarded(base44: SyncBase44Client, connection: Calendar) -> Any:  # type: ignore[misc]
            return {
                **guarded_sync(base44),
                "given": connection.access_token == base44.connection("calendar").access_token,
            }

        def me(user: User) -> Any:  # type: ignore[misc]
            return JSONResponse(plain(user))

        def escape(base44: SyncBase44Client, call: Call) -> Any:  # type: ignore[misc]
            escape_sync(base44, json.loads(call))

    for path, endpoint in (("/guarded", guarded), ("/me", me), ("/escape", escape)):
        app.add_api_route(path, endpoint, methods=["POST"], responses=guard_responses)
        app.add_api_route(path, endpoint, methods=["GET"], include_in_schema=False)

    @app.websocket("/guarded-socket")
    async def guarded_socket(websocket: WebSocket, connection: Calendar) -> None:
        await websocket.accept()

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, base44: Base44Client) -> None:
        await websocket.accept()
        await websocket.send_text(base44.token.reveal() if base44.token else "")

    @app.websocket("/escaping-socket")
    async def escaping_socket(base44: Base44Client) -> None:
        await base44.connectors.connect_app_user("calendar")

    @app.websocket("/escaping-socket-late")
    async def escaping_socket_late(websocket: WebSocket, base44: Base44Client) -> None:
        await websocket.accept()
        await base44.connectors.connect_app_user("calendar")

    @app.post("/idle")
    async def idle() -> str:
        return "idle"

    return app
