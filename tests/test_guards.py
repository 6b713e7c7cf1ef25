"""Guards, and errors that views let escape: every row of the design's table, in every framework, sync and async."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest

from base44_web import Base44Error, ConfigurationError, ConnectorID, Settings
from base44_web._core.platform.io import AWAITING, BLOCKING, run
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.drivers import Driver, encode_call

NAVIGATION = [("sec-fetch-mode", "navigate"), ("sec-fetch-site", "none"), ("accept", "text/html,*/*")]


@pytest.fixture
def settings(emulator: Emulator, platform: str) -> Settings:
    return Settings(
        app_id=emulator.app_id,
        server_url=platform,
        service_token=emulator.service_token,
        app_user_connectors={"calendar": CALENDAR_ID},
        token_sources=["header", "cookie"],
        connect_path="/base44",
        sign_in_url="/sign-in",
        timeout=1,
    )


def get(driver: Driver, path: str, headers: list[tuple[str, str]], method: str = "GET") -> httpx2.Response:
    return driver.request(method, path, headers)


def signed_in(emulator: Emulator, **options: Any) -> list[tuple[str, str]]:
    user = emulator.add_user("ada@test.example")
    return [("authorization", f"Bearer {emulator.sign_in(user, **options)}")]


def check_problem(answer: httpx2.Response, status: int, slug: str, challenge: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"Authorization", "Cookie", "Sec-Fetch-Mode"} <= {name.strip() for name in answer.headers["vary"].split(",")}
    assert answer.headers.get("www-authenticate") == challenge
    document: dict[str, Any] = answer.json()
    assert (document["type"], document["status"]) == (f"urn:base44-web:{slug}", status)
    assert document["title"]
    assert document["detail"]
    return document


def check_page(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer.text


def test_connected(driver: Driver, emulator: Emulator) -> None:
    headers = signed_in(emulator)
    token = emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    emulator.requests.clear()
    for method in ("GET", "POST"):
        answer = get(driver, "/guarded", headers, method)
        assert answer.status_code == 200, answer.text
        assert answer.json()["access_token"] == token
        assert answer.json()["same"] is True
        assert answer.json().get("given", True) is True
    targets = [request.target.rpartition("/")[2] for request in emulator.requests]
    assert sorted(targets) == ["me", "token", "token"]  # one token call a request; the identity is remembered


def test_signed_in(driver: Driver, emulator: Emulator) -> None:
    assert get(driver, "/me", signed_in(emulator)).json()["email"] == "ada@test.example"


@pytest.mark.parametrize("path", ["/guarded", "/me"])
def test_no_token(driver: Driver, emulator: Emulator, path: str) -> None:
    check_problem(get(driver, path, []), 401, "sign-in-required", "Bearer")
    check_problem(get(driver, path, NAVIGATION, "POST"), 401, "sign-in-required", "Bearer")
    answer = get(driver, path, NAVIGATION)
    assert 'href="/sign-in"' in check_page(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert emulator.requests == []


@pytest.mark.parametrize("path", ["/guarded", "/me"])
def test_bad_tokens(driver: Driver, emulator: Emulator, path: str) -> None:
    expired = signed_in(emulator, lifetime=-5)
    for headers in (expired, [("authorization", "Bearer a.b.c")], [("authorization", "Basic x")]):
        check_problem(get(driver, path, headers), 401, "invalid-token", 'Bearer error="invalid_token"')
        check_page(get(driver, path, [*headers, *NAVIGATION]), 401)


def test_users_of_other_apps_and_disabled_ones(driver: Driver, emulator: Emulator) -> None:
    for index, fields in enumerate(({"app_id": "other"}, {"disabled": True}, {"is_service": True})):
        user = emulator.add_user(f"mallory{index}@test.example", **fields)
        emulator.connect(user, CALENDAR_ID)
        headers = [("authorization", f"Bearer {emulator.sign_in(user)}")]
        for path in ("/guarded", "/me"):
            check_problem(get(driver, path, headers), 401, "invalid-token", 'Bearer error="invalid_token"')


def test_cookie_without_proof(driver: Driver, emulator: Emulator) -> None:
    token = signed_in(emulator)[0][1].removeprefix("Bearer ")
    cookie = [("cookie", f"base44_access_token={token}")]
    check_problem(get(driver, "/me", cookie, "POST"), 403, "cross-origin-cookie")
    assert get(driver, "/me", [*cookie, ("sec-fetch-site", "same-origin")], "POST").status_code == 200
    assert get(driver, "/me", cookie).status_code == 200
    check_problem(get(driver, "/me", [*cookie, ("sec-fetch-site", "cross-site")]), 401, "sign-in-required", "Bearer")


def test_not_connected(driver: Driver, emulator: Emulator) -> None:
    headers = signed_in(emulator)
    for method in ("GET", "POST"):
        document = check_problem(get(driver, "/guarded", headers, method), 403, "not-connected")
        assert document["connector"] == "calendar"
        assert document["connect_url"] == "/base44/connect/calendar"
        assert document["status_url"] == "/base44/status/calendar"
    for navigation in (NAVIGATION, [("accept", "text/html")]):
        answer = get(driver, "/guarded?a=b%20c&d=%2F", [*headers, *navigation])
        assert answer.status_code == 303, answer.text
        here = f"{driver.path}/guarded%3Fa%3Db%2520c%26d%3D%252F"
        assert answer.headers["location"] == f"/base44/connect/calendar?next={here}"
        assert answer.headers["cache-control"] == "no-store"
    long = get(driver, "/guarded?" + "a" * 3000, [*headers, *NAVIGATION])
    assert long.headers["location"] == "/base44/connect/calendar"


@pytest.fixture
def make(driver_name: str, settings: Settings) -> Iterator[Any]:
    made: list[Driver] = []

    def make(**fields: Any) -> Driver:
        made.append(Driver(driver_name, Settings(**{**settings._given, **fields})))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def test_no_service_role(make: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    driver = make(service_token="wrong")
    document = check_problem(get(driver, "/guarded", headers), 503, "service-role-unavailable")
    assert "token" not in json.dumps(document)
    assert "BASE44_SERVICE_TOKEN" in caplog.text
    check_page(get(driver, "/guarded", [*headers, *NAVIGATION]), 503)
    assert get(driver, "/me", headers).status_code == 200


def test_a_connector_that_is_not_configured(make: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    driver = make(app_user_connectors={"mail": "70a1"})
    if driver.name.startswith("flask"):
        with pytest.raises(ConfigurationError, match="BASE44_APP_USER_CONNECTORS"):
            get(driver, "/me", [])  # whatever is asked for first
    else:
        check_problem(get(driver, "/guarded", signed_in(emulator)), 503, "service-role-unavailable")
        assert "BASE44_APP_USER_CONNECTORS" in caplog.text


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        (Fault(status=500), "5"), (Fault(status=503, headers={"Retry-After": "9"}), "9"),
        (Fault(status=429, headers={"Retry-After": "9999"}), "60"), (Fault(status=429), "5"),
        (Fault(drop="before"), "5"), (Fault(body=b"<html>", status=200), "5"), (Fault(delay=9), "5"),
        (Fault(status=302, headers={"Location": "/"}), "5"), (Fault(raw=b"?"), "5"), (Fault(status=418), "5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["*/me", "*/token"])
def test_a_failing_platform_never_lets_anybody_in(
    driver: Driver, emulator: Emulator, fault: Fault, retry_after: str, path: str
) -> None:
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    emulator.fault(fault, path=path, times=None)
    answer = get(driver, "/guarded", headers)
    check_problem(answer, 503, "platform-unavailable")
    assert answer.headers["retry-after"] == retry_after
    emulator.clear_faults()
    assert get(driver, "/guarded", headers).status_code == 200


def test_errors_that_escape_from_a_view(driver: Driver, emulator: Emulator) -> None:
    def escape(headers: list[tuple[str, str]], *call: Any) -> httpx2.Response:
        return get(driver, "/escape", [*headers, *encode_call(call[0], call[1], call[2:], {})], "POST")

    ada = signed_in(emulator)
    document = check_problem(
        escape(ada, "service", "get_current_app_user_connection", "calendar"), 403, "not-connected"
    )
    assert document["connect_url"] == "/base44/connect/calendar"
    check_problem(escape([], "user", "connect_app_user", "calendar"), 401, "sign-in-required", "Bearer")
    bad = [("authorization", "Bearer a.b.c")]
    for call in (("user", "connect_app_user"), ("service", "get_current_app_user_connection")):
        check_problem(escape(bad, *call, "calendar"), 401, "invalid-token", 'Bearer error="invalid_token"')


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (("service", "get_connection", "dropbox"), None),
        (("service", "get_connection", "slack"), Fault(status=401)),
        (("service", "get_connection", "slack"), Fault(status=403)),
        (("service", "get_connection", "slack"), Fault(status=500)),
        (("service", "get_current_app_user_connection", "calendar"), Fault(status=503)),
        (("user", "connect_app_user", "calendar"), Fault(status=404)),
        (("service", "get_connection", "../x"), None),
    ],
)
def test_the_apps_own_errors_stay_its_own(driver: Driver, emulator: Emulator, call: Any, fault: Fault | None) -> None:
    headers = [*signed_in(emulator), *encode_call(call[0], call[1], call[2:], {})]
    if fault is not None:
        emulator.fault(fault)
    if driver.name.startswith(("starlette", "fastapi")):
        with pytest.raises((Base44Error, ValueError)):  # the server logs it, and answers 500
            get(driver, "/escape", headers, "POST")
    else:
        assert get(driver, "/escape", headers, "POST").status_code == 500


def test_identity_is_not_remembered_past_exp_nor_for_another_token(driver: Driver, emulator: Emulator) -> None:
    import time

    headers = signed_in(emulator, lifetime=3)
    assert get(driver, "/me", headers).json()["email"] == "ada@test.example"
    forged = [("authorization", headers[0][1] + "x")]
    assert get(driver, "/me", forged).status_code == 401
    grace = emulator.sign_in(emulator.add_user("grace@test.example"))
    assert get(driver, "/me", [("authorization", f"Bearer {grace}")]).json()["email"] == "grace@test.example"
    time.sleep(3.1)
    assert get(driver, "/me", headers).status_code == 401


# --- what is a framework's own


def test_websockets(emulator: Emulator, settings: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    from base44_web.starlette import Base44Middleware, Request, WebSocket, app_user_connected, app_user_required

    @app_user_connected("calendar")
    async def function(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.base44.connection("calendar").access_token)
        await websocket.close()

    @app_user_required
    class Endpoint(WebSocketEndpoint):
        encoding = "text"

        async def on_connect(self, websocket: Any) -> None:
            await websocket.accept()
            await websocket.send_text("in")

    @app_user_connected("calendar")
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse(request.base44.connection("calendar").access_token)

    app = Starlette(
        routes=[WebSocketRoute("/function", function), WebSocketRoute("/class", Endpoint), Route("/page", Page)],
        middleware=[Middleware(Base44Middleware, settings=settings)],
    )
    user = emulator.add_user("ada@test.example")
    headers = {"Authorization": f"Bearer {emulator.sign_in(user)}"}
    with testclient.TestClient(app) as client:
        for path in ("/function", "/class"):
            with pytest.raises(testclient.WebSocketDenialResponse) as denied, client.websocket_connect(path):
                pass
            assert denied.value.status_code == 401
            assert denied.value.headers["www-authenticate"] == "Bearer"
        refused = pytest.raises(testclient.WebSocketDenialResponse)
        with refused as denied, client.websocket_connect("/function", headers=headers):
            pass
        assert denied.value.json()["connect_url"] == "/base44/connect/calendar"
        assert client.get("/page", headers=headers).status_code == 403
        token = emulator.connect(user, CALENDAR_ID)
        with client.websocket_connect("/function", headers=headers) as session:
            assert session.receive_text() == token
        with client.websocket_connect("/class", headers=headers) as session:
            assert session.receive_text() == "in"
        assert client.get("/page", headers=headers).text == token

    async def without_the_extension() -> Any:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/function",
            "headers": [],
            "query_string": b"",
            "root_path": "",
            "app": app,
        }
        await app(scope, receive, send)
        return sent

    (closed,) = asyncio.run(without_the_extension())
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


def test_fastapi_websocket_guard_openapi_and_overrides(emulator: Emulator, settings: Settings) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    from base44_web import AppUser
    from base44_web.fastapi import AppUserConnection, AppUserRequired
    from tests.fastapi_app import make as make_app

    app = make_app("async", settings, None)
    client = testclient.TestClient(app)
    from starlette.testclient import WebSocketDenialResponse

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


def test_cors_headers_stay(emulator: Emulator, settings: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.middleware.cors import CORSMiddleware

    for driver_name in ("starlette-async", "fastapi-async"):
        for inside in (False, True):
            app = Driver(driver_name, settings).app
            if inside:
                from starlette.middleware import Middleware

                app.user_middleware.append(Middleware(CORSMiddleware, allow_origins=["*"]))
            else:
                app.add_middleware(CORSMiddleware, allow_origins=["*"])
            client = testclient.TestClient(app)
            call = dict(encode_call("user", "connect_app_user", ("calendar",), {}))
            for path in ("/guarded", "/escape"):
                answer = client.get(path, headers={"Origin": "https://app.example", **call})
                assert answer.status_code == 401
                assert answer.headers["access-control-allow-origin"] == "*"


def test_a_users_own_handler_wins(settings: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from base44_web import Base44Error
    from base44_web.starlette import Base44Middleware, Request

    async def view(request: Request) -> None:
        await request.base44.connectors.connect_app_user("calendar")

    async def mine(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("mine", 418)

    app = Starlette(
        routes=[Route("/", view)],
        middleware=[Middleware(Base44Middleware, settings=settings)],
        exception_handlers={Base44Error: mine},
    )
    assert testclient.TestClient(app).get("/").text == "mine"


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


def test_flask_guard_above_its_route_never_runs_the_view(emulator: Emulator) -> None:
    flask = pytest.importorskip("flask")
    from base44_web.flask import Base44Extension, app_user_required

    app = flask.Flask("site")
    Base44Extension(app, settings=Settings(app_id="a"))
    app.testing = True

    @app_user_required
    @app.get("/")
    def view() -> str:
        raise AssertionError("the guard was left out")

    with pytest.raises(ConfigurationError, match="below the route"):
        app.test_client().get("/")


def test_several_connectors_are_asked_for_at_the_same_time(emulator: Emulator, platform: str) -> None:
    """Sync guards ask one after the other; awaiting ones do not wait in between."""
    import time

    from base44_web._core.engine.context import Context
    from base44_web._core.engine.engine import Engine
    from base44_web._core.guards.admit import admit
    from base44_web._core.guards.admit import admit as admit_blocking
    from base44_web._core.incoming.request import Incoming

    user = emulator.add_user("ada@test.example")
    names = {f"c{n}": f"id{n}" for n in range(5)}
    for identifier in names.values():
        emulator.connect(user, identifier)
    emulator.connect(user, "other")
    settings = Settings(
        app_id=emulator.app_id, server_url=platform, service_token=emulator.service_token, app_user_connectors=names
    )
    incoming = Incoming("GET", [("authorization", f"Bearer {emulator.sign_in(user)}")])
    emulator.fault(Fault(delay=0.3), times=None)

    async def main() -> float:
        context = Context(Engine(settings), incoming)
        started = time.monotonic()
        found = await admit(AWAITING, context, (*names, ConnectorID("other")))
        assert found.id == user.id
        assert all(context.at_hand(identifier) for identifier in (*names.values(), "other"))
        return time.monotonic() - started

    assert asyncio.run(main()) < 1.2
    context = Context(Engine(settings), incoming)
    assert run(admit_blocking(BLOCKING, context, ("c0",))).id == user.id
    assert context.at_hand("id0")


def test_connection_without_a_guard() -> None:
    from base44_web import Base44

    with Base44(app_id="a") as base44, pytest.raises(LookupError, match="app_user_connected"):
        base44.connection("calendar")


def start_up(app: Any) -> dict[str, str]:
    """What an app answers to `lifespan.startup`."""
    sent: list[dict[str, str]] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "lifespan.startup.complete":
            raise asyncio.CancelledError

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app({"type": "lifespan", "state": {}}, receive, send)

    asyncio.run(run())
    return sent[0]


@pytest.mark.parametrize("driver_name", ["starlette-async", "fastapi-sync"], indirect=True)
def test_an_unknown_connector_fails_the_start_up(driver_name: str) -> None:
    from tests.drivers import make_app

    starts = start_up(make_app(driver_name, Settings(app_id="a", app_user_connectors={"calendar": "69e6"})))
    assert starts["type"] == "lifespan.startup.complete"
    fails = start_up(make_app(driver_name, Settings(app_id="a", app_user_connectors={"mail": "70a1"})))
    assert fails["type"] == "lifespan.startup.failed"
    assert "'calendar'" in fails["message"]


def test_django_checks_the_connectors_of_guards() -> None:
    pytest.importorskip("django")
    from tests.drivers import configure_django

    configure_django()
    from django.core.checks import run_checks
    from django.test import override_settings

    for names, found in (({"mail": "70a1"}, ["base44_web.E001"]), ({"calendar": "69e6"}, [])):
        with override_settings(BASE44={"APP_ID": "a", "APP_USER_CONNECTORS": names}):
            assert [message.id for message in run_checks() if str(message.id).startswith("base44")] == found


def test_mounted_apps_and_layers_in_between(emulator: Emulator, settings: Settings) -> None:
    """Visitors are answered in mounted apps, behind function-style middleware, and where the app is wrapped by hand."""
    testclient = pytest.importorskip("fastapi.testclient")
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    from base44_web.fastapi import Base44Middleware
    from tests.fastapi_app import make as make_app

    def bare() -> Any:
        app = make_app("async", settings, None)
        app.user_middleware.clear()
        return app

    def closure(app: Any) -> Any:
        async def layer(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return layer

    outer = FastAPI()
    outer.add_middleware(Base44Middleware, settings=settings)
    outer.mount("/sub", bare())
    starlette = Starlette(
        routes=[Mount("/sub", app=bare())],
        middleware=[Middleware(Base44Middleware, settings=settings), Middleware(closure)],
    )
    wrapped = Base44Middleware(Starlette(routes=[Mount("/sub", app=bare())]), settings=settings)
    call = dict(encode_call("user", "connect_app_user", ("calendar",), {}))
    for app in (outer, starlette, wrapped):
        client = testclient.TestClient(app)
        assert client.get("/sub/guarded").status_code == 401
        assert client.get("/sub/escape", headers=call).status_code == 401
    by_hand = Base44Middleware(bare(), settings=Settings(app_id="a", app_user_connectors={"mail": "x"}))
    assert "'calendar'" in start_up(by_hand)["message"]


def test_a_guard_above_its_fastapi_route_fails_the_start_up(settings: Settings) -> None:
    pytest.importorskip("fastapi")
    import functools

    from fastapi import FastAPI
    from starlette.requests import Request

    from base44_web.starlette import Base44Middleware, app_user_required

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


def test_two_guards_on_an_async_class_under_wsgi(driver: Driver, emulator: Emulator) -> None:
    if driver.name.startswith("django"):
        check_problem(get(driver, "/both", []), 401, "sign-in-required", "Bearer")
        headers = signed_in(emulator)
        assert get(driver, "/both", headers).status_code == 403
        emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
        assert get(driver, "/both", headers).json() == {}


def test_an_error_after_accept_closes_the_websocket(settings: Settings) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    from starlette.applications import Starlette
    from starlette.endpoints import WebSocketEndpoint
    from starlette.middleware import Middleware
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    from base44_web.starlette import Base44Middleware, WebSocket

    async def function(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.base44.connectors.connect_app_user("calendar")

    class Endpoint(WebSocketEndpoint):
        async def on_connect(self, websocket: Any) -> None:
            await websocket.accept()
            await websocket.base44.connectors.connect_app_user("calendar")

    routes = [WebSocketRoute("/function", function), WebSocketRoute("/class", Endpoint)]
    app = Starlette(routes=routes, middleware=[Middleware(Base44Middleware, settings=settings)])
    for path in ("/function", "/class"):
        with (
            testclient.TestClient(app).websocket_connect(path) as session,
            pytest.raises(WebSocketDisconnect) as closed,
        ):
            session.receive_text()
        assert closed.value.code == 1008


def test_a_user_whom_the_platform_refuses_by_now(driver: Driver, emulator: Emulator) -> None:
    """The identity is remembered; the token route's 401 is then the user's, not the service role's."""
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    assert get(driver, "/me", headers).status_code == 200
    emulator.fault(Fault(status=401), times=None)
    check_problem(get(driver, "/guarded", headers), 401, "invalid-token", 'Bearer error="invalid_token"')
    emulator.clear_faults()


