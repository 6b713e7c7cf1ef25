"""The FastAPI side of the drivers; a module of its own, because FastAPI resolves annotations in the module."""

import json
from typing import Annotated, Any

from fastapi import FastAPI, Header, WebSocket
from starlette.responses import JSONResponse

from base44_web.fastapi import Base44Client, Base44Middleware, SyncBase44Client
from tests.drivers import run_async, run_sync

Call = Annotated[str, Header(alias="x-call")]


def make(kind: str, settings: Any, transport: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings, transport=transport)

    async def run(base44: Base44Client, call: Call) -> Any:
        return JSONResponse(await run_async(lambda: base44, json.loads(call)))

    def run_blocking(base44: SyncBase44Client, call: Call) -> Any:
        return JSONResponse(run_sync(lambda: base44, json.loads(call)))

    endpoint = run if kind == "async" else run_blocking
    app.add_api_route("/run", endpoint, methods=["POST"])
    app.add_api_route("/run", endpoint, methods=["GET"], include_in_schema=False)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, base44: Base44Client) -> None:
        await websocket.accept()
        await websocket.send_text(base44.token.reveal() if base44.token else "")

    @app.post("/idle")
    async def idle() -> str:
        return "idle"

    return app
