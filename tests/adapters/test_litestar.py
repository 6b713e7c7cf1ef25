"""What is Litestar's own: the plugin, guards in layers, OpenAPI, its cache, templates. Its annotations are resolved here."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from base44_web import Base44Error, ConfigurationError, MiddlewareMissingError, Settings, SettingsResolver
from base44_web._asgi.middleware import ASGIMiddleware
from base44_web._core.engine.apps import Engines
from base44_web.testing import CALENDAR_ID, Emulator
from tests.adapters.common import EXPECTED, NAVIGATE, ask, broken, start_up, written
from tests.checks import FORM, SAME, Headers, check_problem, signed_in
from tests.drivers import changed
from tests.relayed import said_of_ada, sign, signed_fields

pytest.importorskip("litestar")
import litestar
from litestar import Controller, Litestar, Response, Router, asgi, get, post
from litestar.config.csrf import CSRFConfig
from litestar.config.response_cache import ResponseCacheConfig
from litestar.exceptions import LitestarException
from litestar.logging import LoggingConfig
from litestar.middleware.logging import LoggingMiddlewareConfig
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from base44_web.litestar import (
    Base44Client,
    Base44Plugin,
    Request,
    app_user_connected,
    app_user_required,
    connect_router,
    get_base44,
)


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"token_sources": ["header", "session"], "secret": "a secret of more than 32 characters, here"}


@get("/me", guards=[app_user_required])
async def me(base44: Base44Client) -> str:
    user = await base44.user()
    assert user is not None
    return user.email or ""


@get("/calendar", guards=[app_user_connected("calendar")])
async def calendar(base44: Base44Client) -> str:
    connection = base44.connection("calendar")
    return connection.access_token


@get("/escape")
async def escape(base44: Base44Client) -> str:
    return str(await base44.connectors.connect_app_user("calendar"))


@get("/own")
async def own(base44: Base44Client) -> str:
    return str(await base44.as_service_role.connectors.get_connection("dropbox"))


def site(settings: Settings, handlers: Any = (), **options: Any) -> Litestar:
    return Litestar([*handlers], plugins=[Base44Plugin(settings)], logging_config=None, **options)


def test_wrong_settings_fail_as_the_plugin_is_made() -> None:
    with pytest.raises(ConfigurationError, match="BASE44_APP_ID"):
        Base44Plugin()


def test_guards_that_are_written_wrong(settings: Settings) -> None:
    @get("/typo", guards=[app_user_connected("calender")])
    async def typo() -> str:
        return "in"

    @get("/bare", guards=[app_user_connected])  # type: ignore[list-item]
    async def bare() -> str:
        return "in"

    for handler, said in ((typo, "'calender'"), (bare, "parentheses")):
        with pytest.raises(ConfigurationError, match=said):
            site(settings, [handler])
        app = site(settings)
        with pytest.raises(ConfigurationError, match=said):
            app.register(handler)
    for wrong in ((), (typo,), ("calendar", 7), ("",)):
        with pytest.raises(TypeError, match="app_user_connected"):
            app_user_connected(*wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        app_user_required()  # type: ignore[call-arg]
    with pytest.raises(TypeError):

        @app_user_required  # type: ignore[call-arg]
        async def decorated() -> str:
            return "in"


LAYERS = {
    "handler": "/router/in", "controller": "/router/mine/in", "router": "/router/in", "app": "/router/in",
    "mounted app": "/router/mounted/x",
}  # fmt: skip


def test_guards_in_every_layer(settings: Settings, headers: dict[str, str], subtests: pytest.Subtests) -> None:
    for layer, path in LAYERS.items():
        with subtests.test(layer):
            app = guarded_at(layer, settings)
            check_problem(ask(app, path, {}), 401, "sign-in-required")
            assert ask(app, path, headers).text == "in"
            # Where one signs in stays open.
            assert ask(app, "/base44/connect.js", {}).status_code == 200
            assert "<title>Connect calendar" in ask(app, "/base44/connect/calendar", NAVIGATE).text


def guarded_at(layer: str, settings: Settings) -> Litestar:
    def at(of: str) -> Any:
        return [app_user_required] if layer == of else []

    @get("/in", guards=at("handler"))
    async def handler() -> str:
        return "in"

    class Mine(Controller):
        path = "/mine"
        guards = at("controller")

        @get("/in")
        async def handler(self) -> str:
            return "in"

    @asgi("/mounted", is_mount=True, copy_scope=True, guards=at("mounted app"))
    async def mounted(scope: litestar.types.Scope, receive: litestar.types.Receive, send: litestar.types.Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in", "more_body": False})

    router = Router("/router", route_handlers=[Mine, handler, mounted], guards=at("router"))
    return site(settings, [router, connect_router()], guards=at("app"))


def test_within_an_app_that_has_a_middleware_of_its_own(settings: Settings, headers: dict[str, str]) -> None:
    inner = site(settings, [calendar, connect_router()])

    async def mount(scope: Any, receive: Any, send: Any) -> None:
        """As Starlette mounts: the path stays whole."""
        await inner({**scope, "app_root_path": scope["root_path"], "root_path": "/sub"}, receive, send)

    for app in (mount, ASGIMiddleware(mount, Engines(Settings(app_id="outer")))):
        document = check_problem(ask(app, "/sub/calendar", headers), 403, "not-connected")
        assert document["connect_url"] == "/sub/base44/connect/calendar"
        check_problem(ask(app, "/sub/calendar", {}), 401, "sign-in-required")


def test_handlers_of_the_apps_own(settings: Settings, headers: dict[str, str]) -> None:
    def mine(request: litestar.Request, error: Exception) -> Response[str]:
        return Response("mine", status_code=418)

    assert ask(site(settings, [escape], exception_handlers={Base44Error: mine}), "/escape", {}).text == "mine"
    for kind in (Exception, 500):
        app = site(settings, [escape, own], exception_handlers={kind: mine})
        assert ask(app, "/escape", {}).status_code == 401
        assert ask(app, "/own", headers).text == "mine"
    plain = site(settings, [own], debug=False)
    assert ask(plain, "/own", headers).json() == {"status_code": 500, "detail": "Internal Server Error"}
    assert "NotConnectedError" in ask(site(settings, [own], debug=True), "/own", headers).text


def test_errors_in_a_middleware_and_in_groups(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    def middleware(app: Any) -> Any:
        async def layer(scope: Any, receive: Any, send: Any) -> None:
            await get_base44(litestar.Request(scope)).user()
            await app(scope, receive, send)

        return layer

    @get("/group")
    async def group(base44: Base44Client) -> str:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(base44.connectors.connect_app_user("calendar"))
        return "in"

    @get("/both")
    async def both(base44: Base44Client) -> str:
        try:
            await base44.connectors.connect_app_user("calendar")
        except Base44Error as error:
            raise ExceptionGroup("both", [error, KeyError("mine")]) from None
        return "in"

    @get("/open")
    async def view() -> str:
        return "in"

    app, old = site(settings, [view], middleware=[middleware]), dict(signed_in(emulator, lifetime=-3600))
    check_problem(ask(app, "/open", old), 401, "invalid-token")
    assert ask(app, "/open", dict(adas)).text == "in"
    groups = site(settings, [group, both])
    check_problem(ask(groups, "/group", {}), 401, "sign-in-required")
    assert ask(groups, "/both", {}).status_code == 500


def test_a_connector_that_a_resolver_does_not_give(
    settings: Settings, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Only the request tells: nobody gets in, and the log says why."""
    resolver = SettingsResolver(lambda arrival: changed(settings, app_user_connectors={"mail": "70a1"}))
    app = Litestar([calendar], plugins=[Base44Plugin(resolver)], logging_config=None)
    check_problem(ask(app, "/calendar", headers), 503, "service-role-unavailable")
    assert "A guard cannot let anybody pass" in caplog.text
    assert "BASE44_APP_USER_CONNECTORS" in caplog.text