def test_one_identity_call_without_memory(make: Any, emulator: Emulator) -> None:
    driver = make(identity_ttl=0)
    if driver.name.startswith("fastapi"):
        assert get(driver, "/me", signed_in(emulator)).status_code == 200
        assert len(emulator.requests) == 1


def test_callables_that_are_guarded(emulator: Emulator) -> None:
    from base44_web.starlette import app_user_required

    class Site:
        def index(self, request: Any) -> None: ...

        async def __call__(self, request: Any) -> None: ...

    def generator(request: Any) -> Any:
        yield

    async def async_generator(request: Any) -> Any:
        yield

    assert app_user_required(Site().index)
    assert asyncio.iscoroutinefunction(app_user_required(Site()))
    for wrong in (generator, async_generator):
        with pytest.raises(TypeError, match="generator"):
            app_user_required(wrong)


def test_flask_handlers_of_the_apps_own() -> None:
    flask = pytest.importorskip("flask")
    from base44_web.flask import Base44Extension, request

    app = flask.Flask("site")
    app.register_error_handler(Base44Error, lambda error: ("mine", 418))
    Base44Extension(app, settings=Settings(app_id="a"))
    app.add_url_rule("/", view_func=lambda: request.base44.connectors.connect_app_user("x"))
    assert app.test_client().get("/").status_code == 418

    other = flask.Flask("other")
    Base44Extension(other, settings=Settings(app_id="a"))
    seen: list[Exception] = []
    other.register_error_handler(Exception, lambda error: (seen.append(error), ("all", 500))[1])
    other.add_url_rule("/", view_func=lambda: request.base44.as_service_role)
    assert other.test_client().get("/").text == "all"
    assert type(seen[0]).__name__ == "ServiceRoleUnavailableError"


