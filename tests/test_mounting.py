"""The redirect views at other prefixes, under mounts and root paths, with templates of the project's own; and what
else is each framework's own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import AppUser, ConfigurationError, Settings
from base44_web.testing import Emulator

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
SECRET = "a session secret of more than 32 characters"
CONNECT_TEMPLATE = (
    "<!doctype html><title>{{ title }}</title><main>Mine: {{ service }} for {{ account }}, {{ next }}</main>"
)


@pytest.fixture
def headers(emulator: Emulator) -> dict[str, str]:
    ada: AppUser = emulator.add_user("ada@test.example")
    return {"authorization": f"Bearer {emulator.sign_in(ada)}"}


def ask(app: Any, path: str, headers: dict[str, str], root_path: str = "", method: str = "GET") -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, root_path=root_path)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


def starlette_site(settings: Settings, *, within: str = "", prefix: str = "/deep/base44", **options: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import BaseRoute, Mount, Route

    from base44_web.starlette import Base44Middleware, Request, app_user_connected, connect_routes

    @app_user_connected("calendar")
    async def guarded(request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    routes: list[BaseRoute] = [Route("/guarded", guarded), Mount(prefix, routes=connect_routes())]
    if within:
        routes = [Mount(within, routes=routes)]
    return Starlette(routes=routes, middleware=[Middleware(Base44Middleware, settings=settings, **options)])


@pytest.mark.parametrize(
    ("within", "root_path", "base"),
    [
        ("", "", "/deep/base44"),
        ("/inner", "", "/inner/deep/base44"),
        ("", "/root", "/root/deep/base44"),
        ("/inner", "/root", "/root/inner/deep/base44"),
    ],
)
def test_starlette(settings: Settings, headers: dict[str, str], within: str, root_path: str, base: str) -> None:
    pytest.importorskip("starlette")
    app = starlette_site(settings, within=within)
    site = base.removesuffix("/deep/base44")
    # A proxy passes the root path on, or takes it away (with which Starlette's own mounts do not go).
    for sent in {f"{site}/guarded", "/guarded" if not within else f"{site}/guarded"}:
        answer = ask(app, sent, headers | NAVIGATION, root_path)
        assert answer.headers["location"] == f"{base}/connect/calendar?next={site}/guarded"
        answer = ask(app, sent, headers, root_path)
        assert answer.json()["status_url"] == f"{base}/status/calendar"
    page = ask(app, f"{base}/connect/calendar?next=//evil", headers | NAVIGATION, root_path)
    assert f'action="{base}/connect/calendar?user=' in page.text
    assert f'src="{base}/connect.js?v=' in page.text
    assert f'data-next="{root_path}/"' in page.text


def test_paths_that_are_not_ascii(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("starlette")
    quoted = "/%D0%BF%D1%80%D0%B8"
    answer = ask(starlette_site(settings, within="/при"), "/größe/при/guarded", headers | NAVIGATION, "/größe")
    assert answer.headers["location"].startswith(f"/gr%C3%B6%C3%9Fe{quoted}/deep/base44/connect/calendar?next=")
    page = ask(starlette_site(settings, within="/при"), "/при/deep/base44/connect/calendar", headers | NAVIGATION)
    assert f'action="{quoted}/deep/base44/connect/calendar?user=' in page.text


def test_apps_side_by_side_have_their_own_views(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    sites = [Mount(path, app=starlette_site(settings, prefix="/base44")) for path in ("/a", "/b")]
    for app, root in ((Starlette(routes=sites), ""), (Starlette(routes=[Mount("/root", routes=sites)]), "/root")):
        for path in ("/a", "/b"):
            answer = ask(app, f"{root}{path}/guarded", headers)
            assert answer.json()["connect_url"] == f"{root}{path}/base44/connect/calendar"


def test_fastapi_root_path_and_router(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    from base44_web.fastapi import AppUserConnection, Base44Middleware, connect_router

    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)
    app.include_router(connect_router(), prefix="/b")
    app.add_api_route("/guarded", lambda: None, dependencies=[AppUserConnection("calendar")])
    root = "/api/v1"  # which the proxy takes away
    answer = ask(app, "/guarded?x=1", headers | NAVIGATION, root)
    assert answer.headers["location"] == "/api/v1/b/connect/calendar?next=/api/v1/guarded%3Fx%3D1"
    assert (
        'action="/api/v1/b/connect/calendar?user=' in ask(app, "/b/connect/calendar", headers | NAVIGATION, root).text
    )
    assert "/b/connect/{connector}" not in ask(app, "/openapi.json", {}).json()["paths"]


def test_flask_prefix_and_script_name(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension, app_user_connected

    app = Flask(__name__)
    app.config["BASE44_URL_PREFIX"] = "/links"
    Base44Extension(app, settings=settings)
    app.add_url_rule("/guarded", view_func=app_user_connected("calendar")(lambda: ""), endpoint="guarded")
    client = app.test_client()
    root = {"SCRIPT_NAME": "/root"}
    answer = client.get("/guarded", headers=headers | NAVIGATION, environ_overrides=root)
    assert answer.headers["location"] == "/root/links/connect/calendar?next=/root/guarded"
    page = client.get("/links/connect/calendar?next=//e", headers=headers | NAVIGATION, environ_overrides=root).text
    assert 'action="/root/links/connect/calendar?user=' in page
    assert 'data-next="/root/"' in page


def test_flask_without_views(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension, app_user_connected

    app = Flask(__name__)
    app.config["BASE44_URL_PREFIX"] = None
    Base44Extension(app, settings=settings)
    app.add_url_rule("/guarded", view_func=app_user_connected("calendar")(lambda: ""), endpoint="guarded")
    assert app.test_client().get("/base44/connect/calendar").status_code == 404
    assert "connect_url" not in app.test_client().get("/guarded", headers=headers).json


def test_django_script_name(settings: Settings, headers: dict[str, str]) -> None:
    pytest.importorskip("django")
    from tests.drivers import Driver

    driver = Driver("django-wsgi-sync", settings)
    transport = httpx2.WSGITransport(app=driver.app, script_name="/root")
    with httpx2.Client(transport=transport, base_url="http://testserver") as client:
        sent = client.get("/sync/guarded", headers=headers | NAVIGATION).headers["location"]
        page = client.get("/base44/connect/calendar?next=//e", headers=headers | NAVIGATION).text
    driver.close()
    assert sent == "/root/base44/connect/calendar?next=/root/sync/guarded"
    assert 'action="/root/base44/connect/calendar?user=' in page
    assert 'data-next="/root/"' in page


@pytest.mark.parametrize("sent", ["", "/root"])
def test_django_root_path(settings: Settings, headers: dict[str, str], sent: str) -> None:
    """Under ASGI some proxies take the root path away, and some pass it on."""
    pytest.importorskip("django")
    from django.urls import set_script_prefix

    from tests.drivers import Driver

    driver = Driver("django-asgi-async", settings)
    answer = ask(driver.app, f"{sent}/async/guarded", headers | NAVIGATION, "/root")
    page = ask(driver.app, f"{sent}/base44/connect/calendar?next=//e", headers | NAVIGATION, "/root").text
    driver.close()
    set_script_prefix("/")
    assert answer.headers["location"] == "/root/base44/connect/calendar?next=/root/async/guarded"
    assert 'action="/root/base44/connect/calendar?user=' in page
    assert 'data-next="/root/"' in page


# --- templates


def written(folder: Path) -> Path:
    (folder / "base44_web").mkdir()
    (folder / "base44_web" / "connect.html").write_text(CONNECT_TEMPLATE)
    return folder


def broken(folder: Path) -> Path:
    (folder / "base44_web").mkdir()
    (folder / "base44_web" / "message.html").write_text("{% extends 'nowhere.html' %}")
    return folder


EXPECTED = "<main>Mine: calendar for ada@test.example, /x</main>"


def test_starlette_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("jinja2")
    from starlette.templating import Jinja2Templates

    app = starlette_site(settings, templates=Jinja2Templates(written(tmp_path)))
    answer = ask(app, "/deep/base44/connect/calendar?next=/x", headers | NAVIGATION)
    assert EXPECTED in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "Please sign in" in ask(app, "/guarded", NAVIGATION).text  # the other page stays ours


def test_flask_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension

    app = Flask(__name__, template_folder=str(written(tmp_path)))
    Base44Extension(app, settings=settings)
    answer = app.test_client().get("/base44/connect/calendar?next=/x", headers=headers | NAVIGATION)
    assert EXPECTED in answer.text
    assert app.test_client().get("/base44/connect/calendar", headers=NAVIGATION).status_code == 200


@pytest.mark.parametrize("name", ["django-asgi-async", "django-wsgi-async", "django-wsgi-sync"])
def test_django_templates_that_ask_the_database(settings: Settings, tmp_path: Path, name: str) -> None:
    """As `{{ user }}` of Django's own context processor does; no database is to be asked on an event loop."""
    pytest.importorskip("django")
    from django.test import override_settings

    from tests.drivers import Driver, configure_django

    configure_django()
    (tmp_path / "base44_web").mkdir()
    (tmp_path / "base44_web" / "message.html").write_text("Mine: {{ asked }}")
    backend = {
        "BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path],
        "OPTIONS": {"context_processors": ["tests.django_urls.asks_the_database"]},
    }  # fmt: skip
    with override_settings(TEMPLATES=[backend]):
        driver = Driver(name, settings)
        answer = driver.request("GET", "/me", list(NAVIGATION.items()))
        guarded = driver.request("GET", "/guarded", list(NAVIGATION.items()))
        driver.close()
    for page in (answer, guarded):
        assert (page.status_code, page.text) == (401, "Mine: asked")