def test_without_the_plugin_it_says_so() -> None:
    @get("/")
    async def view(request: litestar.Request) -> str:
        with pytest.raises(MiddlewareMissingError, match="Base44Plugin"):
            get_base44(request)
        return "told"

    assert ask(Litestar([view], logging_config=None), "/", {}).text == "told"


def test_root_path_and_no_views(settings: Settings, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    app = site(settings, [calendar, connect_router("/links")], path="/v1")
    answer = ask(app, "/root/v1/calendar", headers | NAVIGATE, "/root")
    assert answer.headers["location"] == "/root/v1/links/connect/calendar?next=/root/v1/calendar"
    page = ask(app, "/root/v1/links/connect/calendar?next=//e", headers | NAVIGATE, "/root").text
    assert 'action="./calendar?user=' in page
    assert 'data-next="../../../"' in page
    assert start_up(app)["type"] == "lifespan.startup.complete"
    assert "connect_router" not in caplog.text
    without = site(settings, [calendar])
    assert "connect_url" not in ask(without, "/calendar", headers).json()
    start_up(without)
    assert 'connect_router("/base44")' in caplog.text


def test_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    config = TemplateConfig(directory=written(tmp_path), engine=JinjaTemplateEngine)
    app = site(settings, [me, connect_router()], template_config=config)
    assert EXPECTED in ask(app, "/base44/connect/calendar?next=/x", headers | NAVIGATE).text
    assert "Please sign in" in ask(app, "/me", NAVIGATE).text  # for which it has none of its own


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    config = TemplateConfig(directory=broken(tmp_path), engine=JinjaTemplateEngine)
    assert ask(site(settings, [me], template_config=config), "/me", NAVIGATE).status_code == 500


def test_openapi(settings: Settings) -> None:
    @get("/open")
    async def view() -> str:
        return ""

    app = site(settings, [me, calendar, escape, view, connect_router()])
    document = app.openapi_schema.to_schema()
    assert document["components"]["securitySchemes"]["Base44AppUser"]["scheme"] == "bearer"
    for path in ("/me", "/calendar"):
        operation = document["paths"][path]["get"]
        assert operation["security"] == [{"Base44AppUser": []}]
        assert {"401", "403", "503"} <= operation["responses"].keys()
        assert "application/problem+json" in operation["responses"]["401"]["content"]
    assert document["paths"]["/escape"]["get"]["security"] == [{"Base44AppUser": []}]
    assert "security" not in document["paths"]["/open"]["get"]
    assert not [path for path in document["paths"] if path.startswith("/base44")]
    assert site(settings, [me], openapi_config=None).openapi_config is None


def by_user(request: litestar.Request) -> str:
    return request.headers.get("authorization", "") + request.url.path


def test_what_litestar_keeps_for_everybody_depends_on_nobody(
    settings: Settings, emulator: Emulator, adas: Headers
) -> None:
    @get("/guarded", guards=[app_user_required], cache=60)
    async def guarded() -> str:
        return ""

    @get("/dependency", cache=True)
    async def dependency(base44: Base44Client) -> str:
        return ""

    for handler in (guarded, dependency):
        with pytest.raises(ConfigurationError, match="cached for everybody"):
            site(settings, [handler])
        site(settings, [handler], response_cache_config=ResponseCacheConfig(key_builder=by_user))

    @get("/late", cache=60)
    async def late(request: Request) -> str:
        user = await request.base44.user()
        return getattr(user, "email", None) or "nobody"

    @get("/own", cache=60, cache_key_builder=by_user)
    async def own_key(request: Request) -> str:
        user = await request.base44.user()
        return getattr(user, "email", None) or "nobody"

    app, graces = site(settings, [late, own_key]), signed_in(emulator, "grace@test.example")
    for headers, name in ((adas, "ada@test.example"), (graces, "grace@test.example"), ([], "nobody")) * 2:
        with pytest.raises(LitestarException) as caught:
            ask(app, "/late", dict(headers))
        assert "cached for everybody" in str(caught.value.__cause__)
        assert ask(app, "/own", dict(headers)).text == name


def test_views_where_others_read_the_body_or_protect_forms(
    settings: Settings, emulator: Emulator, adas: Headers
) -> None:
    """Litestar's logging reads each body, its CSRF protection wants a token of its own, an app changes responses."""

    def change(response: Response[Any]) -> Response[Any]:
        response.headers["x-mine"] = "yes"
        return response

    logs = LoggingMiddlewareConfig(logger_name="quiet")
    app = Litestar(
        [connect_router(), me], plugins=[Base44Plugin(settings)], middleware=[logs.middleware],
        csrf_config=CSRFConfig(secret="s" * 32), after_request=change, logging_config=LoggingConfig(configure_root_logger=False),
    )  # fmt: skip
    logging.getLogger("quiet").setLevel("CRITICAL")

    async def main() -> Any:
        import httpx2

        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            token = adas[0][1].removeprefix("Bearer ")
            return await client.post("/base44/session", content=f"token={token}", headers=[SAME, FORM])

    assert asyncio.run(main()).json() == {"signed_in": True}
    assert ask(app, "/me", dict(adas)).headers["x-mine"] == "yes"


def test_a_signed_path_is_the_one_that_came_in(
    settings: Settings, emulator: Emulator, platform: str, tmp_path: Path
) -> None:
    """Litestar routes by a normalised one."""
    app = site(changed(settings, **signed_fields(platform, tmp_path)), [me])
    said = said_of_ada(emulator, platform)
    for signed, asked, root, status in (
        ("/me", "/me", "", 200), ("/me/", "/me/", "", 200), ("/me", "/me/", "", 400), ("/other", "/me", "", 400),
        ("/root/me", "/me", "/root", 200), ("/me", "/root/me", "/root", 200),
    ):  # fmt: skip
        answer = ask(app, asked, dict(sign(said, method="GET", path=signed)), root)
        assert answer.status_code == status, (signed, asked, root, answer.text)


def test_the_lifespan_closes_the_connections(emulator: Emulator, platform: str) -> None:
    emulator.share("slack")
    settings = Settings(app_id=emulator.app_id, server_url=platform, service_token=emulator.service_token)

    @get("/")
    async def view(base44: Base44Client) -> str:
        return (await base44.as_service_role.connectors.get_connection("slack")).access_token

    plugin = Base44Plugin(settings)
    app = Litestar([view], plugins=[plugin], logging_config=None)

    async def main() -> None:
        import httpx2

        engine = plugin._engines.only
        assert engine is not None
        async with app.lifespan():
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                assert (await client.get("/")).text == emulator.share_token("slack")
            assert engine.platform.pools._loops
        assert not engine.platform.pools._loops

    asyncio.run(main())


def test_it_needs_no_other_framework() -> None:
    code = (
        "import sys\n"
        "for name in ('starlette', 'fastapi', 'django', 'flask', 'quart', 'werkzeug'): sys.modules[name] = None\n"
        "import base44_web.litestar\n"
        "assert 'base44_web.starlette' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_connection_cannot_be_returned(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)

    @get("/", guards=[app_user_connected("calendar")])
    async def view(base44: Base44Client) -> dict[str, Any]:
        return {"connection": base44.connection("calendar")}

    @post("/user", guards=[app_user_required])
    async def user(base44: Base44Client) -> Any:
        return await base44.user()

    app = site(settings, [view, user])
    assert ask(app, "/", dict(adas)).status_code == 500
    assert ask(app, "/user", dict(adas), method="POST").status_code == 500
