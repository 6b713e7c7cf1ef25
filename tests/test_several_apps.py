"""Several Base44 apps in one server: each request its own app's, and nothing shared (case 16)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from base44_web import Arrival, ConfigurationError, Settings, SettingsResolver
from base44_web.testing import CALENDAR_ID, Emulator
from tests.drivers import DRIVERS, configure_django, is_asgi

ONE, TWO = "one.example", "two.example"


@pytest.fixture
def platforms() -> Iterator[dict[str, tuple[Emulator, Settings]]]:
    with (
        Emulator(app_id="app-one") as first,
        Emulator(app_id="app-two") as second,
        first.serve() as a,
        second.serve() as b,
    ):
        found = {}
        for host, emulator, server in ((ONE, first, a), (TWO, second, b)):
            emulator.share("slack")
            settings = Settings(
                app_id=emulator.app_id, server_url=server.url, service_token=emulator.service_token,
                app_user_connectors={"calendar": CALENDAR_ID}, token_sources=["header", "session"],
                secret=f"the session secret of {emulator.app_id}, long enough",
            )  # fmt: skip
            found[host] = (emulator, settings)
        yield found


chosen: dict[str, Any] = {}


def choose(arrival: Arrival) -> Settings | None:
    chosen["last"] = arrival
    return chosen["settings"].get(arrival.app_id or arrival.host)  # type: ignore[no-any-return]


resolver = SettingsResolver(choose)
by_header = SettingsResolver(choose, allowed_app_ids=["app-one", "app-two"])


class Site:
    """A driver's app, whose settings a resolver gives."""

    def __init__(self, name: str, source: SettingsResolver, path: str) -> None:
        from tests import drivers, fastapi_app

        framework, *kind = name.split("-")
        self.prefix = f"/{kind[-1]}" if framework == "django" else ""
        if framework == "django":
            configure_django()
            from django.core.handlers.asgi import ASGIHandler
            from django.core.handlers.wsgi import WSGIHandler
            from django.test import override_settings

            with override_settings(BASE44={"RESOLVER": path}):
                self.app: Any = WSGIHandler() if kind[0] == "wsgi" else ASGIHandler()
        elif framework == "fastapi":
            self.app = fastapi_app.make(kind[0], source, None)
        else:
            make = drivers.starlette_app if framework == "starlette" else drivers.flask_app
            self.app = make(kind[0], source, None)  # type: ignore[arg-type]
        import asyncio

        self.runner = asyncio.Runner() if is_asgi(name) else None

    def __call__(self, method: str, path: str, host: str, headers: Any = (), **options: Any) -> httpx2.Response:
        base = f"http://{host}"
        if self.runner is None:
            with httpx2.Client(transport=httpx2.WSGITransport(app=self.app), base_url=base) as client:
                return client.request(method, path, headers=list(headers), **options)

        async def send() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url=base) as client:
                return await client.request(method, path, headers=list(headers), **options)

        return self.runner.run(send())


@pytest.fixture(params=DRIVERS)
def site(request: pytest.FixtureRequest, platforms: Any) -> Iterator[Site]:
    pytest.importorskip(request.param.partition("-")[0])
    chosen["settings"] = {host: settings for host, (_, settings) in platforms.items()}
    site = Site(request.param, resolver, "tests.test_several_apps.resolver")
    yield site
    if site.runner is not None:
        site.runner.close()


def test_each_request_is_its_own_apps(site: Site, platforms: Any) -> None:
    for host, (emulator, _) in platforms.items():
        other = TWO if host == ONE else ONE
        user = emulator.add_user("ada@test.example")
        token = emulator.connect(user, CALENDAR_ID)
        headers = [("authorization", f"Bearer {emulator.sign_in(user)}")]
        assert site("GET", f"{site.prefix}/me", host, headers).json()["id"] == user.id
        assert site("GET", f"{site.prefix}/guarded", host, headers).json()["access_token"] == token
        assert site("GET", f"{site.prefix}/me", other, headers).status_code == 401
        assert site("GET", f"{site.prefix}/guarded", other, headers).status_code == 401
        begun = site(
            "POST", "/base44/session", host, [("sec-fetch-site", "same-origin")], data={"token": emulator.sign_in(user)}
        )
        cookie = [("cookie", begun.headers["set-cookie"].partition(";")[0])]
        assert site("GET", "/base44/status/calendar", host, cookie).json() == {"connected": True}
        assert site("GET", "/base44/status/calendar", other, cookie).status_code == 401
    for host, (emulator, _) in platforms.items():
        own = f"/api/apps/{emulator.app_id}/"
        assert all(request.target.startswith(own) for request in emulator.requests), host
        for request in emulator.requests:
            service = request.header("on-behalf-of") and request.header("authorization")
            assert service in (None, f"Bearer {emulator.service_token}")


