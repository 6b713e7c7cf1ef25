"""A beginner's mistakes, a row each: what one did, and the sentence that one sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, NamedTuple

import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    Base44Error,
    ConfigurationError,
    Connection,
    MiddlewareMissingError,
    Settings,
)
from base44_web.testing import CALENDAR_ID
from tests.adapters.common import ask
from tests.checks import Headers
from tests.serving import PATIENCE

NAMED = Settings(app_id="demo-app", app_user_connectors={"calendar": CALENDAR_ID})


class Row(NamedTuple):
    done: Callable[[], Any]
    error: type[Exception]
    says: str


def check(table: dict[str, Row], subtests: pytest.Subtests) -> None:
    for name, row in table.items():
        with subtests.test(name):
            with pytest.raises(row.error, match=re.escape(row.says)) as caught:
                row.done()
            assert not isinstance(caught.value, Base44Error)


def test_fastapi(subtests: pytest.Subtests) -> None:
    pytest.importorskip("fastapi")
    from fastapi import Depends, FastAPI
    from fastapi.testclient import TestClient

    from base44_web.fastapi import AppUserConnection, AppUserRequired, Base44Client, Base44Middleware
    from base44_web.starlette import app_user_connected, app_user_required

    def asking(annotation: Any, *, middleware: bool = True, settings: Any = NAMED, **route: Any) -> Callable[[], Any]:
        async def view(given: Any = None) -> None: ...

        view.__annotations__["given"] = annotation

        def ask() -> None:
            app = FastAPI()
            if middleware:
                app.add_middleware(Base44Middleware, settings=settings)
            app.add_api_route("/", view, **route)
            with TestClient(app) as client:
                client.get("/")

        return ask

    user, missing = Annotated[AppUser, AppUserRequired()], "request.base44 is not there: add base44_web.starlette"
    decorator = "A decorator (app_user_required, app_user_connected) stands in a parameter or in Depends(…)"
    check(
        {
            "no app ID, under the test client": Row(
                asking(user, settings=None), ConfigurationError, "app_id (BASE44_APP_ID) is not set"
            ),
            "no middleware, a guard": Row(asking(user, middleware=False), MiddlewareMissingError, missing),
            "no middleware, the client": Row(asking(Base44Client, middleware=False), MiddlewareMissingError, missing),
            "a typo in a guard": Row(
                asking(Annotated[Connection, AppUserConnection("calender")]),
                ConfigurationError,
                "Did you mean 'calendar'?",
            ),
            "a guard without parentheses": Row(
                asking(Annotated[AppUser, Depends(AppUserRequired)]), TypeError, "without its parentheses"
            ),
            "a guard as a type": Row(asking(AppUserConnection("calendar")), TypeError, "write Annotated[…"),
            "a guard's class as a type": Row(asking(AppUserConnection), TypeError, "parentheses"),
            "a bare connection": Row(asking(Connection), TypeError, 'Annotated[Connection, AppUserConnection("…")]'),
            "a bare user": Row(asking(AppUser), TypeError, "Annotated[AppUser, AppUserRequired()]"),
            "a bare client": Row(asking(AsyncBase44), TypeError, "annotate the parameter as Base44Client"),
            "a decorator as a dependency": Row(
                asking(Annotated[Any, Depends(app_user_connected("calendar"))]), ConfigurationError, decorator
            ),
            "a decorator among dependencies": Row(
                asking(str, dependencies=[Depends(app_user_required)]), ConfigurationError, decorator
            ),
        },
        subtests,
    )


def test_depends_works_as_one_is_used_to_write_it(settings: Settings, adas: Headers) -> None:
    pytest.importorskip("fastapi")
    from fastapi import Depends, FastAPI
    from fastapi.testclient import TestClient

    from base44_web.fastapi import AppUserConnection, Base44Middleware

    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)

    async def view(connection: Any) -> None: ...

    view.__annotations__["connection"] = Annotated[Connection, Depends(AppUserConnection("calendar"))]
    app.add_api_route("/", view)
    assert TestClient(app).get("/").json()["type"].endswith("sign-in-required")
    assert TestClient(app).get("/", headers=dict(adas)).json()["type"].endswith("not-connected")


def test_starlette(subtests: pytest.Subtests) -> None:
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from base44_web.starlette import Base44Middleware, app_user_connected, app_user_required

    async def view(request: Any) -> None:
        try:
            request.base44.connection("calendar")
        except Base44Error:  # what an app shows its visitors where a call failed
            pytest.fail("taken for a failed call")

    async def no_request() -> None: ...

    def serving(endpoint: Any, *middleware: Any) -> Callable[[], Any]:
        def ask() -> None:
            with TestClient(Starlette(routes=[Route("/", endpoint)], middleware=list(middleware))) as client:
                client.get("/")

        return ask

    def above() -> None:
        app_user_required(left_out)
        serving(left_out, Middleware(Base44Middleware, settings=NAMED))()

    async def left_out(request: Any) -> None: ...

    def wrong(call: Callable[[], Any]) -> Callable[[], Any]:
        return call

    check(
        {
            "no middleware": Row(serving(view), MiddlewareMissingError, "add base44_web.starlette.Base44Middleware"),
            "no guard": Row(
                serving(view, Middleware(Base44Middleware, settings=NAMED)), LookupError, "add app_user_connected"
            ),
            "a guard above its route": Row(above, ConfigurationError, "put the guard below the route"),
            "with parentheses": Row(
                wrong(lambda: app_user_required()),  # type: ignore[call-arg]
                TypeError,
                "@app_user_required is written without parentheses",
            ),
            "without parentheses": Row(
                lambda: app_user_connected(view),  # type: ignore[arg-type]
                TypeError,
                '@app_user_connected("calendar")',
            ),
            "no request": Row(lambda: app_user_required(no_request), TypeError, "parameter request or websocket"),
        },
        subtests,
    )


def test_flask(subtests: pytest.Subtests) -> None:
    pytest.importorskip("flask")
    from flask import Flask

    from base44_web.flask import Base44Extension, app_user_connected, app_user_required, current_base44, request

    def serving(view: Any, *, extension: bool = True, **config: Any) -> Callable[[], Any]:
        def ask() -> None:
            app = Flask("mistaken")
            app.testing = True
            app.config.update(config)
            if extension:
                Base44Extension(app, settings=NAMED)
            app.add_url_rule("/", view_func=view)
            app.test_client().get("/")

        return ask

    def bare() -> str:
        assert not hasattr(request, "base44")
        return str(request.base44)

    def above() -> None:
        app_user_required(left_out)
        serving(left_out)()

    def left_out() -> str:
        return ""

    def twice() -> None:
        app = Flask("mistaken")
        Base44Extension(app, settings=NAMED)
        Base44Extension(app, settings=NAMED)

    missing = "set up base44_web.flask.Base44Extension for this app"
    check(
        {
            "no extension": Row(serving(bare, extension=False), MiddlewareMissingError, missing),
            "no extension, current_base44": Row(
                serving(lambda: str(current_base44.token), extension=False), MiddlewareMissingError, missing
            ),
            "no extension, a guard": Row(
                serving(app_user_required(left_out), extension=False), MiddlewareMissingError, missing
            ),
            "twice": Row(twice, ConfigurationError, "set up for this app already"),
            "an unknown key": Row(serving(left_out, BASE44_APPID="x"), ConfigurationError, "There is no setting appid"),
            "a typo in a guard": Row(
                serving(app_user_connected("calender")(bare)), ConfigurationError, "Did you mean 'calendar'?"
            ),
            "a guard above its route": Row(above, ConfigurationError, "put the guard below the route"),
            "with parentheses": Row(
                lambda: app_user_required(),  # type: ignore[call-arg]
                TypeError,
                "@app_user_required is written without parentheses",
            ),
            "without parentheses": Row(
                lambda: app_user_connected(bare),  # type: ignore[arg-type]
                TypeError,
                '@app_user_connected("calendar")',
            ),
        },
        subtests,
    )


def test_django(subtests: pytest.Subtests) -> None:
    pytest.importorskip("django")
    from tests.apps.django import configure

    configure()
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory, override_settings
    from django.views import View

    from base44_web.django import app_user_connected, app_user_required, get_base44

    def loading(base44: Any) -> Callable[[], Any]:
        def load() -> None:
            with override_settings(BASE44=base44):
                WSGIHandler()

        return load

    check(
        {
            "no app ID": Row(loading({}), ConfigurationError, "app_id (BASE44_APP_ID) is not set"),
            "keys in lower case": Row(loading({"app_id": "a"}), ConfigurationError, "dict with upper-case keys"),
            "an unknown key": Row(loading({"APPID": "a"}), ConfigurationError, "There is no setting appid"),
            "a hook that is none": Row(
                loading({"APP_ID": "a", "ON_REFUSAL": 7}), ConfigurationError, "ON_REFUSAL in the setting BASE44 must"
            ),
            "a hook that is nowhere": Row(
                loading({"APP_ID": "a", "ON_REFUSAL": "nowhere.hook"}), ConfigurationError, "No module named 'nowhere'"
            ),
            "no middleware": Row(
                lambda: get_base44(RequestFactory().get("/")), MiddlewareMissingError, "Base44Middleware to MIDDLEWARE"
            ),
            "a class": Row(lambda: app_user_required(View), TypeError, "method_decorator"),
            "with parentheses": Row(
                lambda: app_user_required(),  # type: ignore[call-arg]
                TypeError,
                "@app_user_required is written without parentheses",
            ),
            "without parentheses": Row(
                lambda: app_user_connected(View.as_view()),  # type: ignore[arg-type]
                TypeError,
                '@app_user_connected("calendar")',
            ),
        },
        subtests,
    )


LINES = {
    "starlette-async": 'Mount("/base44", routes=connect_routes())',
    "fastapi-async": 'app.include_router(connect_router(), prefix="/base44")',
    "flask-sync": 'app.config["BASE44_URL_PREFIX"] = "/base44"',
    "django-wsgi-sync": 'include("base44_web.django.urls")',
    **({"quart-async": 'app.config["BASE44_URL_PREFIX"] = "/base44"'} if find_spec("quart") else {}),
}


@pytest.mark.parametrize("driver_name", LINES, indirect=True)
def test_views_that_are_not_mounted_are_warned_of(
    driver_name: str, settings: Settings, adas: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, where a guard names a connector; not where the operator says where people connect."""
    for own in (None, "/own"):
        caplog.clear()
        given = Settings(**{**settings._given, "connect_path": own})
        send = not_mounted(driver_name.partition("-")[0], given)
        for _ in range(3):
            assert send(dict(adas)) == 403
        warnings = [record.getMessage() for record in caplog.records if "are not mounted" in record.getMessage()]
        assert len(warnings) == (own is None)
        assert all(LINES[driver_name] in each for each in warnings)


