"""What is Flask's own: the extension, factories, several apps, blueprints, templates."""

from __future__ import annotations

import os
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
from base44_web.testing import Emulator, Fault
from tests.adapters.common import EXPECTED, HEADERS, NAVIGATE, broken, written
from tests.apps.calls import encode_call
from tests.canaries import (
    BODY,
    STATE,
    TOKEN,
    canary_settings,
    clean,
)
from tests.drivers import Driver, changed
from tests.relayed import signed_fields

pytest.importorskip("flask")
import flask
from flask import Flask
from werkzeug.debug import DebuggedApplication

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
