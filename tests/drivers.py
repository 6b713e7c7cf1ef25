"""One small app and client per framework and kind of I/O, for the behaviour suite.

Every app has one endpoint, `/run`: it performs the call that the header `X-Call` names, on `request.base44`, and answers
with the result or the error. `/idle` never touches `base44`. So a behaviour is written once and runs everywhere.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from base44_web import ApiResponse, AppUser, AsyncBase44, Base44, Base44Error, Connection, HttpxTransports, Settings
from base44_web.testing import CALENDAR_ID

DRIVERS = (
    "starlette-async",
    "starlette-sync",
    "fastapi-async",
    "fastapi-sync",
    "django-wsgi-sync",
    "django-wsgi-async",
    "django-asgi-sync",
    "django-asgi-async",
    "flask-sync",
    "flask-async",
)


@dataclass(frozen=True)
class Outcome:
    """What `/run` answered."""

    result: Any = None
    error: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def plain(value: Any) -> Any:
    if isinstance(value, Connection):
        config = value.connection_config
        return {"access_token": value.access_token, "connection_config": None if config is None else dict(config)}
    if isinstance(value, ApiResponse):
        return dataclasses.asdict(value)
    if isinstance(value, AppUser):
        return {"id": value.id, "email": value.email}
    return value


def failed(error: Exception) -> dict[str, Any]:
    fields = {name: getattr(error, name, None) for name in ("status", "code", "message", "data", "retry_after")}
    return {"error": type(error).__name__, "fields": fields | {"text": str(error)}}


def target(base44: Any, call: dict[str, Any]) -> Any:
    match call["module"]:
        case "service":
            return base44.as_service_role.connectors
        case "user":
            return base44.connectors
    return base44


def run_sync(base44: Callable[[], Base44], call: dict[str, Any]) -> dict[str, Any]:
    try:
        if call["method"] == "token":
            token = base44().token
            return {"result": None if token is None else token.reveal()}
        method = getattr(target(base44(), call), call["method"])
        return {"result": plain(method(*call["args"], **call["kwargs"]))}
    except (Base44Error, ValueError, TypeError) as error:
        return failed(error)


async def run_async(base44: Callable[[], AsyncBase44], call: dict[str, Any]) -> dict[str, Any]:
    try:
        if call["method"] == "token":
            token = base44().token
            return {"result": None if token is None else token.reveal()}
        method = getattr(target(base44(), call), call["method"])
        return {"result": plain(await method(*call["args"], **call["kwargs"]))}
    except (Base44Error, ValueError, TypeError) as error:
        return failed(error)


async def escape_async(base44: AsyncBase44, call: dict[str, Any]) -> None:
    """The call, with its errors let out of the view."""
    await getattr(target(base44, call), call["method"])(*call["args"], **call["kwargs"])


def escape_sync(base44: Base44, call: dict[str, Any]) -> None:
    getattr(target(base44, call), call["method"])(*call["args"], **call["kwargs"])


async def guarded_async(base44: AsyncBase44) -> dict[str, Any]:
    """What a view behind `app_user_connected("calendar")` has: the guard's connection, and the same when asked again."""
    again = await base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    return {"same": again is base44.connection("calendar"), "access_token": again.access_token}


def guarded_sync(base44: Base44) -> dict[str, Any]:
    again = base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    return {"same": again is base44.connection("calendar"), "access_token": again.access_token}


# --- the apps


def starlette_app(kind: str, settings: Settings, transport: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, PlainTextResponse
    from starlette.routing import Mount, Route

    from base44_web.starlette import Base44Middleware, Request, app_user_connected, app_user_required, connect_routes

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
        middleware=[Middleware(Base44Middleware, settings=settings, transport=transport)],
    )


def flask_app(kind: str, settings: Settings, transport: Any) -> Any:
    from flask import Flask

    from base44_web.flask import Base44Extension, app_user_connected, app_user_required, request

    app = Flask("driver")
    Base44Extension(app, settings=settings, transport=transport)

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