def not_mounted(framework: str, settings: Settings) -> Callable[[dict[str, str]], int]:
    """Sends a request to a guarded view of an app without the redirect views; the answer's status."""
    if framework == "flask":
        from flask import Flask

        from base44_web import flask as ours

        app = Flask("mistaken")
        app.config["BASE44_URL_PREFIX"] = None
        ours.Base44Extension(app, settings=settings)
        app.add_url_rule("/", view_func=ours.app_user_connected("calendar")(lambda: ""))
        client = app.test_client()
        return lambda headers: client.get("/", headers=headers).status_code
    if framework == "quart":
        from quart import Quart

        from base44_web import quart as quarts

        site = Quart("mistaken")
        site.config["BASE44_URL_PREFIX"] = None
        quarts.Base44Extension(site, settings=settings)

        @site.get("/")
        @quarts.app_user_connected("calendar")
        async def none() -> str:
            return ""

        return lambda headers: ask(site, "/", headers).status_code
    if framework == "django":
        from django.test import Client, override_settings

        from tests.apps.django import upper

        def send(headers: dict[str, str]) -> int:
            with override_settings(ROOT_URLCONF="tests.adapters.guarded_urls", BASE44=upper(settings)):
                return Client(headers=headers).get("/").status_code

        return send
    from starlette.testclient import TestClient

    if framework == "fastapi":
        from fastapi import FastAPI

        from base44_web.fastapi import AppUserConnection, Base44Middleware

        api = FastAPI()
        api.add_middleware(Base44Middleware, settings=settings)

        async def guarded(connection: Any) -> None: ...

        guarded.__annotations__["connection"] = Annotated[Connection, AppUserConnection("calendar")]
        api.add_api_route("/", guarded)
        browser = TestClient(api)
    else:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.routing import Route

        from base44_web.starlette import Base44Middleware, app_user_connected

        @app_user_connected("calendar")
        async def view(request: Any) -> None: ...

        browser = TestClient(
            Starlette(routes=[Route("/", view)], middleware=[Middleware(Base44Middleware, settings=settings)])
        )
    return lambda headers: browser.get("/", headers=headers).status_code


