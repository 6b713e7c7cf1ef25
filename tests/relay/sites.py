"""Small sites behind the relay, each mounted in a way of its own; `TEST_SITE` says which. Loaded by real servers.

All have `/me` (the user's email), `/slack` (a token that only the service role gets), `/guarded`, `/echo`, `/lines`
(streamed, slowly), and the connect views at `/base44`.
"""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

PREFIX = "/api/x"
site = os.environ.get("TEST_SITE", "")


def starlette_site() -> Any:
    import asyncio
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
    from starlette.routing import Mount, Route

    from base44_web.starlette import Base44Middleware, app_user_connected, app_user_required, connect_routes, get_base44

    @app_user_required
    async def me(request: Request) -> JSONResponse:
        user = await get_base44(request).user()
        assert user is not None
        return JSONResponse({"email": user.email})

    async def slack(request: Request) -> JSONResponse:
        connection = await get_base44(request).as_service_role.connectors.get_connection("slack")
        return JSONResponse({"access_token": connection.access_token})

    @app_user_connected("calendar")
    async def guarded(request: Request) -> PlainTextResponse:
        return PlainTextResponse("guarded")

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    async def lines(request: Request) -> StreamingResponse:
        async def written() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"data: %d\n\n" % number
                await asyncio.sleep(1.5)

        return StreamingResponse(written(), media_type="text/event-stream")

    async def elsewhere(request: Request) -> RedirectResponse:
        return RedirectResponse(str(request.url_for("me")) + "?a=b#c")  # absolute: of the server's own origin

    inner = site == "starlette-mounted"
    middleware = [Middleware(Base44Middleware)]
    routes: list[Any] = [
        Route("/me", me, name="me"), Route("/slack", slack), Route("/guarded", guarded), Route("/lines", lines),
        Route("/echo", echo, methods=["GET", "POST"]), Route("/elsewhere", elsewhere),
        Mount("/base44", routes=connect_routes()),
    ]  # fmt: skip
    if site == "starlette":
        return Starlette(routes=routes, middleware=middleware)
    app: Any = Starlette(routes=routes, middleware=middleware) if inner else None
    mount = Mount(PREFIX, app=app) if inner else Mount(PREFIX, routes=routes)
    return Starlette(routes=[mount], middleware=[] if inner else middleware)


def fastapi_site() -> Any:
    import warnings
    from typing import Annotated

    from fastapi import FastAPI

    from base44_web import AppUser
    from base44_web.fastapi import AppUserRequired, Base44Client, Base44Middleware, connect_router

    mounted = site.endswith("-mounted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # FastAPI's of root_path, which people have
        app = FastAPI() if mounted else FastAPI(root_path=PREFIX)
    app.add_middleware(Base44Middleware)
    app.include_router(connect_router(), prefix="/base44")

    @app.get("/me")
    async def me(user: Annotated[AppUser, AppUserRequired()]) -> dict[str, str | None]:
        return {"email": user.email}

    @app.get("/slack")
    async def slack(base44: Base44Client) -> dict[str, str]:
        return {"access_token": (await base44.as_service_role.connectors.get_connection("slack")).access_token}

    if not mounted:
        return app
    outer = FastAPI()
    outer.mount(PREFIX, app)
    return outer


def flask_site() -> Any:
    from flask import Flask, Response
    from flask import request as asked
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.middleware.proxy_fix import ProxyFix

    from base44_web.flask import Base44Extension, app_user_connected, app_user_required, current_base44

    app = Flask("site")
    if site == "flask-root":
        app.config["APPLICATION_ROOT"] = PREFIX
    Base44Extension(app)

    @app.get("/me")
    @app_user_required
    def me() -> Any:
        user = current_base44.user()
        assert user is not None
        return {"email": user.email}

    @app.get("/slack")
    def slack() -> Any:
        return {"access_token": current_base44.as_service_role.connectors.get_connection("slack").access_token}

    @app.get("/guarded")
    @app_user_connected("calendar")
    def guarded() -> Any:
        return "guarded"

    @app.route("/echo", methods=["GET", "POST"])
    def echo() -> Any:
        return asked.get_data()

    @app.get("/lines")
    def lines() -> Any:
        def written() -> Iterator[bytes]:
            for number in range(3):
                yield b"data: %d\n\n" % number
                time.sleep(1.5)

        return Response(written(), mimetype="text/event-stream")

    if site == "flask-dispatched":
        app.wsgi_app = DispatcherMiddleware(NotFound(), {PREFIX: app.wsgi_app})  # type: ignore[method-assign,assignment]
    elif site == "flask-proxied":
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    return app


def django_site() -> Any:
    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import include, path

    wsgi = "wsgi" in site
    settings.configure(
        SECRET_KEY="tests only", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["base44_web.django"],
        MIDDLEWARE=["base44_web.django.Base44Middleware"], USE_TZ=True, BASE44={},
        FORCE_SCRIPT_NAME=PREFIX if site.endswith("-forced") else None,
    )  # fmt: skip
    django.setup()

    from base44_web.django import app_user_required, get_base44

    @app_user_required
    def me(request: HttpRequest) -> JsonResponse:
        user = get_base44(request).user()
        assert user is not None
        return JsonResponse({"email": user.email})

    def slack(request: HttpRequest) -> JsonResponse:
        connection = get_base44(request).as_service_role.connectors.get_connection("slack")
        return JsonResponse({"access_token": connection.access_token})

    urls = [path("me", me), path("slack", slack), path("base44/", include("base44_web.django.urls"))]
    sys.modules[__name__].urlpatterns = urls  # type: ignore[attr-defined]
    if wsgi:
        from django.core.handlers.wsgi import WSGIHandler

        return WSGIHandler()
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


if site:
    app = {"starlette": starlette_site, "fastapi": fastapi_site, "flask": flask_site, "django": django_site}[
        site.partition("-")[0]
    ]()
