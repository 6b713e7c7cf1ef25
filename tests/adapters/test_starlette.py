"""What is Starlette's own: scopes, mounts, WebSockets, templates and lifespan."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import anyio.to_thread
import httpx2
import pytest

from base44_web import (
    AsyncBase44,
    AuthenticationError,
    Base44Error,
    ConfigurationError,
    Settings,
)
from base44_web._asgi.scope import KEY, ScopeState
from base44_web._core.engine.engine import Engine
from base44_web.testing import CALENDAR_ID, Emulator
from tests.apps.calls import encode_call
from tests.checks import (
    Headers,
    check_problem,
    signed_in,
)
from tests.drivers import Driver, changed, make_app
from tests.relayed import CALL, SECRET, said_of_ada, sign, signed_fields

pytest.importorskip("starlette")
from starlette import testclient
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocketDisconnect

from base44_web.starlette import (
    Base44Middleware,
    Request,
    WebSocket,
    app_user_connected,
    app_user_required,
    connect_routes,
    get_base44,
)
from base44_web.starlette.replies import HANDLERS
from tests.adapters.common import EXPECTED, HEADERS, NAVIGATE, ask, broken, start_up, talk, written
from tests.serving import PATIENCE, eventually
from tests.transports import Held


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"token_sources": ["header", "cookie"], "connect_path": "/base44"}


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    return said_of_ada(emulator, platform)


def starlette_site(settings: Settings, *, within: str = "", prefix: str = "/deep/base44", **options: Any) -> Any:

    @app_user_connected("calendar")
    async def guarded(request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    routes: list[BaseRoute] = [Route("/guarded", guarded), Mount(prefix, routes=connect_routes())]
    if within:
        routes = [Mount(within, routes=routes)]
    return Starlette(routes=routes, middleware=[Middleware(Base44Middleware, settings=settings, **options)])


# --- the request


def test_websocket(emulator: Emulator, local: Settings) -> None:

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        token = websocket.base44.token
        shared = await websocket.base44.as_service_role.connectors.get_connection("slack")
        await websocket.send_json([token.reveal() if token else None, shared.access_token])

    app = Starlette(
        routes=[WebSocketRoute("/", endpoint)],
        middleware=[Middleware(Base44Middleware, settings=local, transport=emulator.transport)],
    )
    with testclient.TestClient(app).websocket_connect("/", headers=HEADERS) as session:
        assert session.receive_json() == ["a.b.c", emulator.share_token("slack")]


def test_a_mounted_app_with_settings_of_its_own(emulator: Emulator, local: Settings) -> None:

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

    request = Request({"type": "http", "headers": []})
    assert not hasattr(request, "base44")
    for wanted in (lambda: request.base44, lambda: get_base44(request)):
        with pytest.raises(ConfigurationError, match="Base44Middleware"):
            wanted()


def test_the_client_outlives_the_response(emulator: Emulator, local: Settings) -> None:
    """Captured, it works in streams, background tasks and threads after the response."""

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
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [],
        "base44": ScopeState(Base44Middleware(bare, settings=local), Engine(local), {}),
    }
    assert isinstance(get_base44(Request(scope)), AsyncBase44)
    assert get_base44(Request(scope)) is get_base44(Request(dict(scope))) is Request(scope).base44


def test_lifespan_closes_the_connections(emulator: Emulator) -> None:
    async def main() -> None:
        with emulator.serve() as platform:
            settings = Settings(app_id=emulator.app_id, server_url=platform.url, service_token=emulator.service_token)
            app = make_app("starlette-async", settings)
            inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
            outbox: asyncio.Queue[Any] = asyncio.Queue()
            lifespan = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, inbox.get, outbox.put))
            await inbox.put({"type": "lifespan.startup"})
            assert (await outbox.get())["type"] == "lifespan.startup.complete"
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                call = encode_call("service", "get_connection", ("slack",), {})
                assert (await client.post("/run", headers=call)).json()["result"]
            assert platform.open_connections == 1
            await inbox.put({"type": "lifespan.shutdown"})
            assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
            await lifespan
            assert await asyncio.to_thread(eventually, lambda: platform.open_connections == 0)

    asyncio.run(main())


# --- guards


def test_websockets(emulator: Emulator, settings: Settings) -> None:

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


@pytest.mark.parametrize("driver_name", ["starlette-async", "fastapi-async"], indirect=True)
@pytest.mark.parametrize("inside", [False, True])
def test_cors_headers_stay(driver: Driver, inside: bool) -> None:
    app = driver.app
    if inside:
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

    from base44_web import Base44Error

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


@pytest.mark.parametrize("driver_name", ["starlette-async", "fastapi-sync"], indirect=True)
def test_an_unknown_connector_fails_the_start_up(driver_name: str) -> None:
    starts = start_up(make_app(driver_name, Settings(app_id="a", app_user_connectors={"calendar": "69e6"})))
    assert starts["type"] == "lifespan.startup.complete"
    fails = start_up(make_app(driver_name, Settings(app_id="a", app_user_connectors={"mail": "70a1"})))
    assert fails["type"] == "lifespan.startup.failed"
    assert "'calendar'" in fails["message"]


def test_mounted_apps_and_layers_in_between(emulator: Emulator, settings: Settings) -> None:
    """Visitors are answered in mounted apps, behind function-style middleware, and where the app is wrapped by hand."""
    fastapi = pytest.importorskip("fastapi")

    from tests.apps import fastapi as fastapi_app

    def bare() -> Any:
        app = fastapi_app.make("async", settings)
        app.user_middleware.clear()
        return app

    def closure(app: Any) -> Any:
        async def layer(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return layer

    outer = fastapi.FastAPI()
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


def test_an_error_after_accept_closes_the_websocket(settings: Settings) -> None:

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


def test_callables_that_are_guarded(emulator: Emulator) -> None:

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


# --- mounts


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
    app = starlette_site(settings, within=within)
    site = base.removesuffix("/deep/base44")
    # A proxy passes the root path on, or takes it away (with which Starlette's own mounts do not go).
    for sent in {f"{site}/guarded", "/guarded" if not within else f"{site}/guarded"}:
        answer = ask(app, sent, headers | NAVIGATE, root_path)
        assert answer.headers["location"] == f"{base}/connect/calendar?next={site}/guarded"
        answer = ask(app, sent, headers, root_path)
        assert answer.json()["status_url"] == f"{base}/status/calendar"
    page = ask(app, f"{base}/connect/calendar?next=//evil", headers | NAVIGATE, root_path)
    assert 'action="./calendar?user=' in page.text
    assert 'src="../connect.js?v=' in page.text
    home = "../" * (base.removeprefix(root_path).count("/") + 1)
    assert f'data-next="{home}"' in page.text


def test_paths_that_are_not_ascii(settings: Settings, headers: dict[str, str]) -> None:
    quoted = "/%D0%BF%D1%80%D0%B8"
    answer = ask(starlette_site(settings, within="/при"), "/größe/при/guarded", headers | NAVIGATE, "/größe")
    assert answer.headers["location"].startswith(f"/gr%C3%B6%C3%9Fe{quoted}/deep/base44/connect/calendar?next=")
    page = ask(starlette_site(settings, within="/при"), "/при/deep/base44/connect/calendar", headers | NAVIGATE)
    assert 'action="./calendar?user=' in page.text


def test_apps_side_by_side_have_their_own_views(settings: Settings, headers: dict[str, str]) -> None:

    sites = [Mount(path, app=starlette_site(settings, prefix="/base44")) for path in ("/a", "/b")]
    for app, root in ((Starlette(routes=sites), ""), (Starlette(routes=[Mount("/root", routes=sites)]), "/root")):
        for path in ("/a", "/b"):
            answer = ask(app, f"{root}{path}/guarded", headers)
            assert answer.json()["connect_url"] == f"{root}{path}/base44/connect/calendar"


@pytest.mark.parametrize("outer", ["ignore", "trust", "another key", "the same"])
def test_a_mounted_app_judges_for_itself(
    settings: Settings, relayed: Headers, platform: str, outer: str, tmp_path: Path
) -> None:

    from tests.apps import starlette as starlette_app

    signs = changed(settings, **signed_fields(platform, tmp_path))
    around = {
        "ignore": settings,
        "trust": changed(settings, platform_headers="trust", allowed_api_urls=[platform]),
        "another key": changed(signs, relay_keys={"k1": "z" * 40}),
        "the same": signs,
    }[outer]
    app = Starlette(
        routes=[Mount("/inner", app=starlette_app.make("async", signs))],
        middleware=[Middleware(Base44Middleware, settings=around)],
    )

    def post(headers: Headers) -> int:
        async def send() -> int:
            async with httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://testserver"
            ) as client:
                return (await client.post("/inner/run", headers=[*headers, *CALL])).status_code

        return asyncio.run(send())

    assert post(relayed) == 400
    secret = "z" * 40 if outer == "another key" else SECRET
    assert post(sign(relayed, path="/inner/run", secret=secret)) == (400 if outer == "another key" else 200)


# --- pages


def test_starlette_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jinja2")

    app = starlette_site(settings, templates=Jinja2Templates(written(tmp_path)))
    answer = ask(app, "/deep/base44/connect/calendar?next=/x", headers | NAVIGATE)
    assert EXPECTED in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "Please sign in" in ask(app, "/guarded", NAVIGATE).text  # the other page stays ours


def test_templates_know_the_request(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("jinja2")

    folder = written(tmp_path)
    (folder / "base44_web" / "message.html").write_text("{{ request.url.path }} {{ title }} {{ more }}")
    templates = Jinja2Templates(folder, context_processors=[lambda request: {"more": "than that"}])
    app = starlette_site(settings, templates=templates)
    assert ask(app, "/guarded", NAVIGATE).text == "/guarded Please sign in than that"


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    app = starlette_site(settings, templates=Jinja2Templates(broken(tmp_path)))
    with pytest.raises(jinja2.TemplateNotFound, match="nowhere"):
        ask(app, "/guarded", NAVIGATE)


def test_a_client_that_goes_away_half_way(settings: Settings) -> None:
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


# --- WebSockets: a token among the subprotocols


def socket_app(settings: Settings) -> Any:

    @app_user_required
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        user = await websocket.base44.user()
        await websocket.send_text(json.dumps([user and user.email, websocket.scope["subprotocols"]]))

    return Starlette(
        routes=[WebSocketRoute("/socket", socket)], middleware=[Middleware(Base44Middleware, settings=settings)]
    )


def test_subprotocol(settings: Settings, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    app = socket_app(Settings(**{**settings._given, "token_sources": ["header", "subprotocol"]}))
    accepted, text, *_ = talk(app, "/socket", subprotocols=["chat", f"base44.bearer.{token}"])
    # Browsers end a connection whose subprotocol nobody picked; and the token is never sent back.
    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "chat")
    assert json.loads(text["text"]) == ["ada@test.example", ["chat"]]
    for offered in ([], ["chat"], ["base44.bearer."], ["base44.bearer.a", "base44.bearer.b"], ["base44.bearer.a.b.c"]):
        assert talk(app, "/socket", subprotocols=offered)[0]["status"] == 401
    # Opt-in: elsewhere it is no token.
    assert talk(socket_app(settings), "/socket", subprotocols=["chat", f"base44.bearer.{token}"])[0]["status"] == 401


# --- what of Starlette is undocumented, and used


def test_where_starlette_keeps_an_apps_exception_handlers(settings: Settings, adas: Headers) -> None:
    """Under a key of the scope; ours are put there, and an app's own stay. Starlette may name it otherwise one day."""
    seen: list[Any] = []

    async def view(request: Request) -> PlainTextResponse:
        handlers, statuses = request.scope["starlette.exception_handlers"]
        before = dict(handlers)
        await request.base44.user()
        seen.append((before, handlers, statuses))
        return PlainTextResponse("")

    app = Starlette(
        routes=[Route("/", view)],
        middleware=[Middleware(Base44Middleware, settings=settings)],
        exception_handlers={ValueError: lambda request, error: PlainTextResponse("mine")},
    )
    assert testclient.TestClient(app).get("/", headers=dict(adas)).status_code == 200
    before, handlers, statuses = seen[0]
    assert isinstance(handlers, dict)
    assert isinstance(statuses, dict)
    assert ValueError in before
    assert Base44Error not in before
    assert handlers[Base44Error] is HANDLERS[Base44Error]
    assert handlers[ValueError] is before[ValueError]