OLD = """
import importlib.metadata, importlib.util, sys
real, find = importlib.metadata.version, importlib.util.find_spec
versions = {versions!r}
importlib.metadata.version = lambda name: versions.get(name) or real(name)
importlib.util.find_spec = lambda name, *more: None if versions.get(name, "-") is None else find(name, *more)
try:
    import base44_web.{adapter}
except ImportError as error:
    print(type(error).__name__, error)
"""
PIP = 'pip install -U "base44-web[{}]"'
VERSIONS: list[tuple[str, dict[str, str | None], str]] = [
    ("fastapi", {"fastapi": "0.115.0"}, "ImportError base44_web.fastapi needs fastapi 0.136 or newer, and 0.115.0 is"),
    ("fastapi", {"fastapi": None}, "ModuleNotFoundError base44_web.fastapi needs fastapi, which is not installed"),
    ("fastapi", {"starlette": "0.52.1"}, "ImportError base44_web.starlette needs starlette 1.0 or newer"),
    ("starlette", {"starlette": "0.52.1"}, "ImportError base44_web.starlette needs starlette 1.0 or newer"),
    ("django", {"django": "4.2.30"}, "ImportError base44_web.django needs django 5.2 or newer, and 4.2.30 is"),
    ("django", {"django": None}, "ModuleNotFoundError base44_web.django needs django, which is not installed"),
    ("flask", {"flask": "2.3.3"}, "ImportError base44_web.flask needs flask 3.1 or newer, and 2.3.3 is installed"),
    ("flask", {"flask": "10.0rc1"}, ""),
    ("flask", {"flask": "1!0.1"}, "ImportError base44_web.flask needs flask 3.1"),
]


def test_frameworks_that_are_too_old_or_not_there(subtests: pytest.Subtests) -> None:
    for adapter, versions, says in VERSIONS:
        with subtests.test(f"{adapter} {versions}"):
            pytest.importorskip(adapter)
            done = subprocess.run(
                [sys.executable, "-c", OLD.format(adapter=adapter, versions=versions)],
                capture_output=True, text=True, timeout=PATIENCE, check=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
            )  # fmt: skip
            assert done.stdout.startswith(says) if says else done.stdout == ""
            if says:
                assert PIP.format(says.split()[1].partition(".")[2]) in done.stdout
