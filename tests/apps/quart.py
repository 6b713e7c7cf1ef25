"""The drivers' app on Quart."""

from __future__ import annotations

import json
from typing import Any

from quart import Quart, Response

from base44_web import Settings, SettingsResolver
from base44_web.quart import Base44Extension, app_user_connected, app_user_required, request, websocket
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync


def respond(status: int, document: Any, headers: dict[str, str]) -> Response:
    return Response(json.dumps(document), status, headers, content_type="application/json")


def make(
    kind: str, settings: Settings | SettingsResolver | None, transport: Any = None, *, on_refusal: Any = None
) -> Quart:

    app = Quart("driver")
    Base44Extension(app, settings=settings, transport=transport, on_refusal=hook(on_refusal, respond))
    methods = ["GET", "POST"]

    if kind == "async":

        @app.route("/run", methods=methods)
        async def run() -> Any:
            return await run_async(lambda: request.base44, json.loads(request.headers["x-call"]))

        @app.route("/guarded", methods=methods)
        @app_user_connected("calendar")
        async def guarded() -> Any:
            return await guarded_async(request.base44)

        @app.route("/me", methods=methods)
        @app_user_required
        async def me() -> Any:
            return plain(await request.base44.user())

        @app.route("/escape", methods=methods)
        async def escape() -> Any:
            await escape_async(request.base44, json.loads(request.headers["x-call"]))
            return {}

    else:

        @app.route("/run", methods=methods)
        def run() -> Any:
            return run_sync(lambda: request.base44.sync, json.loads(request.headers["x-call"]))

        @app.route("/guarded", methods=methods)
        @app_user_connected("calendar")
        def guarded() -> Any:
            return guarded_sync(request.base44.sync)

        @app.route("/me", methods=methods)
        @app_user_required
        def me() -> Any:
            return plain(request.base44.sync.user())

        @app.route("/escape", methods=methods)
        def escape() -> Any:
            escape_sync(request.base44.sync, json.loads(request.headers["x-call"]))
            return {}

    @app.post("/idle")
    async def idle() -> str:
        return "idle"

    @app.websocket("/socket")
    async def socket() -> None:
        token = websocket.base44.token
        await websocket.send(token.reveal() if token else "")

    @app.websocket("/guarded-socket")
    @app_user_connected("calendar")
    async def guarded_socket() -> None:
        await websocket.accept()

    @app.websocket("/escaping-socket")
    async def escaping_socket() -> None:
        await websocket.base44.connectors.connect_app_user("calendar")

    @app.websocket("/escaping-socket-late")
    async def escaping_socket_late() -> None:
        await websocket.accept()
        await websocket.base44.connectors.connect_app_user("calendar")

    return app