def test_scopes_that_are_no_requests(settings: Settings) -> None:
    """They go through as they are."""
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    app = Base44Middleware(inner, settings=settings)
    asyncio.run(app({"type": "other"}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "other"}]


def test_a_signed_request_that_goes_away_half_way(settings: Settings, platform: str, tmp_path: Path) -> None:
    signs = changed(settings, **signed_fields(platform, tmp_path))
    received = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/guarded", "query_string": b"", "scheme": "http",
        "headers": [(b"base44-relay-signature", b"x")],
    }  # fmt: skip
    asyncio.run(starlette_site(signs)(scope, receive, send))
    assert sent[0]["status"] == 400


def test_what_comes_after_a_signed_body(settings: Settings, platform: str, tmp_path: Path) -> None:
    """The view reads the body again, and then what the server says next."""
    signs = changed(settings, **signed_fields(platform, tmp_path))
    seen: list[Any] = []

    async def view(request: Request) -> PlainTextResponse:
        seen.append(await request.body())
        seen.append(await request.is_disconnected())
        return PlainTextResponse("")

    app = Starlette(
        routes=[Route("/", view, methods=["POST"])], middleware=[Middleware(Base44Middleware, settings=signs)]
    )
    ada = Emulator.demo()
    headers = sign([("base44-app-id", ada.app_id), ("base44-api-url", platform)], path="/", body=b"body")
    ada.close()
    answer = testclient.TestClient(app).post("/", content=b"body", headers=dict(headers))
    assert answer.status_code == 200
    assert seen[0] == b"body"


