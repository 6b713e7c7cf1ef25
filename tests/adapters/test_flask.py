"""What is Flask's own: the extension, factories, several apps, blueprints, templates."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import (
    Base44Error,
    ConfigurationError,
    MiddlewareMissingError,
    Settings,
)
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.adapters.common import EXPECTED, HEADERS, NAVIGATE, broken, written
from tests.apps.calls import encode_call
from tests.canaries import (
    BODY,
    CANARY,
    STATE,
    TOKEN,
    canary_settings,
    clean,
    frames_are_clean,
)
from tests.checks import Headers, signed_in
from tests.drivers import Driver, changed
from tests.relayed import signed_fields

pytest.importorskip("flask")
import flask
from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.proxy_fix import ProxyFix

from base44_web.flask import Base44Extension, app_user_connected, app_user_required, current_base44, get_base44, request


def flask_app(emulator: Emulator, **config: Any) -> Any:
    app = Flask("site")
    app.config.update(BASE44_APP_ID=emulator.app_id, BASE44_SERVICE_TOKEN=emulator.service_token, **config)
    return app


def test_flask_factory_and_several_apps(emulator: Emulator) -> None:
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


def test_flask_guard_above_its_route_never_runs_the_view(emulator: Emulator) -> None:
    app = flask.Flask("site")
    Base44Extension(app, settings=Settings(app_id="a"))
    app.testing = True

    @app_user_required
    @app.get("/")
    def view() -> str:
        raise AssertionError("the guard was left out")

    with pytest.raises(ConfigurationError, match="below the route"):
        app.test_client().get("/")


def test_flask_handlers_of_the_apps_own() -> None:
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


def test_flask_prefix_and_script_name(settings: Settings, headers: dict[str, str]) -> None:
    app = Flask(__name__)
    app.config["BASE44_URL_PREFIX"] = "/links"
    Base44Extension(app, settings=settings)
    app.add_url_rule("/guarded", view_func=app_user_connected("calendar")(lambda: ""), endpoint="guarded")
    client = app.test_client()
    root = {"SCRIPT_NAME": "/root"}
    answer = client.get("/guarded", headers=headers | NAVIGATE, environ_overrides=root)
    assert answer.headers["location"] == "/root/links/connect/calendar?next=/root/guarded"
    page = client.get("/links/connect/calendar?next=//e", headers=headers | NAVIGATE, environ_overrides=root).text
    assert 'action="./calendar?user=' in page
    assert 'data-next="../../"' in page


def test_flask_without_views(settings: Settings, headers: dict[str, str]) -> None:
    app = Flask(__name__)
    app.config["BASE44_URL_PREFIX"] = None
    Base44Extension(app, settings=settings)
    app.add_url_rule("/guarded", view_func=app_user_connected("calendar")(lambda: ""), endpoint="guarded")
    assert app.test_client().get("/base44/connect/calendar").status_code == 404
    assert "connect_url" not in app.test_client().get("/guarded", headers=headers).json


def test_flask_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    app = Flask(__name__, template_folder=str(written(tmp_path)))
    Base44Extension(app, settings=settings)
    answer = app.test_client().get("/base44/connect/calendar?next=/x", headers=headers | NAVIGATE)
    assert EXPECTED in answer.text
    assert app.test_client().get("/base44/connect/calendar", headers=NAVIGATE).status_code == 200


@pytest.mark.parametrize("reader", ["form", "values", "get_data", "nothing"])
def test_flask_bodies_that_were_read(
    settings: Settings, emulator: Emulator, headers: dict[str, str], reader: str
) -> None:
    app = Flask(__name__)
    app.secret_key = os.urandom(32)  # octets, as Flask's own documentation has them
    app.config["BASE44_URL_PREFIX"] = "/<tenant>/base44"
    Base44Extension(app, settings=changed(settings, token_sources=["header", "session"]))

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
    app = Flask(__name__)
    app.secret_key = b"dev"
    Base44Extension(app, settings=settings)


def test_the_frameworks_own_keys_seal(settings: Settings, emulator: Emulator) -> None:
    with_session = changed(settings, token_sources=["header", "session"])

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


def test_flask_without_its_wsgi_app(settings: Settings, platform: str, tmp_path: Path) -> None:
    driver = Driver("flask-sync", changed(settings, **signed_fields(platform, tmp_path)))
    with (
        driver.app.test_request_context(headers={"Authorization": "Bearer a.b.c"}),
        pytest.raises(MiddlewareMissingError),
    ):
        _ = request.base44
    driver.close()


def test_flasks_debug_page(platform: str, emulator: Emulator) -> None:
    settings = canary_settings(platform, platform_headers="trust", allowed_api_urls=[platform])
    driver = Driver("flask-sync", settings)
    driver.app.debug = True
    app = DebuggedApplication(driver.app, evalex=True)
    emulator.fault(Fault(status=200, body=BODY), times=None)
    headers = [("authorization", f"Bearer {TOKEN}"), ("base44-state", STATE)]
    transport = httpx2.WSGITransport(app=app, raise_app_exceptions=False)
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        page = client.post("/escape", headers=[*headers, *encode_call("service", "get_connection", ["slack"], {})])
    driver.close()
    assert page.status_code == 500
    assert "InvalidResponseError" in page.text
    clean(page.text)


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    app = Flask(__name__, template_folder=str(broken(tmp_path)))
    app.testing = True
    Base44Extension(app, settings=settings)
    app.add_url_rule("/me", view_func=app_user_required(lambda: ""), endpoint="me")
    with pytest.raises(jinja2.TemplateNotFound, match="nowhere"):
        app.test_client().get("/me", headers=NAVIGATE)


# --- what of Flask is ours to use only as long as it is there


def test_where_flask_keeps_an_apps_error_handlers() -> None:
    """By blueprint (`None`: the app), by status (`None`: none), by class: `error_handler_spec`, which ours is put into."""
    app = Flask("site")
    app.register_error_handler(Exception, lambda error: "all")
    app.register_error_handler(404, lambda error: "none")
    Base44Extension(app, settings=Settings(app_id="a"))
    handlers = app.error_handler_spec[None][None]
    assert handlers[Exception](ValueError()) == "all"
    assert Base44Error in handlers
    assert list(app.error_handler_spec[None]) == [None, 404]


def test_the_handler_of_a_blueprint_comes_before_the_apps() -> None:
    """For the app's own errors, which ours hands on; as Flask itself does."""
    app = Flask("site")
    views = flask.Blueprint("views", __name__)
    views.register_error_handler(Exception, lambda error: ("the blueprint's", 500))
    app.register_error_handler(Exception, lambda error: ("the app's", 500))
    Base44Extension(app, settings=Settings(app_id="a"))
    views.add_url_rule("/inner", view_func=lambda: request.base44.as_service_role, endpoint="inner")
    app.register_blueprint(views)
    app.add_url_rule("/outer", view_func=lambda: request.base44.as_service_role, endpoint="outer")
    client = app.test_client()
    assert (client.get("/inner").text, client.get("/outer").text) == ("the blueprint's", "the app's")


