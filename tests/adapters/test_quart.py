"""What is Quart's own: the extension, factories, several apps, views as Quart has them, templates."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from base44_web import Base44Error, ConfigurationError, MiddlewareMissingError, Settings
from base44_web.testing import CALENDAR_ID, Emulator
from tests.adapters.common import EXPECTED, NAVIGATE, ask, broken, start_up, written
from tests.checks import Headers, check_problem, signed_in
from tests.drivers import changed
from tests.relayed import said_of_ada, sign, signed_fields

pytest.importorskip("quart")
import quart
from quart import Quart
from quart.views import MethodView

from base44_web.quart import Base44Extension, app_user_connected, app_user_required, current_base44, get_base44, request


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"token_sources": ["header", "session"], "secret": "a secret of more than 32 characters, here"}


def site(settings: Settings | None, **config: Any) -> Any:
    app = Quart("site")
    app.config.update(config)
    Base44Extension(app, settings=settings)
    return app


def run(steps: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(steps())  # type: ignore[arg-type]


def test_a_factory_and_several_apps(emulator: Emulator) -> None:
    with Emulator(app_id="second") as other:
        extension, apps = Base44Extension(), []
        for platform in (emulator, other):
            platform.share("slack")
            app = Quart("site")
            app.config.update(BASE44_APP_ID=platform.app_id, BASE44_SERVICE_TOKEN=platform.service_token)
            Base44Extension(app, transport=platform.transport)

            async def view() -> str:
                return (await current_base44.as_service_role.connectors.get_connection("slack")).access_token

            app.add_url_rule("/", view_func=view)
            apps.append(app)
        for app, platform in zip(apps, (emulator, other), strict=True):
            assert ask(app, "/", {}).text == platform.share_token("slack")
        third = Quart("third")
        third.config["BASE44_APP_ID"] = "third"
        extension.init_app(third)
        with pytest.raises(ConfigurationError, match="already"):
            extension.init_app(third)


def test_settings() -> None:
    with pytest.raises(ConfigurationError, match="BASE44_APP_ID"):
        Base44Extension(Quart("site"))
    with pytest.raises(ConfigurationError, match="tiemout"):
        site(None, BASE44_APP_ID="a", BASE44_TIEMOUT=3)
    app = site(Settings(app_id="given"), BASE44_APP_ID="a", BASE44_TIMEOUT=3, SECRET_KEY="canary " * 6)
    settings = app.extensions["base44_web"].only.settings
    assert (settings.app_id, settings.timeout) == ("given", 3.0)
    assert settings.secret[0].reveal().startswith("canary")


def test_outside_of_requests(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        get_base44()

    async def main() -> None:
        app = site(settings)
        async with app.app_context():
            with pytest.raises(RuntimeError, match="context manager"):
                current_base44.token  # noqa: B018
        async with app.test_request_context("/"):
            with pytest.raises(MiddlewareMissingError, match="test_client"):
                request.base44  # noqa: B018
        bare = Quart("bare")

        @bare.get("/")
        async def view() -> str:
            with pytest.raises(MiddlewareMissingError, match="Base44Extension"):
                get_base44()
            return "told"

        assert await (await bare.test_client().get("/")).get_data(as_text=True) == "told"

    run(main)


def test_wrong_guards_fail_the_start_up_and_let_nobody_in(settings: Settings) -> None:
    app = site(settings)

    @app_user_connected("calender")
    async def typo() -> str:
        return "in"

    app.add_url_rule("/typo", view_func=typo)
    assert "'calender'" in start_up(app)["message"]
    above = site(settings)

    @app_user_required
    @above.get("/")
    async def view() -> str:
        return "in"

    assert "below the route" in start_up(above)["message"]
    with pytest.raises(ConfigurationError, match="below the route"):
        ask(above, "/", {})  # a server without a lifespan


def test_a_view_that_comes_later_is_looked_at_before_it_runs(settings: Settings) -> None:
    app = site(settings)
    assert ask(app, "/base44/connect.js", {}).status_code == 200

    async def view() -> str:
        return "in"

    app_user_required(view)
    app.add_url_rule("/later", view_func=view)
    with pytest.raises(ConfigurationError, match="below the route"):
        ask(app, "/later", {})


def test_classes(settings: Settings, headers: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="decorators"):

        @app_user_required
        class Wrong(MethodView):
            pass

    class Mine(MethodView):
        decorators = [app_user_required]  # noqa: RUF012

        async def get(self) -> str:
            return "in"

    app = site(settings)
    app.add_url_rule("/mine", view_func=Mine.as_view("mine"))
    assert ask(app, "/mine", {}).status_code == 401
    assert ask(app, "/mine", headers).text == "in"
    for wrong in (7, dict):
        with pytest.raises(TypeError):
            app_user_required(wrong)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="app_user_connected"):
        app_user_connected(lambda: "")  # type: ignore[arg-type]


def test_handlers_of_the_apps_own(settings: Settings, headers: dict[str, str]) -> None:
    async def escapes() -> str:
        return str(await request.base44.connectors.connect_app_user("calendar"))

    async def own() -> str:
        return str(await request.base44.as_service_role.connectors.get_connection("dropbox"))

    first = Quart("first")
    first.register_error_handler(Base44Error, lambda error: ("mine", 418))
    Base44Extension(first, settings=settings)
    first.add_url_rule("/", view_func=escapes)
    assert ask(first, "/", {}).status_code == 418

    app, seen = site(settings), []
    app.register_error_handler(Exception, lambda error: (seen.append(type(error).__name__), ("all", 500))[1])
    app.add_url_rule("/escapes", view_func=escapes)
    app.add_url_rule("/own", view_func=own)
    assert ask(app, "/escapes", {}).status_code == 401
    assert seen == []
    assert ask(app, "/own", headers).text == "all"
    assert seen == ["NotConnectedError"]


@pytest.mark.parametrize("where", ["before_request", "after_request", "a group", "a group with an error of the app's"])
def test_errors_around_the_views(settings: Settings, emulator: Emulator, adas: Headers, where: str) -> None:
    app = site(settings)

    async def ask_who(answer: Any = None) -> Any:
        await request.base44.user()
        return answer

    if where.endswith("_request"):
        getattr(app, where)(ask_who)

    @app.get("/")
    async def view() -> str:
        if where == "a group":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask_who())
        elif where.startswith("a group"):
            try:
                await ask_who()
            except Base44Error as error:
                raise ExceptionGroup("both", [error, KeyError("mine")]) from None
        return "in"

    old = dict(signed_in(emulator, lifetime=-3600))
    if where.endswith("app's"):
        assert ask(app, "/", old).status_code == 500
        return
    check_problem(ask(app, "/", old), 401, "invalid-token")
    assert ask(app, "/", dict(adas)).text == "in"


def test_a_signature_holds_with_what_a_proxy_takes_away(
    settings: Settings, emulator: Emulator, platform: str, tmp_path: Path
) -> None:
    """Known from the server, or, where that knows of nothing, from Quart's configuration."""

    @app_user_required
    async def me() -> str:
        return "in"

    app = site(changed(settings, **signed_fields(platform, tmp_path)), APPLICATION_ROOT="/api/x")
    app.add_url_rule("/me", view_func=me)
    said = said_of_ada(emulator, platform)
    for signed, asked, root, status in (
        ("/me", "/me", "", 200), ("/api/x/me", "/me", "", 200), ("/x/me", "/me", "", 200), ("/other/me", "/me", "", 400),
        ("/api/x/api/x/me", "/me", "", 400), ("/root/me", "/root/me", "/root", 200), ("/me", "/root/me", "/root", 200),
        ("/api/x/me", "/root/me", "/root", 400),
    ):  # fmt: skip
        answer = ask(app, asked, dict(sign(said, method="GET", path=signed)), root)
        assert answer.status_code == status, (signed, asked, root, answer.text)