@pytest.mark.parametrize(
    ("path", "query", "here"),
    [
        ("/a b", "x=1", "/a%20b?x=1"), ("/a?b#c%z", "", "/a%3Fb%23c%25z"), ("//evil.example/x", "", "/evil.example/x"),
        ("///e", "a", "/e?a"), ("/\\e", "", "/%5Ce"), ("/\r\nSet-Cookie: a", "", "/%0D%0ASet-Cookie:%20a"), ("/é", "", "/%C3%A9"),
    ],
)  # fmt: skip
def test_where_a_visitor_comes_back_to(path: str, query: str, here: str) -> None:
    from base44_web._core.replies.visit import path_and_query

    assert path_and_query(path, query) == here


def test_the_platforms_text_forges_no_log_line(
    driver: Driver, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    headers = signed_in(emulator)
    emulator.fault(Fault(status=500, body=b'{"detail": "x\\nERROR forged"}'), times=None)
    assert get(driver, "/me", headers).status_code == 503
    assert "x ERROR forged" in caplog.text


def test_a_forged_host_changes_nothing(driver: Driver, emulator: Emulator) -> None:
    """Cases 23 and 30: neither a guard nor an address that it gives depends on `Host`."""
    headers = signed_in(emulator)
    for host in ("evil.example", "evil.example/openapi.json?x="):
        forged = [("host", host), ("x-forwarded-host", host)]
        assert get(driver, "/me", forged).status_code in (400, 401)  # Django refuses some hosts itself
        answer = get(driver, "/guarded", [*headers, *forged, *NAVIGATION])
        assert "evil" not in answer.headers.get("location", "")
        assert "evil" not in get(driver, "/guarded", [*headers, *forged]).text


def test_guards_above_their_route_without_a_lifespan(settings: Settings) -> None:
    """Servers may send no lifespan, mounted apps get none, and with a resolver there are no settings at start-up."""
    testclient = pytest.importorskip("fastapi.testclient")
    from fastapi import FastAPI
    from starlette.requests import Request

    from base44_web import SettingsResolver
    from base44_web.starlette import Base44Middleware, app_user_required

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


def test_a_service_token_that_is_refused_in_a_view(make: Any, emulator: Emulator) -> None:
    """It is not for the visitor to sign in again."""
    headers = signed_in(emulator)
    driver = make(service_token="wrong")
    assert get(driver, "/me", headers).status_code == 200
    call = encode_call("service", "get_current_app_user_connection", ("calendar",), {})
    if driver.name.startswith(("starlette", "fastapi")):
        with pytest.raises(Base44Error):
            get(driver, "/escape", [*headers, *call], "POST")
    else:
        assert get(driver, "/escape", [*headers, *call], "POST").status_code == 500


def test_errors_of_a_client_made_by_hand_are_not_the_visitors(settings: Settings, emulator: Emulator) -> None:
    from base44_web import Base44

    user = emulator.add_user("bot@test.example")
    for token, call in (
        ("a.b.c", "connect_app_user"), (emulator.sign_in(user, lifetime=-5), "get_current_app_user_connection"),
        (emulator.sign_in(user), "get_current_app_user_connection"), ("opaque", "user"),
    ):  # fmt: skip
        with Base44(settings=settings, token=token) as base44:
            module = base44.connectors if call == "connect_app_user" else base44.as_service_role.connectors
            made = base44.user if call == "user" else partial(getattr(module, call), "calendar")
            with pytest.raises(Base44Error) as caught:
                made()
        assert not caught.value.about_visitor, call


@pytest.mark.parametrize(("method", "navigation"), [("GET", True), ("HEAD", True), ("POST", False), ("PUT", False)])
def test_what_counts_as_going_to_a_page(settings: Settings, method: str, navigation: bool) -> None:
    from base44_web._core.incoming.request import Incoming
    from base44_web._core.replies.visit import Visit

    for headers in (NAVIGATION, [("accept", "text/html")]):
        visit = Visit(Incoming(method, headers), "/", None, settings)  # type: ignore[arg-type]
        assert visit.navigation is navigation


def test_a_connection_at_hand_ends(settings: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from base44_web import Base44
    from base44_web._core.engine import context as _context

    token = signed_in(emulator)[0][1].removeprefix("Bearer ")
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    from base44_web._core.guards.admit import admit

    with Base44(settings=settings, token=token) as base44:
        run(admit(BLOCKING, base44._context, ("calendar",)))
        assert base44.connection("calendar").access_token
        monkeypatch.setattr(_context.time, "monotonic", lambda now=_context.time.monotonic: now() + 61)
        with pytest.raises(LookupError, match="get_current_app_user_connection"):
            base44.connection("calendar")


def test_the_django_rest_framework(emulator: Emulator, settings: Settings) -> None:
    pytest.importorskip("rest_framework")
    from tests.drivers import configure_django

    configure_django()
    from django.test import RequestFactory, override_settings
    from django.utils.decorators import method_decorator
    from rest_framework.decorators import api_view
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from base44_web.django import Base44Middleware, app_user_connected, app_user_required, get_base44

    def answer(request: Any) -> Response:
        assert get_base44(request) is request.base44
        return Response({"email": request.base44.user().email})

    class Bare(APIView):
        authentication_classes: tuple[Any, ...] = ()
        permission_classes: tuple[Any, ...] = ()

    @method_decorator(app_user_required, name="dispatch")
    class Dispatch(Bare):
        def get(self, request: Any) -> Response:
            return answer(request)

    class Method(Bare):
        @method_decorator(app_user_connected("calendar"))
        def get(self, request: Any) -> Response:
            return answer(request)

    def plain(request: Any) -> Response:
        return answer(request)

    def bare(view: Any) -> Any:
        view.cls.authentication_classes = view.cls.permission_classes = ()
        return view

    above = app_user_required(bare(api_view(["GET"])(plain)))
    below = bare(api_view(["GET"])(app_user_required(plain)))
    ada = emulator.add_user("ada@test.example")
    emulator.connect(ada, CALENDAR_ID)
    good = {"authorization": f"Bearer {emulator.sign_in(ada)}"}
    given = {name.upper(): value for name, value in settings._given.items() if value is not None}
    for view in (Dispatch.as_view(), Method.as_view(), above, below):
        with override_settings(BASE44=given, REST_FRAMEWORK={"UNAUTHENTICATED_USER": None}):
            chain = Base44Middleware(lambda request, view=view: view(request))  # type: ignore[misc]
            refused = chain(RequestFactory().get("/"))
            found = chain(RequestFactory().get("/", headers=good))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert found.status_code == 200
        assert found.data == {"email": "ada@test.example"}
