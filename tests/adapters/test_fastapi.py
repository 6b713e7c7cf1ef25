"""What is FastAPI's own: dependencies, OpenAPI, routers."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from base44_web import (
    AppUser,
    ConfigurationError,
    Settings,
    SettingsResolver,
)
from base44_web.testing import Emulator
from tests.adapters.common import HEADERS, NAVIGATE, ask, start_up
from tests.checks import (
    signed_in,
)

pytest.importorskip("fastapi")
from fastapi import FastAPI
from starlette import testclient
from starlette.requests import Request
from starlette.testclient import WebSocketDenialResponse

from base44_web.fastapi import AppUserConnection, AppUserRequired, Base44Middleware, connect_router
from base44_web.starlette import app_user_required
from tests.apps import fastapi as fastapi_app


def test_fastapi_websocket_and_openapi(emulator: Emulator, local: Settings) -> None:
    app = fastapi_app.make("async", local, emulator.transport)
    schema = app.openapi()
    assert schema["components"]["securitySchemes"]["Base44AppUser"] == {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The Base44 app user's JWT.",
    }  # fmt: skip
    assert schema["paths"]["/run"]["post"]["security"] == [{"Base44AppUser": []}]
    assert "security" not in schema["paths"]["/idle"]["post"]
    client = testclient.TestClient(app)
    with client.websocket_connect("/socket", headers=HEADERS) as session:
        assert session.receive_text() == "a.b.c"


def test_fastapi_websocket_guard_openapi_and_overrides(emulator: Emulator, settings: Settings) -> None:
    app = fastapi_app.make("async", settings)
    client = testclient.TestClient(app)
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/guarded-socket"):
        pass
    assert denied.value.status_code == 401
    schema = app.openapi()["paths"]["/guarded"]["post"]
    assert schema["security"] == [{"Base44AppUser": []}]
    assert {"401", "403", "503"} <= set(schema["responses"])
    assert AppUserConnection("calendar") == AppUserConnection("calendar")
    assert AppUserConnection("calendar").dependency == AppUserConnection("calendar").dependency
    assert AppUserConnection("calendar").dependency != AppUserConnection("mail").dependency
    user = AppUser.from_record({"id": "fake", "app_id": "a"})
    app.dependency_overrides[AppUserRequired().dependency] = lambda: user
    assert client.get("/me").json() == {"id": "fake", "email": None}


def test_a_guard_above_its_fastapi_route_fails_the_start_up(settings: Settings) -> None:
    def decorated(view: Any) -> Any:
        return functools.wraps(view)(lambda *args, **kwargs: view(*args, **kwargs))

    for between in (lambda view: view, decorated):
        app = FastAPI()
        app.add_middleware(Base44Middleware, settings=settings)

        @app_user_required
        @between
        @app.get("/")
        def view(request: Request) -> str:
            raise AssertionError("the guard was left out")

        assert "below the route" in start_up(app)["message"]


def test_guards_above_their_route_without_a_lifespan(settings: Settings) -> None:
    """Servers may send no lifespan, mounted apps get none, and with a resolver there are no settings at start-up."""

    def bare() -> FastAPI:
        app = FastAPI()

        @app_user_required
        @app.get("/me")
        def view(request: Request) -> str:
            raise AssertionError("the guard was left out")

        return app

    def site(source: Any) -> FastAPI:
        app = bare()
        app.add_middleware(Base44Middleware, settings=source)
        return app

    resolver = SettingsResolver(lambda arrival: settings)
    around = FastAPI()
    around.mount("/sub", site(settings))
    around.mount("/hand", Base44Middleware(bare(), settings=settings))
    for app, path in (
        (site(settings), "/me"), (site(resolver), "/me"), (around, "/sub/me"), (around, "/hand/me"),
    ):  # fmt: skip
        client = testclient.TestClient(app)  # without `with`, it sends no lifespan
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="below the route"):
                client.get(path)
    assert "below the route" in start_up(site(resolver))["message"]


@pytest.mark.drivers("fastapi-async", "fastapi-sync")
def test_one_identity_call_without_memory(make: Any, emulator: Emulator) -> None:
    """What the guard found out is the view's argument."""
    assert make(identity_ttl=0).request("GET", "/me", signed_in(emulator)).status_code == 200
    assert len(emulator.requests) == 1


def test_fastapi_root_path_and_router(settings: Settings, headers: dict[str, str]) -> None:
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)
    app.include_router(connect_router(), prefix="/b")
    app.add_api_route("/guarded", lambda: None, dependencies=[AppUserConnection("calendar")])
    root = "/api/v1"  # which the proxy takes away
    answer = ask(app, "/guarded?x=1", headers | NAVIGATE, root)
    assert answer.headers["location"] == "/api/v1/b/connect/calendar?next=/api/v1/guarded%3Fx%3D1"
    assert 'action="./calendar?user=' in ask(app, "/b/connect/calendar", headers | NAVIGATE, root).text
    assert "/b/connect/{connector}" not in ask(app, "/openapi.json", {}).json()["paths"]