def test_a_request_of_no_extension() -> None:
    with flask.Flask("bare").test_request_context() as context, pytest.raises(MiddlewareMissingError):
        get_base44(context.request)


# --- caches, and extensions that wrap views or handle errors themselves


def site(settings: Settings, **options: Any) -> Any:
    app = Flask("site", **options)
    Base44Extension(app, settings=settings)
    return app


def test_a_view_cache_goes_below_a_guard(settings: Settings, adas: Headers, emulator: Emulator) -> None:
    """Above it, one user's page would go to all: such an app serves nothing."""
    caching = pytest.importorskip("flask_caching")
    graces = signed_in(emulator, "grace@test.example")
    for above in (True, False):
        app = site(settings)
        app.testing = True
        cache = caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
        cached = cache.cached(60, make_cache_key=lambda: request.base44.user().id)
        view = lambda: request.base44.user().email  # noqa: E731
        app.add_url_rule(
            "/x", "x", cache.cached(60)(app_user_required(view)) if above else app_user_required(cached(view))
        )
        client = app.test_client()
        if above:
            for path in ("/x", "/base44/connect.js"):
                with pytest.raises(ConfigurationError, match="below its cache"):
                    client.get(path, headers=dict(adas))
            continue
        for _ in range(2):
            assert client.get("/x").status_code == 401
            assert client.get("/x", headers=dict(adas)).text == "ada@test.example"
            assert client.get("/x", headers=dict(graces)).text == "grace@test.example"


