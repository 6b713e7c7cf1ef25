"""What every adapter does for itself, and the core cannot."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from base44_web import (
    AppUser,
    Connection,
    Secret,
    Settings,
)
from base44_web._core.engine import context as _context
from base44_web._core.incoming import request as _incoming
from base44_web.testing import Emulator
from tests.adapters.common import HEADERS
from tests.canaries import CANARY
from tests.conformance.test_platform_headers import APP, platform_headers
from tests.drivers import FRAMEWORKS, ONE_EACH, Driver


@pytest.mark.drivers(*FRAMEWORKS)
def test_nothing_is_built_unless_touched(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("built on a request that never touched base44")

    monkeypatch.setattr(_context.Context, "__init__", refuse)
    monkeypatch.setattr(_incoming.Incoming, "__init__", refuse)
    assert driver.request("POST", "/idle", [*HEADERS.items()]).status_code == 200


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


def test_mistakes_fail_at_import() -> None:
    def view(request: Any) -> None: ...

    def no_request(thing: Any) -> None: ...

    for module, wrong in (("starlette", [no_request, 7, dict]), ("django", [7, dict]), ("flask", [7, dict])):
        guards = __import__(f"base44_web.{module}", fromlist=["app_user_required"])
        pytest.importorskip(module)
        for connectors in ((), (view,), ("calendar", 7), ("",)):
            with pytest.raises(TypeError, match="app_user_connected"):
                guards.app_user_connected(*connectors)
        for thing in wrong:
            with pytest.raises(TypeError):
                guards.app_user_required(thing)
        assert guards.app_user_connected("calendar")(view).__name__ == "view"


def seen_by(driver_name: str, settings: Settings, headers: dict[str, str], *, fails: bool) -> str:
    """Everything that the outermost layer can see of a request after the app has had it."""
    driver = Driver(driver_name, settings)
    inner, seen = driver.app, []

    async def outer_asgi(scope: Any, receive: Any, send: Any) -> None:
        headers = scope["headers"]  # an error reporter may hold the list itself
        try:
            await inner(scope, receive, send)
        finally:
            seen.append(repr([headers, {key: value for key, value in scope.items() if key != "app"}]))

    def outer_wsgi(environ: Any, start_response: Any) -> Any:
        try:
            return inner(environ, start_response)
        finally:
            seen.append(repr(environ))

    driver.app = outer_asgi if driver.headers_apart else outer_wsgi
    driver.request("POST", "/idle" if not fails else "/nowhere", list(headers.items()))
    driver.close()
    return seen[0]


@pytest.mark.drivers(*ONE_EACH)
def test_taken_out_in_place(driver_name: str, elsewhere: tuple[Emulator, str], subtests: pytest.Subtests) -> None:
    trusting = Settings(app_id=APP, platform_headers="trust", allowed_api_urls=[elsewhere[1]])
    ignoring = Settings(app_id=APP)
    for fails in (False, True):
        with subtests.test(fails=fails):
            seen = seen_by(driver_name, trusting, platform_headers(elsewhere[1]), fails=fails)
            assert "canary" not in seen
            assert APP in seen
            assert "canary" in seen_by(driver_name, ignoring, platform_headers(elsewhere[1]), fails=fails)


def returns(framework: str, connection: Connection) -> Callable[[], Any]:
    if framework == "fastapi":
        from fastapi import FastAPI
        from fastapi.testclient import TestClient

        app = FastAPI()

        @app.get("/")
        async def view() -> Any:
            return connection

        return lambda: TestClient(app).get("/")
    if framework == "flask":
        from flask import Flask

        site = Flask("x")
        site.testing = True
        site.add_url_rule("/", view_func=lambda: connection)
        return lambda: site.test_client().get("/")

    from tests.apps import django as django_app

    return lambda: django_app.JsonResponse({"connection": connection})


@pytest.mark.parametrize("framework", ["fastapi", "flask", "django"])
def test_returning_a_connection_from_a_view_raises(framework: str) -> None:
    pytest.importorskip(framework)
    with pytest.raises((TypeError, ValueError)) as caught:
        returns(framework, Connection(Secret(CANARY), {"k": CANARY}, "slack"))()
    assert CANARY not in str(caught.value)


def test_an_app_user_can_be_pickled_and_not_returned_whole() -> None:
    """All custom fields would be sent."""
    fastapi = pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    user = AppUser.from_record({"id": "u", "app_id": "a", "email": "a@example.com", "custom": [1], "role": 7})
    assert pickle.loads(pickle.dumps(user)) == user
    assert (user.role, user.raw["custom"], user.is_verified) == (None, [1], False)
    app = fastapi.FastAPI()

    with pytest.raises(TypeError, match="comes from a guard"):

        @app.get("/annotated")
        async def annotated() -> AppUser:
            return user

    @app.get("/bare")
    async def bare():  # type: ignore[no-untyped-def]
        return user

    assert TestClient(app, raise_server_exceptions=False).get("/bare").status_code == 500