def test_prefix_root_path_and_no_views(settings: Settings, headers: dict[str, str]) -> None:
    async def view() -> str:
        return ""

    app = site(settings, BASE44_URL_PREFIX="/links")
    app.add_url_rule("/guarded", view_func=app_user_connected("calendar")(view))
    answer = ask(app, "/root/guarded", headers | NAVIGATE, "/root")
    assert answer.headers["location"] == "/root/links/connect/calendar?next=/root/guarded"
    page = ask(app, "/root/links/connect/calendar?next=//e", headers | NAVIGATE, "/root").text
    assert 'action="./calendar?user=' in page
    assert 'data-next="../../"' in page
    without = site(settings, BASE44_URL_PREFIX=None)
    without.add_url_rule("/guarded", view_func=app_user_connected("calendar")(view))
    assert ask(without, "/base44/connect/calendar", headers).status_code == 404
    assert "connect_url" not in ask(without, "/guarded", headers).json()


def test_templates(settings: Settings, headers: dict[str, str], tmp_path: Path) -> None:
    app = Quart("site", template_folder=str(written(tmp_path)))
    Base44Extension(app, settings=settings)
    assert EXPECTED in ask(app, "/base44/connect/calendar?next=/x", headers | NAVIGATE).text


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    app = Quart("site", template_folder=str(broken(tmp_path)))
    Base44Extension(app, settings=settings)

    async def view() -> str:
        return ""

    app.add_url_rule("/", view_func=app_user_required(view))
    assert ask(app, "/", NAVIGATE).status_code == 500


@pytest.mark.parametrize("reads", ["nothing", "get_data", "form"])
def test_views_after_a_function_that_has_read_the_body(
    settings: Settings, emulator: Emulator, adas: Headers, reads: str
) -> None:
    app = site(settings)

    @app.before_request
    async def read() -> None:
        if reads == "get_data":
            await quart.request.get_data()
        elif reads == "form":
            await quart.request.form

    async def main() -> None:
        token = adas[0][1].removeprefix("Bearer ")
        same = {"sec-fetch-site": "same-origin"}
        answer = await app.test_client().post("/base44/session", form={"token": token}, headers=same)
        assert await answer.get_json() == {"signed_in": True}

    run(main)


def test_the_lifespan_closes_the_connections(emulator: Emulator, platform: str) -> None:
    emulator.share("slack")
    app = Quart("site")
    settings = Settings(app_id=emulator.app_id, server_url=platform, service_token=emulator.service_token)
    Base44Extension(app, settings=settings)

    @app.get("/")
    async def view() -> str:
        return (await current_base44.as_service_role.connectors.get_connection("slack")).access_token

    async def main() -> None:
        engine = app.extensions["base44_web"].only
        async with app.test_app() as running:
            answer = await running.test_client().get("/")
            assert await answer.get_data(as_text=True) == emulator.share_token("slack")
            assert engine.platform.pools._loops
        assert not engine.platform.pools._loops

    run(main)


def test_it_needs_no_other_framework() -> None:
    """Flask is what Quart itself stands on."""
    code = (
        "import sys\n"
        "for name in ('starlette', 'fastapi', 'django', 'litestar'): sys.modules[name] = None\n"
        "import base44_web.quart\n"
        "assert 'base44_web.flask' not in sys.modules and 'base44_web.starlette' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_connection_cannot_be_returned(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    app = site(changed(settings, app_user_connectors={"calendar": CALENDAR_ID}))

    @app.get("/")
    @app_user_connected("calendar")
    async def view() -> Any:
        return {"connection": request.base44.connection("calendar")}

    assert ask(app, "/", dict(adas)).status_code == 500