def test_what_a_cache_keeps_for_everybody_asks_nobodys_name(
    settings: Settings, adas: Headers, emulator: Emulator
) -> None:
    """A view without a guard, or a function that a view calls: the first visitor's page would go to all."""
    caching = pytest.importorskip("flask_caching")
    app = site(settings)
    app.testing = True
    cache = caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    say = lambda: getattr(request.base44.user(), "email", "nobody")  # noqa: E731
    helper = cache.memoize(60)(say)
    whose = lambda *args, **more: request.path + say()  # noqa: E731
    for path, view in {
        "/cached": cache.cached(60)(say),
        "/memoized": cache.memoize(60)(say),
        "/helper": lambda: helper(),
        "/own": cache.cached(60, make_cache_key=whose)(say),
        "/prefix": cache.cached(60, key_prefix=whose)(say),
        "/signed-in": cache.cached(60, unless=lambda: request.base44.token is not None)(say),
        "/same-for-all": cache.cached(60)(lambda: "all"),
    }.items():
        app.add_url_rule(path, path, view)
    client, graces = app.test_client(), signed_in(emulator, "grace@test.example")
    for path in ("/cached", "/memoized", "/helper"):
        for headers in (adas, graces, []):
            with pytest.raises(ConfigurationError, match="cached for everybody"):
                client.get(path, headers=dict(headers))
    for path in ("/own", "/prefix", "/signed-in"):
        for headers, name in ((adas, "ada@test.example"), (graces, "grace@test.example"), ([], "nobody")) * 2:
            assert client.get(path, headers=dict(headers)).text == name, path
    assert client.get("/same-for-all").text == client.get("/same-for-all", headers=dict(adas)).text == "all"


def test_a_resource_whose_head_would_be_open(settings: Settings, adas: Headers) -> None:
    """Flask-RESTful runs `get` for HEAD, with the decorators of "head"."""
    restful = pytest.importorskip("flask_restful")
    for methods in (("get",), ("get", "head")):
        app = site(settings)
        app.testing = True

        class Mine(restful.Resource):  # type: ignore[misc,name-defined]
            method_decorators = {name: [app_user_required] for name in methods}  # noqa: RUF012

            def get(self) -> Any:
                return "in"

        restful.Api(app).add_resource(Mine, "/mine")
        client = app.test_client()
        if "head" not in methods:
            with pytest.raises(ConfigurationError, match="HEAD"):
                client.get("/mine", headers=dict(adas))
            continue
        assert client.head("/mine").status_code == 401
        assert client.head("/mine", headers=dict(adas)).status_code == 200


@pytest.mark.parametrize("path", ["/open", "/guarded", "/nowhere"])
def test_a_function_after_the_view_that_asks_who_it_was(
    settings: Settings, emulator: Emulator, adas: Headers, path: str
) -> None:
    """Flask answers what it raises with a 500, and asks no error handler but that one's."""
    app = site(settings)
    app.add_url_rule("/open", view_func=lambda: "open", endpoint="open")
    app.add_url_rule("/guarded", view_func=app_user_required(lambda: "in"), endpoint="guarded")

    @app.after_request
    def note(answer: Any) -> Any:
        answer.headers["X-User"] = getattr(request.base44.user(), "email", "nobody")
        if "mine" in request.args:
            raise KeyError("mine")
        return answer

    client = app.test_client()
    answer = client.get(path, headers=dict(signed_in(emulator, lifetime=-3600)))
    assert answer.status_code == 401
    assert answer.json["type"] == "urn:base44-web:invalid-token"
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert client.get(path, headers=dict(adas)).headers["X-User"] == "ada@test.example"
    assert client.get(f"{path}?mine=1", headers=dict(adas)).status_code == 500


