"""What is FastAPI's own: dependencies, OpenAPI, routers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from base44_web import (
    AppUser,
    ConfigurationError,
    Connection,
    ConnectionWith,
    ConnectorID,
    IntegrationType,
    Settings,
    SettingsResolver,
)
from base44_web.starlette import app_user_connected, app_user_required
from base44_web.testing import CALENDAR_ID, Emulator
from tests.adapters.common import HEADERS, NAVIGATE, ask, start_up
from tests.checks import (
    Headers,
    signed_in,
)
from tests.drivers import changed

pytest.importorskip("fastapi")
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.testclient import TestClient
from starlette import testclient
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import WebSocketDenialResponse

from base44_web.fastapi import (
    AppUserConnection,
    AppUserRequired,
    Base44Client,
    Base44Middleware,
    connect_router,
    get_base44,
)
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


# --- guards that are written otherwise than in the docs: they guard, or the app does not start


def depends_on_the_class(user: Annotated[AppUser, Depends(AppUserRequired)]) -> str:
    return "OPEN"


def default_depends(user: AppUserRequired = Depends()) -> str:  # noqa: B008
    return "OPEN"


def default_class(user: AppUser = Depends(AppUserRequired)) -> str:  # noqa: B008
    return "OPEN"


def connection_class(connection: Annotated[Connection, Depends(AppUserConnection)]) -> str:
    return "OPEN"


def annotated_class(user: Annotated[AppUser, AppUserRequired]) -> str:
    return "OPEN"


def annotated_connection_class(connection: Annotated[Connection, AppUserConnection]) -> str:
    return "OPEN"


def bare_user(user: AppUser) -> str:
    return "OPEN"


def bare_connection(connection: Connection) -> str:
    return "OPEN"


def optional_user(user: AppUser | None = None) -> str:
    return "OPEN"


def returned_user(user: Annotated[AppUser, AppUserRequired()]) -> AppUser:
    return user


def in_a_list(dependencies: Any = [AppUserRequired()]) -> str:  # noqa: B006, B008
    return "OPEN"


def in_a_tuple(dependencies: Any = (AppUserConnection("calendar"),)) -> str:  # noqa: B008
    return "OPEN"


def security(user: Annotated[AppUser, Security(AppUserRequired())]) -> str:
    return "in"


def depends_on_the_guard(user: Annotated[AppUser, Depends(AppUserRequired())]) -> str:
    return "in"


def default_guard(user: AppUser = AppUserRequired()) -> str:  # type: ignore[assignment]  # noqa: B008
    return "in"


def nothing() -> str:
    return "in"


STOPS: list[Callable[..., Any]] = [
    depends_on_the_class, default_depends, default_class, connection_class, annotated_class, annotated_connection_class,
    bare_user, bare_connection, optional_user, returned_user, in_a_list, in_a_tuple,
]  # fmt: skip
# Where a guard, or its class without parentheses, is among dependencies: of a route, a router, an app.
PLACES = ["route", "router", "inner router", "include", "app"]


def placed(place: str, guard: Any, settings: Settings) -> FastAPI:
    app = FastAPI(dependencies=[guard] if place == "app" else [])
    app.add_middleware(Base44Middleware, settings=settings)
    inner = APIRouter(dependencies=[guard] if place == "inner router" else [])
    inner.add_api_route("/x", nothing, dependencies=[guard] if place == "route" else [])
    outer = APIRouter(dependencies=[guard] if place == "router" else [])
    outer.include_router(inner, prefix="/b")
    app.include_router(outer, prefix="/a", dependencies=[guard] if place == "include" else [])
    return app


@pytest.mark.parametrize("included", [False, True], ids=["direct", "included"])
def test_guards_that_would_guard_nothing_stop_the_app(settings: Settings, included: bool) -> None:
    for wrong in STOPS:
        message = ""
        app = FastAPI()
        app.add_middleware(Base44Middleware, settings=settings)
        router = APIRouter()
        try:
            (router if included else app).add_api_route("/x", wrong)
            app.include_router(router)
            message = start_up(app).get("message", "")
        except Exception as error:
            message = str(error)
        assert any(word in message for word in ("parentheses", "comes from a guard", "left out")), (wrong, message)


def test_guards_in_any_other_form_guard(settings: Settings, adas: Headers) -> None:
    for fine in (security, depends_on_the_guard, default_guard):
        app = FastAPI()
        app.add_middleware(Base44Middleware, settings=settings)
        app.add_api_route("/x", fine)
        client = testclient.TestClient(app)
        assert client.get("/x").status_code == 401, fine
        assert client.get("/x", headers=dict(adas)).json() == "in", fine


@pytest.mark.parametrize("place", PLACES)
def test_guards_among_dependencies(settings: Settings, adas: Headers, place: str) -> None:
    client = testclient.TestClient(placed(place, AppUserRequired(), settings))
    assert client.get("/a/b/x").status_code == 401
    assert client.get("/a/b/x", headers=dict(adas)).json() == "in"
    try:
        message = start_up(placed(place, AppUserRequired, settings)).get("message", "")
    except TypeError as error:  # as the route is made
        message = str(error)
    assert "parentheses" in message
    # A typo fails the start, wherever it stands.
    assert "'calender'" in start_up(placed(place, AppUserConnection("calender"), settings))["message"]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_guard_above_its_route_in_an_included_router(settings: Settings, depth: int) -> None:
    def site(*, late: bool) -> FastAPI:
        app, router = FastAPI(), APIRouter()
        app.add_middleware(Base44Middleware, settings=settings)

        @app_user_required
        @router.get("/x")
        async def view(request: Request) -> str:
            return "OPEN"

        for _ in range(depth - 1):
            outer = APIRouter()
            outer.include_router(router)
            router = outer
        if not late:
            app.include_router(router)
            return app
        client = testclient.TestClient(app)
        assert client.get("/x").status_code == 404  # the app serves
        app.include_router(router)
        return app

    assert "below the route" in start_up(site(late=False))["message"]
    for late in (False, True):
        client = testclient.TestClient(site(late=late), raise_server_exceptions=False)
        for _ in range(2):
            answer = client.get("/x")
            assert (answer.status_code, "OPEN" in answer.text) == (500, False)


def test_a_guard_in_a_default_value_that_no_check_has_seen(settings: Settings) -> None:
    """On a route that comes after the start."""
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)
    client = testclient.TestClient(app)
    assert client.get("/x").status_code == 404
    app.add_api_route("/x", in_a_list)
    assert client.get("/x").status_code == 403


def test_the_client_is_overridden_by_get_base44(settings: Settings) -> None:
    class Fake:
        token = None

    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)

    @app.get("/x")
    async def view(base44: Base44Client) -> str:
        return type(base44).__name__

    client = testclient.TestClient(app)
    assert client.get("/x").json() == "AsyncBase44"
    app.dependency_overrides[get_base44] = Fake
    assert client.get("/x").json() == "Fake"


def test_a_decorator_without_wraps_is_warned_of(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """And a guarded function that an unguarded one calls by hand is nobody's mistake."""

    def decorator(view: Any) -> Any:
        async def inner(request: Request) -> Any:
            return await view(request)

        return inner

    @app_user_required
    async def helper(request: Request) -> str:
        return ""

    def by_hand(app: FastAPI) -> None:
        @app.get("/x")
        async def view(request: Request) -> Any:
            return await helper(request)

    def between(app: FastAPI) -> None:
        @app_user_required
        @decorator
        @app.get("/x")
        async def view(request: Request) -> str:
            return ""

    for add, warns in ((by_hand, False), (between, True)):
        app = FastAPI()
        app.add_middleware(Base44Middleware, settings=settings)
        add(app)
        assert start_up(app)["type"] == "lifespan.startup.complete"
        assert ("functools.wraps" in caplog.text) is warns