def configure_django() -> None:
    import django
    from django.conf import settings as django_settings

    if not django_settings.configured:
        origin = os.environ.get("TEST_DJANGO_CORS")
        cors = ["corsheaders.middleware.CorsMiddleware"] if origin else []
        django_settings.configure(
            SECRET_KEY="tests only",
            ALLOWED_HOSTS=["*"],
            DEBUG=False,
            ROOT_URLCONF="tests.django_urls",
            INSTALLED_APPS=["base44_web.django", *(["corsheaders"] if origin else [])],
            MIDDLEWARE=["django.middleware.security.SecurityMiddleware", *cors, "tests.django_urls.Middleware"],
            CORS_ALLOWED_ORIGINS=[origin] if origin else [],
            USE_TZ=True,
        )
        django.setup()


def django_app(server: str, settings: Settings, transport: Any) -> Any:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    from tests import django_urls

    given = {name.upper(): value for name, value in settings._given.items() if value is not None}
    django_urls.Middleware.transport = transport
    try:
        with override_settings(BASE44=given):
            return WSGIHandler() if server == "wsgi" else ASGIHandler()
    finally:
        django_urls.Middleware.transport = None


def library() -> Any:
    """The HTTP library of this run of the matrix: the default, or `httpx`."""
    if os.environ.get("TEST_HTTP_LIBRARY") != "httpx":
        return None
    import httpx

    return HttpxTransports(client=httpx.Client, async_client=httpx.AsyncClient)


def make_app(driver: str, settings: Settings, transport: Any = None) -> Any:
    framework, *kind = driver.split("-")
    transport = transport or library()
    if not settings.app_user_connectors:  # the guarded views name it
        settings = Settings(**{**settings._given, "app_user_connectors": {"calendar": CALENDAR_ID}})
    match framework:
        case "starlette":
            return starlette_app(kind[0], settings, transport)
        case "fastapi":
            from tests import fastapi_app

            return fastapi_app.make(kind[0], settings, transport)
        case "flask":
            return flask_app(kind[0], settings, transport)
    return django_app(kind[0], settings, transport)


def is_asgi(driver: str) -> bool:
    return driver.startswith(("starlette", "fastapi", "django-asgi"))


class Driver:
    """Sends requests to one app in this process, and keeps one event loop for it where it is ASGI."""

    def __init__(self, driver: str, settings: Settings, transport: Any = None) -> None:
        self.name = driver
        self.app = make_app(driver, settings, transport)
        self.asgi = is_asgi(driver)
        self.path = f"/{driver.rpartition('-')[2]}" if driver.startswith("django") else ""
        self._runner = asyncio.Runner() if self.asgi else None

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    def request(self, method: str, path: str, headers: list[tuple[str, Any]], body: bytes = b"") -> httpx2.Response:
        if self._runner is not None:
            return self._runner.run(self.send(method, path, headers, body))
        transport = httpx2.WSGITransport(app=self.app)
        with httpx2.Client(transport=transport, base_url="http://testserver") as client:
            return client.request(method, self.path + path, headers=headers, content=body)

    def send_view(self, method: str, path: str, headers: list[tuple[str, Any]], body: bytes = b"") -> httpx2.Response:
        """A request to a path that is the same in every app."""
        prefix, self.path = self.path, ""
        try:
            return self.request(method, path, headers, body)
        finally:
            self.path = prefix

    async def send(self, method: str, path: str, headers: list[tuple[str, Any]], body: bytes = b"") -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, self.path + path, headers=headers, content=body)

    def call(
        self,
        module: str,
        name: str,
        /,
        *args: Any,
        headers: Any = None,
        http_method: str = "POST",
        **kwargs: Any,
    ) -> Outcome:
        """Perform the method `name` of a module (`"service"`, `"user"`, `"client"`) inside a view."""
        return self.perform(module, name, args, kwargs, headers or {}, http_method)

    def perform(
        self, module: str, name: str, args: Any, kwargs: Any, headers: Any, http_method: str = "POST"
    ) -> Outcome:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        pairs = [(key, value.encode("latin-1")) for key, value in pairs]
        response = self.request(http_method, "/run", [*pairs, *encode_call(module, name, args, kwargs)])
        assert response.status_code == 200, response.text
        return Outcome(**response.json())


def encode_call(module: str, method: str, args: Any, kwargs: Any) -> list[tuple[str, str]]:
    call = {"module": module, "method": method, "args": args, "kwargs": kwargs}
    return [("x-call", json.dumps(call)), ("accept", "application/json")]


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """`BASE44_*` exactly as given, for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("BASE44_")}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)