@pytest.mark.parametrize("library", ["flask_restful", "flask_restx"])
@pytest.mark.parametrize("first", ["extension", "api"])
def test_resources_of_extensions_that_handle_errors_themselves(
    settings: Settings, emulator: Emulator, adas: Headers, library: str, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    module = pytest.importorskip(library)
    app = Flask("site")
    if first == "extension":
        Base44Extension(app, settings=settings)
    api = module.Api(app)
    if first == "api":
        Base44Extension(app, settings=settings)

    class Guarded(module.Resource):  # type: ignore[misc,name-defined]
        method_decorators = (app_user_required,)

        def get(self) -> Any:
            return {"email": request.base44.user().email}  # type: ignore[union-attr]

    class Escapes(module.Resource):  # type: ignore[misc,name-defined]
        def get(self) -> Any:
            user = request.base44.user()
            return {"email": user.email if user else None}

    class Mine(module.Resource):  # type: ignore[misc,name-defined]
        def get(self) -> Any:
            request.base44.user()
            raise KeyError("mine")

    for resource in (Guarded, Escapes, Mine):
        api.add_resource(resource, f"/{resource.__name__.lower()}")
    client, old = app.test_client(), dict(signed_in(emulator, lifetime=-3600))
    for path, headers, status in (
        ("guarded", dict(adas), 200), ("guarded", {}, 401), ("guarded", old, 401), ("escapes", dict(adas), 200),
        ("escapes", {}, 200), ("escapes", old, 401), ("mine", dict(adas), 500), ("mine", {}, 500),
    ):  # fmt: skip
        assert client.get(f"/{path}", headers=headers).status_code == status, (path, headers)


@pytest.mark.parametrize("library", ["flask_restful", "flask_restx"])
def test_a_guard_that_is_left_out_of_a_resource(settings: Settings, library: str) -> None:
    module = pytest.importorskip(library)
    app = site(settings)
    app.testing = True

    class Open(module.Resource):  # type: ignore[misc,name-defined]
        def get(self) -> Any:
            return "OPEN"

    api = module.Api(app)
    api.add_resource(Open, "/open")
    app_user_required(app.view_functions["open"])
    with pytest.raises(ConfigurationError, match="below the route"):
        app.test_client().get("/open")


# --- errors in functions around the views, and in groups


@pytest.mark.parametrize("where", ["before_request", "a group", "a nested group", "a group with an error of the app's"])
def test_errors_about_the_visitor_around_the_views(settings: Settings, emulator: Emulator, where: str) -> None:
    app = site(settings)
    app.testing = not where.endswith("app's")  # what no handler takes is raised

    @app.before_request
    def load() -> None:
        try:
            request.base44.user()
        except Base44Error as error:
            raise {
                "before_request": error,
                "a group": ExceptionGroup("", [error]),
                "a nested group": ExceptionGroup("", [ExceptionGroup("", [error]), error]),
            }.get(where, ExceptionGroup("", [error, KeyError("mine")])) from None

    app.add_url_rule("/", view_func=lambda: "in")
    client = app.test_client()
    answer = client.get("/", headers=dict(signed_in(emulator, lifetime=-3600)))
    assert answer.status_code == (500 if where.endswith("app's") else 401)
    assert client.get("/").text == "in"


# --- preflights, hosts, request classes


def test_a_preflight_is_refused_by_no_guard(settings: Settings) -> None:
    """It carries no credentials: a browser that is refused sends no request."""
    cors = pytest.importorskip("flask_cors")
    preflight = {
        "origin": "https://app.example", "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }  # fmt: skip
    ran: list[str] = []
    for way in ("CORS(app)", "cross_origin below", "cross_origin above"):
        app = site(settings)
        if way == "CORS(app)":
            cors.CORS(app)

        def view() -> str:
            ran.append(flask.request.method)
            return "in"

        guarded: Any = app_user_required(view)
        if way == "cross_origin below":
            guarded = app_user_required(cors.cross_origin()(view))
        elif way == "cross_origin above":
            guarded = cors.cross_origin()(app_user_required(view))
        app.add_url_rule("/x", "x", guarded, methods=["GET", "POST", "OPTIONS"])
        blueprint = flask.Blueprint("all", "all")
        blueprint.before_request(app_user_required(lambda: None))
        blueprint.add_url_rule("/y", "y", lambda: "in")
        app.register_blueprint(blueprint)
        client = app.test_client()
        for path in ("/x", "/y") if way == "CORS(app)" else ("/x",):
            answer = client.options(path, headers=preflight)
            assert answer.status_code == 200, way
            assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example"), way
            assert client.get(path).status_code == 401
    assert ran == []


def test_apps_that_route_by_host_or_subdomain(settings: Settings, adas: Headers) -> None:
    """The addresses are paths of the host that was asked."""
    by_host = site(settings, host_matching=True, static_host="app.example.com")
    by_host.add_url_rule("/x", "x", app_user_connected("calendar")(lambda: ""), host="app.example.com")
    by_subdomain = Flask("site", subdomain_matching=True)
    by_subdomain.config["SERVER_NAME"] = "example.com"
    Base44Extension(by_subdomain, settings=settings)
    guard = app_user_connected("calendar")
    for subdomain in ("", "api"):
        by_subdomain.add_url_rule("/x", f"x{subdomain}", guard(lambda: ""), subdomain=subdomain)
    for app, host in ((by_host, "app.example.com"), (by_subdomain, "api.example.com"), (by_subdomain, "example.com")):
        client, base = app.test_client(), f"https://{host}"
        assert client.get("/x", headers=dict(adas), base_url=base).json["connect_url"] == "/base44/connect/calendar"
        sent = client.get("/x", headers=dict(adas) | NAVIGATE, base_url=base)
        assert sent.headers["location"] == "/base44/connect/calendar?next=/x"
        assert client.get("/base44/status/calendar", headers=dict(adas), base_url=base).status_code == 200
        page = client.get("/base44/connect/calendar", headers=dict(adas) | NAVIGATE, base_url=base)
        assert 'action="./calendar?user=' in page.text


def test_a_request_class_that_is_set_later(settings: Settings, adas: Headers) -> None:
    class Mine(flask.Request):  # type: ignore[misc,name-defined]
        max_form_memory_size = 10
        mine = True

    app = site(settings)
    app.request_class = Mine
    app.add_url_rule("/", view_func=lambda: f"{request.base44.user().email} {request.mine}")  # type: ignore[attr-defined,union-attr]
    assert app.test_client().get("/", headers=dict(adas)).text == "ada@test.example True"


def test_the_host_that_flask_believes_in(settings: Settings, emulator: Emulator) -> None:
    """Behind a proxy that rewrites `Host`, and which `ProxyFix` believes."""
    with_cookie = changed(settings, token_sources=["header", "cookie"])
    cookie = {"cookie": f"base44_access_token={emulator.sign_in(emulator.add_user('ada@test.example'))}"}
    came = cookie | {"host": "inner:8000", "x-forwarded-host": "site.example", "origin": "https://site.example"}
    for believes, status in ((True, 200), (False, 403)):
        app = site(with_cookie)
        app.add_url_rule("/x", "x", app_user_required(lambda: "in"), methods=["POST"])
        if believes:
            app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1)
        assert app.test_client(use_cookies=False).post("/x", headers=came).status_code == status


@pytest.mark.parametrize("name", ["base44_access_token", "__Host-base44_session"])
def test_a_websocket_under_wsgi_needs_an_allowed_origin(settings: Settings, emulator: Emulator, name: str) -> None:
    """Browsers open one from any page, and send their cookies with it."""
    pytest.importorskip("flask_sock")
    pytest.importorskip("websockets")
    from flask_sock import Sock
    from websockets.sync.client import connect
    from werkzeug.serving import make_server

    allowed = "https://pages.example"
    sources = ["header", "cookie" if name.startswith("base44") else "session"]
    app = site(changed(settings, token_sources=sources, secret="s" * 40, allowed_origins=[allowed]))
    token = emulator.sign_in(emulator.add_user("ada@test.example"))

    @Sock(app).route("/ws")
    def socket(socket: Any) -> None:
        try:
            user = request.base44.user()
            socket.send("nobody" if user is None else user.email)
        except Base44Error as error:
            socket.send(str(error.code))

    value = token
    if "session" in sources:
        begun = app.test_client(use_cookies=False).post(
            "/base44/session", data={"token": token}, headers={"sec-fetch-site": "same-origin"}
        )
        value = begun.headers["set-cookie"].partition(";")[0].partition("=")[2]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        own = f"http://127.0.0.1:{server.server_port}"
        for origin, said in (
            (own, "ada@test.example"), (allowed, "ada@test.example"), ("https://evil.example", "cross_origin_cookie"),
            (None, "cross_origin_cookie"), ("null", "cross_origin_cookie"),
        ):  # fmt: skip
            with connect(
                own.replace("http", "ws") + "/ws",
                origin=origin,
                additional_headers={"Cookie": f"{name}={value}"},
                close_timeout=0.1,
                proxy=None,
            ) as session:  # type: ignore[arg-type]
                assert session.recv() == said, origin
    finally:
        server.shutdown()
        server.server_close()


# --- who does not use it does not notice it


def test_an_app_is_freed_by_its_last_reference(settings: Settings) -> None:
    """As Flask promises: without the collector."""
    gc.collect()
    gc.disable()
    try:
        for used in (False, True):
            app = site(settings)
            app.add_url_rule("/", view_func=lambda: "")
            if used:
                app.test_client().get("/")
            gone = weakref.ref(app)
            del app
            assert gone() is None, used
    finally:
        gc.enable()


def test_no_frame_of_a_wrong_setting_holds_a_secret() -> None:
    app = Flask("site")
    app.config.update(
        BASE44_APP_ID="a", BASE44_SERVICE_TOKEN=f"{CANARY}-service", BASE44_SECRET=f"{CANARY}{'s' * 30}", BASE44_TIMEOUT=-1,
        SECRET_KEY=f"{CANARY}-key",
    )  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        Base44Extension(app)
    frames_are_clean(caught.value)


def test_a_guard_that_asks_the_platform_each_time(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    user = emulator.add_user("ada@test.example")
    app = site(changed(settings, connection_ttl=30))
    for fresh in (True, False):
        view = app_user_connected("calendar", fresh=fresh)(lambda: request.base44.connection("calendar").access_token)
        app.add_url_rule(f"/{fresh}", str(fresh), view)
    client = app.test_client()
    old = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).text == old
    new = emulator.connect(user, CALENDAR_ID)
    assert client.get("/False", headers=dict(adas)).text == old
    assert client.get("/True", headers=dict(adas)).text == new
