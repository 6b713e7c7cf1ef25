"""Django Ninja: the guards' table, and what is its own."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from base44_web import Base44Error, Settings
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.adapters.common import NAVIGATE
from tests.checks import NAVIGATION, Headers, signed_in
from tests.drivers import Driver, changed

pytest.importorskip("django")
from tests.adapters.table import check_table  # sets Django up: Ninja looks at settings as it is imported

pytest.importorskip("ninja")
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.cache import cache_page
from ninja import NinjaAPI, Router
from ninja.decorators import decorate_view
from ninja.security import APIKeyHeader
from ninja.throttling import AuthRateThrottle

from base44_web.django.ninja import AppUserAuth
from tests.adapters.test_django import project
from tests.apps import ninja as ninja_app

_NUMBERS = itertools.count()
URLS = {"ROOT_URLCONF": "tests.apps.ninja"}


@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-wsgi-async", "django-asgi-sync", "django-asgi-async"])
def test_the_guards_table(name: str, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture) -> None:
    # Ninja makes a 500 of its own of what it has no handler for, in the one case, and passes it on in the other.
    check_table(name, subtests, caplog, DEBUG=name in ("django-wsgi-sync", "django-asgi-async"), **URLS)


def api_of(**auth: Any) -> NinjaAPI:
    """An API with an operation for each kind of `auth=`, sync, and awaiting behind `a-`; each says who asks."""
    api = NinjaAPI(urls_namespace=f"api-{next(_NUMBERS)}")
    for name, each in auth.items():

        def view(request: Any) -> str:
            return str(getattr(request.auth, "email", request.auth))

        async def awaiting(request: Any) -> str:
            return str(getattr(request.auth, "email", request.auth))

        api.api_operation(["GET", "POST"], f"/{name}", auth=each)(view)
        api.api_operation(["GET", "POST"], f"/a-{name}", auth=each)(awaiting)
    return api


class ByKey(APIKeyHeader):
    param_name = "X-Key"

    def authenticate(self, request: Any, key: str | None) -> str | None:
        return "a machine" if key == "k" else None


def test_several_ways_in(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    api = api_of(any=[ByKey(), AppUserAuth()], calendar=[ByKey(), AppUserAuth("calendar")])
    with project(settings, path("", api.urls)) as client:
        for name in ("any", "a-any"):
            assert client.get(f"/{name}", headers={"x-key": "k"}).json() == "a machine"
            assert client.get(f"/{name}", headers=dict(adas)).json() == "ada@test.example"
            assert (
                client.get(f"/{name}", headers={"x-key": "other"}).json()["type"] == "urn:base44-web:sign-in-required"
            )
        for name in ("calendar", "a-calendar"):
            assert client.get(f"/{name}", headers=dict(adas)).status_code == 403
            assert client.get(f"/{name}", headers=dict(adas) | NAVIGATE).status_code == 303
            assert client.get(f"/{name}", headers=dict(adas) | {"x-key": "k"}).json() == "a machine"
            assert client.put(f"/{name}").status_code == 405
            assert client.options(f"/{name}").status_code == 405  # Ninja has none; nothing is told


@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-asgi-async"])
def test_a_router_of_sync_and_async_operations(settings: Settings, adas: Headers, name: str) -> None:
    with override_settings(**URLS):
        driver = Driver(name, settings)
        for method in ("GET", "POST"):
            assert driver.send_view(method, "/members/sync").status_code == 401
            assert driver.send_view(method, "/members/sync", adas).json() == "ada@test.example"
        driver.close()


def test_openapi() -> None:
    with override_settings(**URLS):
        document = ninja_app.api.get_openapi_schema()
    scheme = document["components"]["securitySchemes"]["AppUserAuth"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    operation = document["paths"]["/sync/guarded"]["get"]
    assert operation["security"] == [{"AppUserAuth": []}]
    assert operation["responses"].keys() == {200, 401, 403, 503}
    assert "security" not in document["paths"]["/sync/escape"]["post"]


def test_the_document_needs_nobody(settings: Settings) -> None:
    with project(settings, path("", NinjaAPI(urls_namespace="docs", auth=AppUserAuth()).urls)) as client:
        assert client.get("/openapi.json").status_code == 200


def test_handlers_of_the_apps_own(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    for kind, debug in ((Base44Error, False), (Base44Error, True), (Exception, False), (Exception, True)):
        api = api_of(me=AppUserAuth())

        @api.exception_handler(kind)
        def mine(request: Any, error: Any) -> HttpResponse:
            return HttpResponse("mine", status=418)

        with project(settings, path("", api.urls), DEBUG=debug) as client:
            # A handler for `Base44Error` wins; one for whatever is left does not.
            for name in ("me", "a-me"):
                assert client.get(f"/{name}").status_code == (418 if kind is Base44Error else 401)
                emulator.fault(Fault(status=500))
                grace = signed_in(emulator, f"grace-{name}{kind}{debug}@test.example".replace("'", ""))
                assert client.get(f"/{name}", headers=dict(grace)).status_code == (418 if kind is Base44Error else 503)
                assert client.get(f"/{name}", headers=dict(adas)).status_code == 200


def test_an_api_of_a_class_of_ones_own(settings: Settings) -> None:
    class Mine(NinjaAPI):
        pass

    api = Mine(urls_namespace="mine", auth=AppUserAuth())

    @api.get("/x")
    def view(request: Any) -> str:
        return "in"

    urls = api.urls
    for debug in (False, True):
        with project(settings, path("", urls), DEBUG=debug) as client:
            assert client.get("/x").status_code == 401


def test_without_its_parentheses_it_lets_nobody_in(settings: Settings, adas: Headers) -> None:
    with pytest.raises(TypeError, match="AppUserAuth takes the names"):
        AppUserAuth(1)  # type: ignore[arg-type]
    with project(settings, path("", api_of(x=AppUserAuth).urls)) as client:
        for name in ("x", "a-x"):
            assert client.get(f"/{name}", headers=dict(adas)).status_code == 500
    with project(settings, path("", api_of(x=AppUserAuth()).urls), middleware=()) as client:
        for name in ("x", "a-x"):
            assert client.get(f"/{name}", headers=dict(adas)).status_code == 500


def test_the_checks_at_the_start(settings: Settings, adas: Headers) -> None:
    inner = Router(auth=AppUserAuth("calender"))

    @inner.get("/x")
    def view(request: Any) -> str:
        return "in"

    within = NinjaAPI(urls_namespace="within")
    within.add_router("/inner", inner)
    for urls, right in (
        (api_of(x=AppUserAuth("calendar")).urls, True),
        (api_of(x=AppUserAuth("calender")).urls, False),
        (within.urls, False),
    ):
        with project(settings, path("", urls)) as client:
            found = [message.id for message in run_checks() if str(message.id).startswith("base44")]
            assert found == ([] if right else ["base44_web.E001"])
            for name in ("/x", "/a-x", "/inner/x"):
                assert client.get(name, headers=dict(adas)).status_code in (404, 403 if right else 503)


def test_a_sync_operation_on_a_thread_that_has_a_loop(settings: Settings, adas: Headers) -> None:
    """As in notebooks and in Playwright's tests."""

    async def main() -> list[int]:
        return [client.get("/x", headers=headers).status_code for headers in ({}, dict(adas))]

    with project(settings, path("", api_of(x=AppUserAuth()).urls)) as client:
        assert asyncio.run(main()) == [401, 200]


