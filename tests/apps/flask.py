"""The drivers' app on Flask."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from base44_web import Settings, SettingsResolver
from base44_web.flask import Base44Extension, app_user_connected, app_user_required, request
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync


def respond(status: int, document: Any, headers: dict[str, str]) -> Any:
    return document, status, headers


def make(
    kind: str, settings: Settings | SettingsResolver | None, transport: Any = None, *, on_refusal: Any = None
) -> Flask:

    app = Flask("driver")
    Base44Extension(app, settings=settings, transport=transport, on_refusal=hook(on_refusal, respond))

    if kind == "async":

        @app.route("/run", methods=["GET", "POST"])
        async def run() -> Any:
            return await run_async(lambda: request.base44.aio, json.loads(request.headers["x-call"]))

    else:

        @app.route("/run", methods=["GET", "POST"])
        def run() -> Any:
            return run_sync(lambda: request.base44, json.loads(request.headers["x-call"]))

    @app.post("/idle")
    def idle() -> str:
        return "idle"

    methods = ["GET", "POST"]
    if kind == "async":

        @app.route("/guarded", methods=methods)
        @app_user_connected("calendar")
        async def guarded() -> Any:
            return await guarded_async(request.base44.aio)

        @app.route("/me", methods=methods)
        @app_user_required
        async def me() -> Any:
            return plain(await request.base44.aio.user())

        @app.route("/escape", methods=methods)
        async def escape() -> Any:
            await escape_async(request.base44.aio, json.loads(request.headers["x-call"]))
            return {}

    else:

        @app.route("/guarded", methods=methods)
        @app_user_connected("calendar")
        def guarded() -> Any:
            return guarded_sync(request.base44)

        @app.route("/me", methods=methods)
        @app_user_required
        def me() -> Any:
            return plain(request.base44.user())

        @app.route("/escape", methods=methods)
        def escape() -> Any:
            escape_sync(request.base44, json.loads(request.headers["x-call"]))
            return {}

    return app