def test_django_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("django")
    from django.test import override_settings

    from tests.drivers import Driver, configure_django

    configure_django()
    backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [written(tmp_path)]}
    with override_settings(TEMPLATES=[backend]):
        driver = Driver("django-wsgi-sync", settings)
        pairs = list((headers | NAVIGATION).items())
        answer = driver.send_view("GET", "/base44/connect/calendar?next=/x", pairs)
        driver.close()
    assert EXPECTED in answer.text


def test_templates_know_the_request(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("jinja2")
    from starlette.templating import Jinja2Templates

    folder = written(tmp_path)
    (folder / "base44_web" / "message.html").write_text("{{ request.url.path }} {{ title }} {{ more }}")
    templates = Jinja2Templates(folder, context_processors=[lambda request: {"more": "than that"}])
    app = starlette_site(settings, templates=templates)
    assert ask(app, "/guarded", NAVIGATION).text == "/guarded Please sign in than that"


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("django")
    from django.template import TemplateDoesNotExist
    from django.test import override_settings
    from flask import Flask
    from jinja2 import TemplateNotFound
    from starlette.templating import Jinja2Templates

    from base44_web.flask import Base44Extension, app_user_required
    from tests.drivers import Driver, configure_django

    folder = broken(tmp_path)
    app = Flask(__name__, template_folder=str(folder))
    app.testing = True
    Base44Extension(app, settings=settings)
    app.add_url_rule("/me", view_func=app_user_required(lambda: ""), endpoint="me")
    with pytest.raises(TemplateNotFound, match="nowhere"):
        app.test_client().get("/me", headers=NAVIGATION)
    with pytest.raises(TemplateNotFound, match="nowhere"):
        ask(starlette_site(settings, templates=Jinja2Templates(folder)), "/guarded", NAVIGATION)
    configure_django()
    backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder]}
    with override_settings(TEMPLATES=[backend], DEBUG_PROPAGATE_EXCEPTIONS=True):
        driver = Driver("django-wsgi-sync", settings)
        with pytest.raises(TemplateDoesNotExist, match="nowhere"):
            driver.request("GET", "/me", list(NAVIGATION.items()))
        driver.close()