@pytest.mark.parametrize("name", ["django-asgi-async", "django-wsgi-async", "django-wsgi-sync"])
def test_templates_that_ask_the_database(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "base44_web").mkdir()
    (tmp_path / "base44_web" / "message.html").write_text("Mine: {{ asked }}")
    backend = {
        "BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path],
        "OPTIONS": {"context_processors": ["tests.apps.django.asks_the_database"]},
    }  # fmt: skip
    with override_settings(TEMPLATES=[backend], **URLS):
        driver = Driver(name, settings)
        answer = driver.request("GET", "/me", NAVIGATION)
        driver.close()
    assert (answer.status_code, answer.text) == (401, "Mine: asked")


def test_no_cache_gives_an_answer_to_somebody_else(settings: Settings, emulator: Emulator) -> None:
    api = NinjaAPI(urls_namespace="cached", auth=AppUserAuth())

    @api.get("/x")
    @decorate_view(cache_page(60))
    def view(request: Any) -> str:
        return str(request.auth.email)

    with project(changed(settings, token_sources=["header", "cookie"]), path("", api.urls)) as client:
        for email in ("ada@test.example", "grace@test.example", "ada@test.example"):
            token = emulator.sign_in(emulator.add_user(email))
            assert client.get("/x", headers={"cookie": f"base44_access_token={token}"}).json() == email
        assert client.get("/x").status_code == 401


def test_ninja_counts_a_users_requests(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    api = NinjaAPI(urls_namespace="throttled", auth=AppUserAuth(), throttle=[AuthRateThrottle("1/d")])

    @api.get("/x")
    def view(request: Any) -> str:
        return "in"

    with project(settings, path("", api.urls)) as client:
        graces = signed_in(emulator, "grace@test.example")
        found = [client.get("/x", headers=dict(headers)).status_code for headers in (adas, adas, graces)]
    assert found == [200, 429, 200]


def test_fresh(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    api = api_of(kept=AppUserAuth("calendar"), fresh=AppUserAuth("calendar", fresh=True))
    ada = emulator.add_user("ada@test.example")
    emulator.connect(ada, CALENDAR_ID)
    with project(changed(settings, connection_ttl=30), path("", api.urls)) as client:
        assert client.get("/kept", headers=dict(adas)).status_code == 200
        emulator.disconnect(ada, CALENDAR_ID)
        assert [client.get(f"/{name}", headers=dict(adas)).status_code for name in ("kept", "fresh", "a-fresh")] == [
            200,
            403,
            403,
        ]
