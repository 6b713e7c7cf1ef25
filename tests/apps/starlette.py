"""The drivers' app on Starlette."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from base44_web import Settings, SettingsResolver
from base44_web.starlette import Base44Middleware, Request, app_user_connected, app_user_required, connect_routes
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync


def respond(status: int, document: Any, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(document, status, headers)


def make(
    kind: str, settings: Settings | SettingsResolver | None, transport: Any = None, *, on_refusal: Any = None
) -> Starlette:

    async def run(request: Request) -> JSONResponse:
        return JSONResponse(await run_async(lambda: request.base44, json.loads(request.headers["x-call"])))

    def run_blocking(request: Request) -> JSONResponse:
        call = json.loads(request.headers["x-call"])
        return JSONResponse(run_sync(lambda: request.base44.sync, call))

    async def idle(request: Request) -> PlainTextResponse:
        return PlainTextResponse("idle")

    if kind == "async":

        @app_user_connected("calendar")
        async def guarded(request: Request) -> JSONResponse:
            return JSONResponse(await guarded_async(request.base44))

        @app_user_required
        async def me(request: Request) -> JSONResponse:
            return JSONResponse(plain(await request.base44.user()))

        async def escape(request: Request) -> JSONResponse:
            await escape_async(request.base44, json.loads(request.headers["x-call"]))
            return JSONResponse({})

    else:

        @app_user_connected("calendar")
        def guarded(request: Request) -> JSONResponse:
            return JSONResponse(guarded_sync(request.base44.sync))

        @app_user_required
        def me(request: Request) -> JSONResponse:
            return JSONResponse(plain(request.base44.sync.user()))

        def escape(request: Request) -> JSONResponse:
            escape_sync(request.base44.sync, json.loads(request.headers["x-call"]))
            return JSONResponse({})

    return Starlette(
        routes=[
            Route("/run", run if kind == "async" else run_blocking, methods=["GET", "POST"]),
            Route("/idle", idle, methods=["POST"]),
            Route("/guarded", guarded, methods=["GET", "POST"]),
            Route("/me", me, methods=["GET", "POST"]),
            Route("/escape", escape, methods=["GET", "POST"]),
            Mount("/base44", routes=connect_routes()),
        ],
        middleware=[
            Middleware(Base44Middleware, settings=settings, transport=transport, on_refusal=hook(on_refusal, respond))
        ],
    )