# --- bodies that something has read before, and prefixes that capture


@pytest.mark.parametrize("reader", ["form", "values", "get_data", "nothing"])
def test_flask_bodies_that_were_read(
    settings: Settings, emulator: Emulator, headers: dict[str, str], reader: str
) -> None:
    pytest.importorskip("flask")
    from flask import Flask, request

    from base44_web.flask import Base44Extension

    app = Flask(__name__)
    app.secret_key = os.urandom(32)  # octets, as Flask's own documentation has them
    app.config["BASE44_URL_PREFIX"] = "/<tenant>/base44"
    Base44Extension(app, settings=Settings(**{**settings._given, "token_sources": ["header", "session"]}))

    @app.before_request
    def read() -> None:
        if reader == "get_data":
            request.get_data()
        elif reader != "nothing":
            list(getattr(request, reader))

    client = app.test_client(use_cookies=False)
    other = client.post("/acme/base44/connect/calendar", data={"user": "somebody-else"}, headers=headers)
    assert other.status_code == 409
    token = headers["authorization"].removeprefix("Bearer ")
    same = {"sec-fetch-site": "same-origin"}
    assert client.post("/acme/base44/session", data={"token": token}, headers=same).status_code == 200


def test_a_short_key_of_flask_matters_only_to_sessions(settings: Settings) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension

    app = Flask(__name__)
    app.secret_key = b"dev"
    Base44Extension(app, settings=settings)


