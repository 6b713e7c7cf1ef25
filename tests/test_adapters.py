"""What is each framework's own: why it is not in the behaviour suite is said test by test."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from base44_web import AsyncBase44, AuthenticationError, Base44, ConfigurationError, Settings
from base44_web.testing import Emulator
from tests.drivers import Driver, configure_django, environment

HEADERS = {"Authorization": "Bearer a.b.c"}


@pytest.fixture
def local(emulator: Emulator) -> Settings:
    return Settings(app_id=emulator.app_id, service_token=emulator.service_token)


# --- Starlette: scopes, mounts, WebSockets and lifespan are its own


def test_nothing_is_built_unless_touched(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    from base44_web._core.engine import context as _context
    from base44_web._core.incoming import request as _incoming

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("built on a request that never touched base44")

    monkeypatch.setattr(_context.Context, "__init__", refuse)
    monkeypatch.setattr(_incoming.Incoming, "__init__", refuse)
    assert driver.request("POST", "/idle", [*HEADERS.items()]).status_code == 200


def test_websocket(emulator: Emulator, local: Settings) -> None:
    starlette = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import WebSocketRoute

    from base44_web.starlette import Base44Middleware, WebSocket

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        token = websocket.base44.token
        shared = await websocket.base44.as_service_role.connectors.get_connection("slack")
        await websocket.send_json([token.reveal() if token else None, shared.access_token])

    app = Starlette(
        routes=[WebSocketRoute("/", endpoint)],
        middleware=[Middleware(Base44Middleware, settings=local, transport=emulator.transport)],
    )
    with starlette.TestClient(app).websocket_connect("/", headers=HEADERS) as session:
        assert session.receive_json() == ["a.b.c", emulator.share_token("slack")]


def test_fastapi_websocket_and_openapi(emulator: Emulator, local: Settings) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from tests.fastapi_app import make

    app = make("async", local, emulator.transport)
    schema = app.openapi()
    assert schema["components"]["securitySchemes"]["Base44AppUser"] == {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The Base44 app user's JWT.",
    }  # fmt: skip
    assert schema["paths"]["/run"]["post"]["security"] == [{"Base44AppUser": []}]
    assert "security" not in schema["paths"]["/idle"]["post"]
    client = testclient.TestClient(app)
    with client.websocket_connect("/socket", headers=HEADERS) as session:
        assert session.receive_text() == "a.b.c"


def test_a_mounted_app_with_settings_of_its_own(emulator: Emulator, local: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from base44_web.starlette import Base44Middleware, Request

    async def which(request: Request) -> JSONResponse:
        return JSONResponse(request.base44._context.caller.app_id)

    with Emulator(app_id="inner") as other:
        inner_settings = Settings(app_id="inner", service_token=other.service_token)
        inner = Starlette(
            routes=[Route("/which", which)],
            middleware=[Middleware(Base44Middleware, settings=inner_settings, transport=other.transport)],
        )
        after: list[Any] = []

        class After:
            """Sits between the outer Base44Middleware and the mount, and looks when the mounted app is done."""

            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await self.app(scope, receive, send)
                after.append(Request(scope).base44._context.caller.app_id)

        app = Starlette(
            routes=[
                Route("/which", which),
                Mount("/inner", app=inner),
                Mount("/plain", routes=[Route("/which", which)]),
            ],
            middleware=[
                Middleware(Base44Middleware, settings=local, transport=emulator.transport),
                Middleware(After),
            ],
        )
        client = testclient.TestClient(app)
        assert client.get("/which").json() == emulator.app_id
        assert client.get("/inner/which").json() == "inner"
        assert client.get("/plain/which").json() == emulator.app_id
        assert after == [emulator.app_id] * 3


def test_a_mounted_apps_task_keeps_its_own_client(local: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    from base44_web.starlette import Base44Middleware, Request

    kept: list[Request] = []

    async def view(request: Request) -> PlainTextResponse:
        kept.append(request)
        return PlainTextResponse("")

    inner_settings = Settings(app_id="inner", service_token="t")
    inner = Starlette(routes=[Route("/", view)], middleware=[Middleware(Base44Middleware, settings=inner_settings)])
    app = Starlette(routes=[Mount("/inner", app=inner)], middleware=[Middleware(Base44Middleware, settings=local)])
    testclient.TestClient(app).get("/inner/")
    assert kept[0].base44._context.caller.app_id == "inner"


def test_a_mounted_app_sees_trusted_headers_that_an_outer_middleware_took_out(emulator: Emulator) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from base44_web.starlette import Base44Middleware, Request

    async def service(request: Request) -> JSONResponse:
        found = request.base44._context.caller.service_token
        return JSONResponse([found.reveal() if found else None, "base44-service-authorization" in request.headers])

    trusting = Settings(app_id="a", platform_headers="trust", allowed_api_urls=["https://base44.app"])
    middleware = [Middleware(Base44Middleware, settings=trusting)]
    inner = Starlette(routes=[Route("/", service)], middleware=middleware)
    app = Starlette(routes=[Mount("/inner", app=inner)], middleware=middleware)
    headers = {"Base44-App-Id": "a", "Base44-Service-Authorization": "Bearer service"}
    assert testclient.TestClient(app).get("/inner/", headers=headers).json() == ["service", False]


def test_without_the_middleware_it_says_so() -> None:
    pytest.importorskip("starlette")
    from base44_web.starlette import Request, get_base44

    request = Request({"type": "http", "headers": []})
    assert not hasattr(request, "base44")
    for ask in (lambda: request.base44, lambda: get_base44(request)):
        with pytest.raises(ConfigurationError, match="Base44Middleware"):
            ask()


def test_the_client_outlives_the_response(emulator: Emulator, local: Settings) -> None:
    """Captured, it works in streams, background tasks and threads after the response."""
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from base44_web.starlette import Base44Middleware, Request

    done: list[str] = []

    async def stream(request: Request) -> StreamingResponse:
        base44 = request.base44

        async def lines() -> Any:
            yield (await base44.as_service_role.connectors.get_connection("slack")).access_token

        async def later() -> None:
            token = base44.token
            blocking = await asyncio.to_thread(base44.sync.as_service_role.connectors.get_connection, "slack")
            done.append(f"{token.reveal() if token else None} {blocking.access_token}")

        return StreamingResponse(lines(), background=BackgroundTask(later))

    app = Starlette(
        routes=[Route("/", stream)],
        middleware=[Middleware(Base44Middleware, settings=local, transport=emulator.transport)],
    )
    token = emulator.share_token("slack")
    assert testclient.TestClient(app).get("/", headers=HEADERS).text == token
    assert done == [f"a.b.c {token}"]


def test_wrong_settings_fail_the_lifespan_and_every_request() -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette

    from base44_web.starlette import Base44Middleware

    app = Base44Middleware(Starlette())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "BASE44_APP_ID" in sent[0]["message"]
    with pytest.raises(ConfigurationError, match="BASE44_APP_ID"):
        testclient.TestClient(app).get("/")


def test_the_same_client_for_the_whole_request(emulator: Emulator, local: Settings) -> None:
    pytest.importorskip("starlette")
    from base44_web._core.engine.engine import Engine
    from base44_web.starlette import Request, get_base44
    from base44_web.starlette.request import ScopeState

    scope = {
        "type": "http",
        "method": "GET",
        "headers": [],
        "base44": ScopeState(Engine(local), {}, incoming=None, templates=None, handlers={}),
    }
    assert isinstance(get_base44(Request(scope)), AsyncBase44)
    assert get_base44(Request(scope)) is get_base44(Request(dict(scope))) is Request(scope).base44


# --- Django: checks, load errors, the order of middleware, DRF-like wrappers


def checks(**settings: Any) -> list[str]:
    configure_django()
    from django.core.checks import run_checks
    from django.test import override_settings

    with override_settings(**settings):
        return [message.id for message in run_checks() if str(message.id).startswith("base44")]


def test_django_checks() -> None:
    pytest.importorskip("django")
    path = "base44_web.django.Base44Middleware"
    good = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "69e6"}}
    assert checks(BASE44=good, MIDDLEWARE=[path]) == []
    assert checks(BASE44=good, MIDDLEWARE=["tests.django_urls.Middleware"]) == []
    assert checks(BASE44=good, MIDDLEWARE=[]) == ["base44_web.W001"]
    for wrong in ({}, {"app_id": "a"}, {"APP_ID": "a", "TIMEOUT": "x"}, {"APP_ID": "a", "APPID": "b"}, "a", None):
        assert checks(BASE44=wrong, MIDDLEWARE=[path]) == ["base44_web.E001"]
    with environment(BASE44_APP_ID="a"):
        assert checks(BASE44={"APP_USER_CONNECTORS": {"calendar": "69e6"}}, MIDDLEWARE=[path]) == []


def test_django_raises_at_load() -> None:
    pytest.importorskip("django")
    configure_django()
    from django.core.exceptions import ImproperlyConfigured
    from django.core.handlers.wsgi import WSGIHandler

    with pytest.raises(ImproperlyConfigured, match="BASE44_APP_ID") as caught:
        WSGIHandler()
    assert isinstance(caught.value, ConfigurationError)


def test_django_app_label_and_missing_middleware() -> None:
    pytest.importorskip("django")
    configure_django()
    from django.apps import apps
    from django.test import RequestFactory

    from base44_web.django import get_base44

    assert apps.get_app_config("base44_web").name == "base44_web.django"
    with pytest.raises(ConfigurationError, match="MIDDLEWARE"):
        get_base44(RequestFactory().get("/"))


def test_django_request_is_lazy_and_copes_with_wrappers(emulator: Emulator, local: Settings) -> None:
    pytest.importorskip("django")
    configure_django()
    from django.http import HttpResponse
    from django.test import RequestFactory, override_settings

    from base44_web.django import Base44Middleware, get_base44

    class Middleware(Base44Middleware):
        transport = emulator.transport

    with override_settings(BASE44={"APP_ID": emulator.app_id, "SERVICE_TOKEN": emulator.service_token}):
        middleware = Middleware(lambda request: HttpResponse())
    request = RequestFactory().get("/", headers={"Authorization": "Basic nonsense"})
    middleware(request)
    assert pickle.loads(pickle.dumps(request)).path == "/"
    assert hasattr(request, "base44")
    assert get_base44(request) is request.base44
    assert isinstance(request.base44, Base44)
    with pytest.raises(AuthenticationError):
        _ = request.base44.token


# --- Flask: extension, factories, several apps, its own request class


def flask_app(emulator: Emulator, **config: Any) -> Any:
    from flask import Flask

    app = Flask("site")
    app.config.update(BASE44_APP_ID=emulator.app_id, BASE44_SERVICE_TOKEN=emulator.service_token, **config)
    return app


def test_flask_factory_and_several_apps(emulator: Emulator) -> None:
    pytest.importorskip("flask")
    from base44_web.flask import Base44Extension, current_base44, get_base44, request

    with Emulator(app_id="second") as other:
        extension = Base44Extension()
        apps = []
        for platform in (emulator, other):
            platform.share("slack")
            app = flask_app(platform)
            Base44Extension(app, transport=platform.transport)
            app.add_url_rule(
                "/", view_func=lambda: current_base44.as_service_role.connectors.get_connection("slack").access_token
            )
            apps.append(app)
        for app, platform in zip(apps, (emulator, other), strict=True):
            assert app.test_client().get("/").text == platform.share_token("slack")
        with apps[0].test_request_context(headers=HEADERS), apps[1].test_request_context():
            assert request.base44._context.caller.app_id == "second"
            assert get_base44() is request.base44
        third = flask_app(emulator)
        extension.init_app(third)
        with pytest.raises(ConfigurationError, match="already"):
            extension.init_app(third)


def test_flask_settings(emulator: Emulator) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension

    with pytest.raises(ConfigurationError, match="BASE44_APP_ID"):
        Base44Extension(Flask("site"))
    with pytest.raises(ConfigurationError, match="tiemout"):
        Base44Extension(flask_app(emulator, BASE44_TIEMOUT=3))
    app = flask_app(emulator, BASE44_TIMEOUT=3)
    Base44Extension(app, settings=Settings(app_id="given"))
    settings = app.extensions["base44_web"].only.settings
    assert (settings.app_id, settings.timeout) == ("given", 3.0)
    partly = flask_app(emulator, BASE44_TIMEOUT=3)
    Base44Extension(partly, settings=Settings(connect_timeout=1))
    settings = partly.extensions["base44_web"].only.settings
    assert (settings.app_id, settings.timeout, settings.connect_timeout) == (emulator.app_id, 3.0, 1.0)


def test_flask_own_request_class_and_outside_of_requests(emulator: Emulator) -> None:
    flask = pytest.importorskip("flask")
    from base44_web.flask import Base44Extension, current_base44, get_base44

    class Mine(flask.Request):  # type: ignore[misc,name-defined]
        mine = True

    app = flask_app(emulator)
    app.request_class = Mine
    Base44Extension(app, transport=emulator.transport)
    with app.test_request_context():
        assert flask.request.mine
        assert flask.request.base44.token is None
    with app.app_context(), pytest.raises(RuntimeError, match="context manager"):
        get_base44()
    with pytest.raises(RuntimeError):
        current_base44.token  # noqa: B018
    with flask.Flask("bare").test_request_context(), pytest.raises(ConfigurationError, match="Base44Extension"):
        get_base44()


# --- without a framework


def test_without_a_framework(emulator: Emulator) -> None:
    user = emulator.add_user("ada@test.example")
    options: dict[str, Any] = {
        "app_id": emulator.app_id, "token": emulator.sign_in(user), "service_token": emulator.service_token,
        "data_env": "dev", "transport": emulator.transport,
    }  # fmt: skip
    with Base44(**options) as base44:
        found = base44.user()
        assert found is not None
        assert found.id == user.id

    async def main() -> None:
        async with AsyncBase44(**options) as base44:
            assert (await base44.as_service_role.connectors.get_connection("slack")).access_token
            again = await base44.user()
            assert again is not None

    asyncio.run(main())
    assert {request.header("x-data-env") for request in emulator.requests} == {"dev"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "BASE44_APP_ID"),
        ({"app_id": "a", "token": "x y"}, "token"),
        ({"app_id": "a", "data_env": "staging"}, "data_env"),
        ({"app_id": "a", "settings": Settings(app_id="b")}, "settings"),
        ({"app_id": "a", "server_url": "http://base44.app"}, "BASE44_SERVER_URL"),
    ],
)
def test_without_a_framework_wrong_options(options: dict[str, Any], message: str) -> None:
    for make in (Base44, AsyncBase44):
        with pytest.raises(ConfigurationError, match=message):
            make(**options)


def test_connect_and_disconnect_go_to_the_apps_own_origin(driver_name: str, emulator: Emulator, platform: str) -> None:
    """The host that `initiate` is called on ends up in the provider's `redirect_uri`."""
    with emulator.serve() as own:
        settings = Settings(
            app_id=emulator.app_id, server_url=platform, app_url=own.url, service_token=emulator.service_token
        )
        driver = Driver(driver_name, settings)
        from base44_web.testing import CALENDAR_ID

        headers = {"Authorization": f"Bearer {emulator.sign_in(emulator.add_user('a@test.example'))}"}
        url = driver.call("user", "connect_app_user", CALENDAR_ID, headers=headers).result
        assert url.startswith(own.url + "/")
        driver.call("user", "disconnect_app_user", CALENDAR_ID, headers=headers)
        driver.call("service", "get_connection", "slack")
        hosts = [request.header("host") for request in emulator.requests]
        own_host, server_host = own.url.removeprefix("http://"), platform.removeprefix("http://")
        assert hosts == [own_host, own_host, server_host]
        driver.close()


def test_a_django_resolver_stands_alone() -> None:
    pytest.importorskip("django")
    from tests.drivers import configure_django

    configure_django()
    from django.test import override_settings

    from base44_web.django.middleware import load_settings

    for given, message in (
        ({"RESOLVER": "tests.test_several_apps.resolver", "APP_ID": "a"}, "only key"),
        ({"RESOLVER": "tests.drivers.plain"}, "SettingsResolver"),
    ):
        with override_settings(BASE44=given), pytest.raises(ConfigurationError, match=message):
            load_settings()


@pytest.mark.parametrize(
    ("name", "warns"), [("flask-sync", True), ("django-wsgi-sync", True), ("starlette-async", False)]
)
def test_trust_under_wsgi_is_warned_of(
    name: str, warns: bool, local: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(name.partition("-")[0])
    trusting = Settings(**{**local._given, "platform_headers": "trust", "allowed_api_urls": ["https://base44.app"]})
    Driver(name, trusting).close()
    assert ("drop both forms" in caplog.text) is warns