def test_apps_that_are_not_served(site: Site, platforms: Any) -> None:
    answer = site("GET", f"{site.prefix}/me", "evil.example")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:base44-web:unknown-app"
    # No header chooses, where none is allowed to: anybody could send it.
    answer = site("GET", f"{site.prefix}/me", "evil.example", [("base44-app-id", "app-one")])
    assert answer.status_code == 404
    assert chosen["last"].app_id is None
    assert all(emulator.requests == [] for emulator, _ in platforms.values())


@pytest.mark.parametrize("name", DRIVERS)
def test_a_header_that_chooses(name: str, platforms: Any) -> None:
    pytest.importorskip(name.partition("-")[0])
    chosen["settings"] = {settings.app_id: settings for _, settings in platforms.values()}
    site = Site(name, by_header, "tests.test_several_apps.by_header")
    for emulator, _ in platforms.values():
        user = emulator.add_user("ada@test.example")
        headers = [("authorization", f"Bearer {emulator.sign_in(user)}"), ("base44-app-id", emulator.app_id)]
        assert site("GET", f"{site.prefix}/me", "api.example", headers).json()["id"] == user.id
    for wrong in ("other", "", "app-one,app-two"):
        assert site("GET", f"{site.prefix}/me", "api.example", [("base44-app-id", wrong)]).status_code == 400
    assert site("GET", f"{site.prefix}/me", "api.example").status_code == 404
    if site.runner is not None:
        site.runner.close()


def test_resolvers_that_are_wrong(platforms: Any) -> None:
    with pytest.raises(ConfigurationError, match="allowed_app_ids"):
        SettingsResolver(choose, allowed_app_ids=["a b"])
    from base44_web._core.engine.apps import Engines
    from base44_web._core.incoming.request import Incoming

    engines = Engines(SettingsResolver(lambda arrival: Settings()))
    with pytest.raises(ConfigurationError, match="app_id"):
        engines.find(Incoming("GET", []), "/")
    _, settings = platforms[ONE]
    engines = Engines(SettingsResolver(lambda arrival: Settings(**settings._given)))
    found = {id(engines.find(Incoming("GET", []), "/")) for _ in range(5)}
    assert len(found) == 1  # equal settings are one app


@pytest.mark.parametrize("wsgi", [True, False])
def test_trust_under_wsgi_is_warned_of(wsgi: bool, caplog: pytest.LogCaptureFixture) -> None:
    from base44_web._core.engine.apps import Engines
    from base44_web._core.incoming.request import Incoming

    trusting = Settings(app_id="a", platform_headers="trust", allowed_api_urls=["https://base44.app"])
    engines = Engines(SettingsResolver(lambda arrival: trusting), wsgi=wsgi)
    for _ in range(2):
        engines.find(Incoming("GET", []), "/")
    assert caplog.text.count("drop both forms") == int(wsgi)


def test_the_environment_is_one_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that the environment has for one app must not go to another's."""
    from base44_web._core.engine.apps import Engines
    from base44_web._core.incoming.request import Incoming

    for variable in ("SERVICE_TOKEN", "APP_URL", "SECRET", "APP_ID"):
        with monkeypatch.context() as patch:
            patch.setenv(f"BASE44_{variable}", "https://one.example" if variable == "APP_URL" else "s" * 40)
            fields = {} if variable == "APP_ID" else {"app_id": "app-two"}
            engines = Engines(SettingsResolver(lambda arrival, given=fields: Settings(**given)))  # type: ignore[misc]
            with pytest.raises(ConfigurationError, match=variable.lower()):
                engines.find(Incoming("GET", []), "/")