@pytest.mark.parametrize("reader", ["body", "POST", "nothing"])
def test_django_bodies_that_were_read(settings: Settings, headers: dict[str, str], reader: str) -> None:
    pytest.importorskip("django")
    from django.test import RequestFactory, override_settings

    from base44_web.django import Base44Middleware
    from base44_web.django.urls import urlpatterns
    from tests.drivers import configure_django

    configure_django()
    view = next(pattern for pattern in urlpatterns if pattern.name == "connect").callback
    given = {name.upper(): value for name, value in settings._given.items() if value is not None}
    request = RequestFactory().post(
        "/base44/connect/calendar", "user=somebody-else", "application/x-www-form-urlencoded", headers=headers
    )
    with override_settings(BASE44=given):
        middleware = Base44Middleware(lambda request: view(request, connector="calendar", tenant="acme"))
    if reader != "nothing":
        getattr(request, reader)
    response: Any = middleware(request)
    assert response.status_code == 409


def test_a_client_that_goes_away_half_way(settings: Settings) -> None:
    pytest.importorskip("starlette")
    app = starlette_site(settings)
    scope = {
        "type": "http", "method": "POST", "path": "/deep/base44/connect/calendar", "raw_path": b"", "query_string": b"",
        "root_path": "", "headers": [], "scheme": "http", "asgi": {"version": "3.0"},
    }  # fmt: skip
    incoming = [{"type": "http.request", "body": b"token=SECRET", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        pass

    asyncio.run(app(scope, receive, send))  # and raises nothing, whose traceback would show the body


# --- the session's key


def test_the_frameworks_own_keys_seal(settings: Settings, emulator: Emulator) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension

    with_session = Settings(**{**settings._given, "token_sources": ["header", "session"]})

    def app(**config: Any) -> Any:
        app = Flask(__name__)
        app.config.update(config)
        Base44Extension(app, settings=with_session)
        return app.test_client(use_cookies=False)

    same = {"sec-fetch-site": "same-origin"}
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    old = app(SECRET_KEY="o" * 32).post("/base44/session", data={"token": token}, headers=same)
    cookie = {"cookie": old.headers["set-cookie"].partition(";")[0]}
    assert app(SECRET_KEY="n" * 32).get("/base44/status/calendar", headers=cookie).status_code == 401
    rotated = app(SECRET_KEY="n" * 32, SECRET_KEY_FALLBACKS=["o" * 32])
    assert rotated.get("/base44/status/calendar", headers=cookie).status_code == 200
    for config, message in (({"SECRET_KEY": "short"}, "shorter"), ({}, "needs secret")):
        with pytest.raises(ConfigurationError, match=message) as caught:
            app(**config)
        assert "short'" not in str(caught.value)


# --- WebSockets: a token among the subprotocols


def handshake(app: Any, subprotocols: list[str]) -> list[dict[str, Any]]:
    value = ", ".join(subprotocols).encode()
    scope = {
        "type": "websocket", "path": "/socket", "raw_path": b"/socket", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"testserver"), (b"sec-websocket-protocol", value)], "subprotocols": list(subprotocols),
        "scheme": "ws", "extensions": {"websocket.http.response": {}}, "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def socket_app(settings: Settings) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import WebSocketRoute

    from base44_web.starlette import Base44Middleware, WebSocket, app_user_required

    @app_user_required
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        user = await websocket.base44.user()
        await websocket.send_text(json.dumps([user and user.email, websocket.scope["subprotocols"]]))

    return Starlette(
        routes=[WebSocketRoute("/socket", socket)], middleware=[Middleware(Base44Middleware, settings=settings)]
    )


def test_subprotocol(settings: Settings, emulator: Emulator) -> None:
    pytest.importorskip("starlette")
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    app = socket_app(Settings(**{**settings._given, "token_sources": ["header", "subprotocol"]}))
    accepted, text, *_ = handshake(app, ["chat", f"base44.bearer.{token}"])
    # Browsers end a connection whose subprotocol nobody picked; and the token is never sent back.
    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "chat")
    assert json.loads(text["text"]) == ["ada@test.example", ["chat"]]
    for offered in ([], ["chat"], ["base44.bearer."], ["base44.bearer.a", "base44.bearer.b"], ["base44.bearer.a.b.c"]):
        assert handshake(app, offered)[0]["status"] == 401
    # Opt-in: elsewhere it is no token.
    assert handshake(socket_app(settings), ["chat", f"base44.bearer.{token}"])[0]["status"] == 401