class KeepingCache:
    """An ASGI cache within our middleware, which keeps what it may."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.kept: dict[str, list[Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = self.kept.get(scope["path"], [])

        async def keep(message: Any) -> None:
            messages.append(message)

        if not messages:
            await self.app(scope, receive, keep)
        headers = dict(messages[0]["headers"])
        if b"private" not in headers.get(b"cache-control", b"") and b"vary" not in headers:
            self.kept[scope["path"]] = messages
        for message in messages:
            await send(message)


def test_a_cache_within_the_middleware_is_told(settings: Settings, adas: Headers, emulator: Emulator) -> None:
    app = FastAPI()
    app.add_middleware(KeepingCache)
    app.add_middleware(Base44Middleware, settings=settings)

    @app.get("/guard")
    async def guard(user: Annotated[AppUser, AppUserRequired()]) -> Any:
        return user.email

    @app.get("/client")
    async def client(base44: Base44Client) -> Any:
        user = await base44.user()
        return user.email if user else "nobody"

    @app.get("/all")
    async def all_() -> Any:
        return "all"

    with testclient.TestClient(app) as site:
        for path in ("/guard", "/client"):
            for headers, email in ((adas, "ada"), (signed_in(emulator, "grace@test.example"), "grace")):
                answer = site.get(path, headers=dict(headers))
                assert answer.json() == f"{email}@test.example"
                assert answer.headers["cache-control"] == "private"
                assert answer.headers["vary"] == "Authorization, Cookie"
        assert "vary" not in site.get("/all").headers


def test_a_guard_that_asks_the_platform_each_time(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    user = emulator.add_user("ada@test.example")
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=changed(settings, connection_ttl=30))

    @app.get("/True")
    async def fresh(connection: Annotated[Connection, AppUserConnection("calendar", fresh=True)]) -> str:
        return connection.access_token

    @app.get("/False")
    async def kept(connection: Annotated[Connection, AppUserConnection("calendar")]) -> str:
        return connection.access_token

    assert AppUserConnection("calendar", fresh=True).dependency != AppUserConnection("calendar").dependency
    client = testclient.TestClient(app)
    old = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).json() == old
    new = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).json() == old
    assert client.get("/True", headers=dict(adas)).json() == new


def test_what_a_view_says_of_caches_stays_one_header(settings: Settings, adas: Headers) -> None:
    class Public(JSONResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.headers["Cache-Control"] = "public, max-age=60"

    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=settings)
    guards = [AppUserRequired()]
    app.add_api_route("/public", lambda: "x", response_class=Public, dependencies=guards)
    app.add_api_route("/plain", lambda: "x", dependencies=guards)
    client = testclient.TestClient(app)
    for path, said in (("/public", "public, max-age=60"), ("/plain", "private")):
        answer = client.get(path, headers=dict(adas))
        assert answer.headers.get_list("cache-control") == [said]
        assert answer.headers.get_list("vary") == ["Authorization, Cookie"]


def test_a_connection_whose_keys_are_known(emulator: Emulator, local: Settings) -> None:
    """What only type checkers tell apart is one class at run time, for FastAPI, too."""
    app = FastAPI()
    app.add_middleware(Base44Middleware, settings=local, transport=emulator.transport)

    @app.get("/calendar")
    async def calendar(
        connection: Annotated[ConnectionWith[dict[str, str] | None], AppUserConnection(ConnectorID(CALENDAR_ID))],
        wanted: IntegrationType = "slack",
    ) -> dict[str, Any]:
        return {"is one": isinstance(connection, Connection), "wanted": wanted}

    user = emulator.add_user("keys@test.example")
    emulator.connect(user, CALENDAR_ID)
    client = testclient.TestClient(app)
    headers = {"Authorization": f"Bearer {emulator.sign_in(user)}"}
    assert client.get("/calendar?wanted=other", headers=headers).json() == {"is one": True, "wanted": "other"}
    assert client.get("/calendar").status_code == 401


CONNECTED: Any = app_user_connected("calendar")


def test_decorators_in_the_place_of_a_dependency(settings: Settings, subtests: pytest.Subtests) -> None:
    """They are Starlette's: as a parameter's default, or beside its type, FastAPI would take them for plain values."""

    def default(x: str = CONNECTED) -> str:
        return "in"

    def plain_default(x: str = app_user_required) -> str:  # type: ignore[assignment]
        return "in"

    def keyword(*, x: str = CONNECTED) -> str:
        return "in"

    def annotated(x: Annotated[object, CONNECTED] = None) -> str:
        return "in"

    def plain_annotated(x: Annotated[str | None, app_user_required] = None) -> str:
        return "in"

    def dependency(x: str = CONNECTED) -> str:
        return "in"

    def of_a_dependency(x: str = Depends(dependency)) -> str:
        return x

    for view in (default, plain_default, keyword, annotated, plain_annotated, of_a_dependency):
        with subtests.test(view.__name__):
            app = FastAPI()
            app.add_middleware(Base44Middleware, settings=settings)
            app.get("/", response_model=None)(view)
            with pytest.raises(ConfigurationError, match="guards nothing"), TestClient(app):
                pass
            with pytest.raises(ConfigurationError, match="guards nothing"):
                TestClient(app).get("/")