# --- guards that are left out, wherever the view is


class Unknown:
    """A middleware that keeps the app where nobody looks."""

    def __init__(self, app: Any) -> None:
        self._inside = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inside(scope, receive, send)


async def bare(request: Request) -> PlainTextResponse:
    return PlainTextResponse("OPEN")


app_user_required(bare)  # and the bare one is routed


class BareClass(HTTPEndpoint):
    async def get(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("OPEN")


app_user_required(BareClass)


def left_out(way: str, settings: Settings) -> Any:
    """An app that routes a bare view whose guard was left out."""
    middleware = [Middleware(Base44Middleware, settings=settings)]
    endpoint = BareClass if way == "an endpoint class" else bare
    routes: list[BaseRoute] = [Route("/x", endpoint)]
    match way:
        case "a mount of routes":
            routes = [Mount("/", routes=routes)]
        case "a mounted app":
            routes = [Mount("/", app=Starlette(routes=routes))]
        case "a mounted app in unknown middleware":
            routes = [Mount("/", app=Unknown(Starlette(routes=routes)))]
        case "a router":
            routes = [Mount("/", app=Router(routes=routes))]
        case "unknown middleware":
            middleware.append(Middleware(Unknown))
        case "wrapped by hand":
            return Base44Middleware(Starlette(routes=routes), settings=settings)
        case "wrapped by hand, unknown middleware between":
            return Base44Middleware(Unknown(Starlette(routes=routes)), settings=settings)
        case "added after the start":
            app = Starlette(middleware=middleware)
            assert testclient.TestClient(app).get("/x").status_code == 404
            app.router.routes += routes
            return app
    return Starlette(routes=routes, middleware=middleware)


# And whether it is found as the app starts: else it is when somebody comes.
LEFT_OUT = {
    "an app": True, "an endpoint class": True, "a mount of routes": True, "a mounted app": True, "a router": True,
    "unknown middleware": True, "wrapped by hand": True, "a mounted app in unknown middleware": False,
    "wrapped by hand, unknown middleware between": False, "added after the start": None,
}  # fmt: skip


def test_a_guard_that_is_left_out_lets_nobody_in(settings: Settings) -> None:
    for way, is_found in LEFT_OUT.items():
        if is_found is not None:
            assert (start_up(left_out(way, settings))["type"] == "lifespan.startup.failed") is is_found, way
        client = testclient.TestClient(left_out(way, settings), raise_server_exceptions=False)
        for _ in range(2):
            answer = client.get("/x")
            assert (answer.status_code, "OPEN" in answer.text) == (500, False), way


def test_a_socket_whose_guard_is_left_out(settings: Settings) -> None:
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("OPEN")

    app_user_required(socket)
    inner = Unknown(Starlette(routes=[WebSocketRoute("/x", socket)]))
    app = Starlette(routes=[Mount("/", app=inner)], middleware=[Middleware(Base44Middleware, settings=settings)])
    with (
        pytest.raises(ConfigurationError, match="below the route"),
        testclient.TestClient(app).websocket_connect("/x") as session,
    ):
        session.receive_text()


def test_apps_to_be_mounted_are_guarded(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("secret")

    async def found(request: Request) -> PlainTextResponse:
        return PlainTextResponse("secret")

    async def function(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("secret")(scope, receive, send)

    routes = [Route("/a.txt", found)]
    for inner in (StaticFiles(directory=tmp_path), Router(routes=routes), Starlette(routes=routes), Unknown(function)):
        mounted = Mount("/f", app=app_user_required(inner))
        app = Starlette(routes=[mounted], middleware=[Middleware(Base44Middleware, settings=settings)])
        client = testclient.TestClient(app)
        assert client.get("/f/a.txt").status_code == 401, inner
        assert client.get("/f/a.txt", headers=headers).text == "secret", inner


def test_apps_to_be_mounted_whose_guard_is_wrong(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("OPEN")

    async def found(request: Request) -> PlainTextResponse:
        return PlainTextResponse("OPEN")

    routes = [Route("/a.txt", found)]
    for make in (
        lambda: StaticFiles(directory=tmp_path),
        lambda: Router(routes=routes),
        lambda: Starlette(routes=routes),
    ):
        given = make()
        app_user_required(given)  # and the bare one is mounted
        ours = [Middleware(Base44Middleware, settings=settings)]
        assert "below the route" in start_up(Starlette(routes=[Mount("/f", app=given)], middleware=ours))["message"]
        bare = Starlette(routes=[Mount("/f", app=given)], middleware=ours)
        answer = testclient.TestClient(bare, raise_server_exceptions=False).get("/f/a.txt")
        assert (answer.status_code, "OPEN" in answer.text) == (500, False)
        typo = Mount("/f", app=app_user_connected("calender")(make()))
        assert "'calender'" in start_up(Starlette(routes=[typo], middleware=ours))["message"]


# --- who hangs, floods or fails is nobody else's trouble


def test_the_guard_of_a_def_endpoint_waits_outside_the_thread_pool(emulator: Emulator, local: Settings) -> None:
    """More forged tokens than there are threads, about which the platform says nothing: pages of others go on."""

    @app_user_required
    def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    def other(request: Request) -> PlainTextResponse:
        return PlainTextResponse("other")

    async def main() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2
        held = Held(emulator, lambda request: True)
        middleware = [Middleware(Base44Middleware, settings=changed(local, timeout=600), transport=held)]
        app = Starlette(routes=[Route("/plain", plain), Route("/other", other)], middleware=middleware)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://testserver") as client:
            flood = [
                asyncio.create_task(client.get("/plain", headers={"authorization": f"Bearer {forged(n)}"}))
                for n in range(5)
            ]
            await held.arrived(5)
            assert (await asyncio.wait_for(client.get("/other"), PATIENCE)).text == "other"
            held.let_go()
            assert {answer.status_code for answer in await asyncio.gather(*flood)} == {401}

    def forged(n: int) -> str:
        jwt = pytest.importorskip("jwt")
        return str(jwt.encode({"sub": "x", "n": n}, "k" * 32, algorithm="HS256"))

    asyncio.run(main())


@pytest.mark.parametrize("way", ["BaseHTTPMiddleware", "pure", "a dependency's group", "a nested group"])
def test_an_error_about_the_visitor_in_the_apps_own_middleware(
    settings: Settings, emulator: Emulator, way: str
) -> None:
    class Load(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            await request.base44.user()
            return await call_next(request)

    class Pure(Unknown):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                try:
                    await get_base44(HTTPConnection(scope)).user()
                except Base44Error as error:
                    raise {
                        "a dependency's group": ExceptionGroup("", [error]),
                        "a nested group": ExceptionGroup("", [ExceptionGroup("", [error]), error]),
                    }.get(way, error) from None
            await super().__call__(scope, receive, send)

    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    app = Starlette(
        routes=[Route("/", view)],
        middleware=[
            Middleware(Base44Middleware, settings=settings),
            Middleware(Load if way == "BaseHTTPMiddleware" else Pure),
        ],
    )
    client = testclient.TestClient(app)
    check_problem(client.get("/", headers=dict(signed_in(emulator, lifetime=-3600))), 401, "invalid-token")  # type: ignore[arg-type]
    assert client.get("/", headers=dict(signed_in(emulator))).text == "in"


def test_groups_of_errors(settings: Settings) -> None:
    """What is about the visitor is answered; with an error of the app's own among them, that is what counts."""
    mine = ExceptionGroup("", [ExceptionGroup("", [AuthenticationError("no", about_visitor=True)]), KeyError("mine")])

    async def visitors(request: Request) -> PlainTextResponse:
        async def user() -> None:
            await request.base44.connectors.connect_app_user("calendar")

        async with asyncio.TaskGroup() as group:
            group.create_task(user())
            group.create_task(asyncio.sleep(600))
        raise AssertionError

    async def mixed(request: Request) -> PlainTextResponse:
        _ = request.base44.token
        raise mine

    app = Starlette(
        routes=[Route("/visitors", visitors), Route("/mixed", mixed)],
        middleware=[Middleware(Base44Middleware, settings=settings)],
    )
    client = testclient.TestClient(app)
    check_problem(client.get("/visitors"), 401, "sign-in-required")  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup) as caught:
        client.get("/mixed")
    assert caught.value is mine


@pytest.mark.parametrize("where", ["a background task", "a stream"])
def test_an_error_after_the_answer_began_shows_as_itself(settings: Settings, where: str) -> None:
    async def view(request: Request) -> Any:
        async def ask() -> None:
            await request.base44.connectors.connect_app_user("calendar")

        async def stream() -> Any:
            yield "begun"
            await ask()

        if where == "a stream":
            return StreamingResponse(stream())
        return PlainTextResponse("", background=BackgroundTask(ask))

    app = Starlette(routes=[Route("/", view)], middleware=[Middleware(Base44Middleware, settings=settings)])
    with pytest.raises(AuthenticationError, match="no app user token"):
        testclient.TestClient(app).get("/")


def test_a_wrong_setting_does_not_hang_the_test_client() -> None:
    for options in ({}, {"settings": Settings(app_id="a", app_user_connectors={"mail": "x"})}):
        middleware = [Middleware(Base44Middleware, **options)]  # type: ignore[arg-type]
        app = Starlette(routes=[Route("/", app_user_connected("calendar")(needs_calendar))], middleware=middleware)
        with pytest.raises(ConfigurationError), testclient.TestClient(app):
            pass


async def needs_calendar(request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


# --- who does not use it does not notice it


class Metrics(Unknown):
    """Reads its scope as the app ends, as OpenTelemetry, Prometheus and access logs do."""

    seen: ClassVar[list[Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)
        if scope["type"] == "http":
            endpoint = scope.get("endpoint")
            self.seen.append(
                (
                    getattr(scope.get("route"), "path", None),
                    scope.get("path_params"),
                    getattr(endpoint, "__name__", None),
                )
            )


def test_what_is_further_out_sees_the_route_of_a_mounted_app(settings: Settings) -> None:
    async def view(request: Request) -> PlainTextResponse:
        assert "mine" not in request.scope
        request.scope["mine"] = request.scope.setdefault("mine too", 1)
        request.scope.update(third=3)
        del request.scope["third"]
        return PlainTextResponse(str(request.scope.pop("nothing", "hi")))

    Metrics.seen.clear()
    ours = Middleware(Base44Middleware, settings=settings)
    for outer, inner in (([], []), ([ours], []), ([], [ours]), ([ours], [ours]), ([ours, ours], [ours])):
        mounted = Starlette(routes=[Route("/users/{name}", view)], middleware=inner)
        app = Starlette(routes=[Mount("/api", app=mounted)], middleware=[Middleware(Metrics), *outer])
        assert testclient.TestClient(app).get("/api/users/ann").text == "hi"
    bare = Metrics.seen[0]  # an older Starlette tells it of no route in a mounted app
    assert bare in ((None, {"name": "ann"}, "view"), ("/users/{name}", {"name": "ann"}, "view"))
    assert Metrics.seen == [bare] * 5


def test_a_mounted_app_sees_what_becomes_of_the_scope_further_out(settings: Settings) -> None:
    seen: list[Any] = []

    class Further(Unknown):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["further"] = 1  # as FastAPI's telemetry
            await super().__call__(scope, receive, send)
            del scope["further"]
            scope["later"] = 2

    async def view(request: Request) -> PlainTextResponse:
        seen.append((request.scope, dict(request.scope), request.scope.copy(), copy(request.scope), {**request.scope}))
        return PlainTextResponse("hi")

    ours = Middleware(Base44Middleware, settings=settings)
    for inner in ([], [ours], [ours, ours]):
        app = Starlette(routes=[Mount("/api", app=Starlette(routes=[Route("/", view)], middleware=inner))])
        app.add_middleware(Further)
        app.add_middleware(Base44Middleware, settings=settings)
        testclient.TestClient(app).get("/api/")
    for scope, *copies in seen:
        assert isinstance(scope, dict)
        assert "further" not in scope
        assert "further" not in list(scope)
        assert (scope["later"], scope.get("later"), (scope | {"later": 3})["later"]) == (2, 2, 3)
        assert len(scope) == len(list(scope)) == len(copies[0]) == len({} | scope)
        assert "'later': 2" in repr(scope)
        for each in copies:
            assert type(each) is dict
            assert each["further"] == 1
            assert "later" not in each
            assert each[KEY] is scope[KEY]
    assert len({id(scope[KEY]) for scope, *_ in seen}) == 3


@pytest.mark.parametrize("believes", ["ignore", "trust", "signed"])
def test_scopes_without_headers_or_with_some_to_be_read_once(
    settings: Settings, platform: str, tmp_path: Path, believes: str
) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        _ = scope["base44"].context(scope).incoming  # as a view that uses it, before the app reads them
        seen.append(list(scope["headers"]) if "headers" in scope else None)

    fields: dict[str, Any] = {
        "ignore": {},
        "trust": {"platform_headers": "trust", "allowed_api_urls": [platform]},
        "signed": signed_fields(platform, tmp_path),
    }[believes]
    trusting = changed(settings, **fields)
    app: Any = Base44Middleware(inner, settings=trusting)
    pairs = [(b"host", b"x"), (b"x-other", b"1")]
    for more in ({}, {"headers": iter(pairs)}, {"headers": tuple(pairs)}, {"headers": list(pairs)}):
        asyncio.run(app({"type": "http", "method": "GET", "path": "/", "query_string": b"", **more}, None, None))
    assert seen == [None, pairs, pairs, pairs]


def test_an_app_on_trio(settings: Settings) -> None:
    """Who does not use base44 does not notice it; who does is told so in one sentence."""
    pytest.importorskip("trio")

    async def uses(request: Request) -> PlainTextResponse:
        await request.base44.user()
        return PlainTextResponse("")

    async def does_not(request: Request) -> PlainTextResponse:
        return PlainTextResponse("fine")

    @app_user_connected("calendar")
    async def guarded(request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    routes = [Route("/uses", uses), Route("/not", does_not), Route("/guarded", guarded)]
    app = Starlette(routes=routes, middleware=[Middleware(Base44Middleware, settings=settings)])
    token = {"authorization": "Bearer e30.e30.x"}
    with testclient.TestClient(app, backend="trio") as client:
        assert client.get("/not").text == "fine"
        with pytest.raises(ConfigurationError, match="asyncio") as caught:
            client.get("/uses", headers=token)
        assert caught.value.code == "not_asyncio"
        assert client.get("/guarded", headers=token).status_code == 503


@pytest.mark.parametrize("reader", ["BaseHTTPMiddleware", "pure"])
def test_views_after_a_middleware_that_has_read_the_body(
    settings: Settings, headers: dict[str, str], reader: str
) -> None:
    """What needs no body waits for none."""

    class Base(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            await request.body()
            return await call_next(request)

    class Pure(Unknown):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await Request(scope, receive).body()
            await super().__call__(scope, receive, send)

    app = starlette_site(settings)
    app.user_middleware.insert(0, Middleware(Base if reader != "pure" else Pure))

    async def main() -> None:
        for path in (
            "/guarded",
            "/deep/base44/status/calendar",
            "/deep/base44/connect.js",
            "/deep/base44/connect/calendar",
        ):
            await asyncio.wait_for(asked(path), PATIENCE)

    async def asked(path: str) -> None:
        sent: list[Any] = []
        body = [{"type": "http.request", "body": b""}]

        async def receive() -> Any:
            if not body:
                await asyncio.Event().wait()  # as a server does whose client stays
            return body.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        pairs = [
            (name.lower().encode(), value.encode())
            for name, value in (headers | {"accept": "application/json"}).items()
        ]
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", b"testserver"), *pairs], "scheme": "http", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await app(scope, receive, send)
        assert sent[0]["status"] in (200, 403), path

    asyncio.run(main())


def test_the_replay_store_is_not_opened_on_the_event_loop(
    settings: Settings, relayed: Headers, platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    own = sqlite3.connect

    def connect(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return own(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    driver = Driver("starlette-async", changed(settings, **signed_fields(platform, tmp_path)))
    assert start_up(driver.app)["type"] == "lifespan.startup.complete"
    assert threads == [False]
    assert driver.request("POST", "/run", [*sign(relayed), *CALL]).status_code == 200
    assert threads == [False, False]
    driver.close()


def test_a_route_that_comes_later_is_looked_at_before_its_view_runs(settings: Settings) -> None:
    ran: list[str] = []

    async def view(request: Request) -> Response:
        ran.append("ran")
        return PlainTextResponse("in")

    app = Starlette(middleware=[Middleware(Base44Middleware, settings=settings)])
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/x").status_code == 404
        app_user_required(view)  # whose result is thrown away
        app.add_route("/x", view)
        assert client.get("/x").status_code == 500
    assert ran == []


def test_an_error_about_somebody_else(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    """An app shares among requests what one of them asked for, and its failure with it."""
    shared: dict[str, Any] = {}

    async def ask(request: Request) -> Response:
        try:
            await request.base44.user()  # type: ignore[attr-defined]
        except Base44Error as error:
            shared["error"] = error
            raise
        return PlainTextResponse("in")

    async def use(request: Request) -> Response:
        request.base44  # type: ignore[attr-defined]  # noqa: B018
        raise shared["error"]

    async def guarded(request: Request) -> Response:
        raise shared["error"]

    routes = [Route("/ask", ask), Route("/use", use), Route("/guarded", app_user_required(guarded))]
    app = Starlette(routes=routes, middleware=[Middleware(Base44Middleware, settings=settings)])
    client = testclient.TestClient(app, raise_server_exceptions=False)
    old = dict(signed_in(emulator, lifetime=-3600))
    assert client.get("/ask", headers=old).status_code == 401
    assert client.get("/guarded", headers=dict(adas)).status_code == 500
    assert client.get("/use", headers=dict(adas)).status_code == 500
    assert client.get("/use").status_code == 500
    assert client.get("/ask", headers=old).status_code == 401


def test_a_guard_that_asks_the_platform_each_time(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    user = emulator.add_user("ada@test.example")

    def make(fresh: bool) -> Any:
        @app_user_connected("calendar", fresh=fresh)
        async def view(request: Request) -> Response:
            return PlainTextResponse(request.base44.connection("calendar").access_token)  # type: ignore[attr-defined]

        return view

    routes = [Route(f"/{fresh}", make(fresh)) for fresh in (True, False)]
    app = Starlette(
        routes=routes, middleware=[Middleware(Base44Middleware, settings=changed(settings, connection_ttl=30))]
    )
    client = testclient.TestClient(app)
    old = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).text == old
    new = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).text == old
    assert client.get("/True", headers=dict(adas)).text == new
    assert client.get("/False", headers=dict(adas)).text == new


@pytest.mark.parametrize("routes", [lambda: None, None, 7, iter(())])
def test_an_app_of_another_framework_has_routes_of_its_own_kind(settings: Settings, routes: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("in")(scope, receive, send)

    app.routes = routes  # type: ignore[attr-defined]
    with testclient.TestClient(Starlette(routes=[Mount("/", app=Base44Middleware(app, settings=settings))])) as client:
        assert [client.get("/").text for _ in range(2)] == ["in"] * 2
    bare = testclient.TestClient(Base44Middleware(app, settings=settings))
    assert [bare.get("/").text for _ in range(2)] == ["in"] * 2
