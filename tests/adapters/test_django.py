"""What is Django's own: checks, load errors, the order of middleware, templates, the REST framework."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import pickle
import re
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import (
    AppUser,
    AuthenticationError,
    Base44,
    ConfigurationError,
    Refusal,
    Settings,
)
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.adapters.common import EXPECTED, NAVIGATE, ask, broken, written
from tests.apps.calls import encode_call
from tests.canaries import (
    CANARY,
    SERVICE,
    SESSION,
    STATE,
    TOKEN,
    canary_settings,
    clean,
)
from tests.checks import (
    FORM,
    NAVIGATION,
    Headers,
    check_problem,
    signed_in,
)
from tests.drivers import Driver, changed, environment
from tests.relayed import signed_fields
from tests.serving import PATIENCE, ROOT

pytest.importorskip("django")
from django.apps import apps
from django.core.checks import INFO, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.template import TemplateDoesNotExist
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import include, path, set_script_prefix
from django.utils.decorators import method_decorator
from django.views import View
from django.views.debug import get_default_exception_reporter_filter
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt

from base44_web.django import Base44Middleware, app_user_connected, app_user_required, get_base44
from base44_web.django.checks import check_settings
from base44_web.django.middleware import load_settings
from base44_web.django.urls import urlpatterns
from tests.apps import django as django_app


def checks(**settings: Any) -> list[str]:
    with override_settings(**settings):
        return [message.id for message in run_checks() if str(message.id).startswith("base44")]


def test_django_checks() -> None:
    path = "base44_web.django.Base44Middleware"
    good = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "69e6"}, "APP_URL": "https://my.base44.app"}
    assert checks(BASE44=good, MIDDLEWARE=[path]) == []
    assert checks(BASE44=good, MIDDLEWARE=["tests.apps.django.Middleware"]) == []
    assert checks(BASE44=good, MIDDLEWARE=[]) == ["base44_web.W001"]
    for wrong in ({}, {"app_id": "a"}, {"APP_ID": "a", "TIMEOUT": "x"}, {"APP_ID": "a", "APPID": "b"}, "a", None):
        assert checks(BASE44=wrong, MIDDLEWARE=[path]) == ["base44_web.E001"]
    with environment(BASE44_APP_ID="a"):
        assert checks(BASE44={**good, "APP_ID": None}, MIDDLEWARE=[path]) == []


def test_the_view_of_a_mistyped_guard(subtests: pytest.Subtests) -> None:
    """In what `check` says, and `runserver` as it starts: whose guard it is, and where."""
    named = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "69e6"}}

    @app_user_connected("calender")
    def shop(request: Any) -> HttpResponse:
        return HttpResponse()

    @method_decorator(app_user_connected("calender"), name="dispatch")
    class Shop(View): ...

    for view, name, line in (
        (shop, shop.__qualname__, shop.__wrapped__.__code__.co_firstlineno),  # type: ignore[attr-defined]
        (Shop.as_view(), Shop.__qualname__, shop.__wrapped__.__code__.co_firstlineno + 4),  # type: ignore[attr-defined]
    ):
        urls = types.ModuleType("shop_urls")
        urls.urlpatterns = [path("x", view)]  # type: ignore[attr-defined]
        with subtests.test(name), override_settings(ROOT_URLCONF=urls, MIDDLEWARE=[OURS], BASE44=named):
            (found,) = [message for message in run_checks() if message.id == "base44_web.E001"]
            assert found.msg.startswith(f"The guard of {__name__}.{name}: The connector 'calender' is not in ")
            assert "Did you mean 'calendar'?" in found.msg
            assert found.hint == f"Change {__file__}, line {line} ({__name__}.{name})."
            with pytest.raises(CommandError, match=re.escape(f"HINT: {found.hint}")):
                call_command("check")


def test_django_checks_what_doctor_checks() -> None:
    good = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "69e6"}, "VERIFICATION": "none"}
    with environment(BASE44_APPID="a"), override_settings(BASE44=good, MIDDLEWARE=[OURS]):
        told = {message.id: message.hint for message in run_checks()}
        assert list(told) == ["base44_web.W003", "base44_web.W010", "base44_web.W005"]
        assert told["base44_web.W005"] == "Did you mean BASE44_APP_ID?"
        deployed = [message for message in run_checks(include_deployment_checks=True) if message.id not in told]
        ours = [message for message in deployed if message.id.startswith("base44")]
        assert [(message.id, message.level) for message in ours] == [("base44_web.I001", INFO)]
        with override_settings(SILENCED_SYSTEM_CHECKS=["base44_web.W003"]):
            assert [message.id for message in run_checks() if not message.is_silenced()] == list(told)[1:]


def test_django_raises_at_load() -> None:
    with pytest.raises(ImproperlyConfigured, match="BASE44_APP_ID") as caught:
        WSGIHandler()
    assert isinstance(caught.value, ConfigurationError)


def test_django_app_label_and_missing_middleware() -> None:
    assert apps.get_app_config("base44_web").name == "base44_web.django"
    with pytest.raises(ConfigurationError, match="MIDDLEWARE"):
        get_base44(RequestFactory().get("/"))


def test_django_request_is_lazy_and_copes_with_wrappers(emulator: Emulator, local: Settings) -> None:
    class Middleware(Base44Middleware):
        transport = emulator.transport

    with override_settings(BASE44={"APP_ID": emulator.app_id, "SERVICE_TOKEN": emulator.service_token}):
        middleware = Middleware(lambda request: HttpResponse())
    request = RequestFactory().get("/", headers={"Authorization": "Basic nonsense"})
    middleware(request)
    assert pickle.loads(pickle.dumps(request)).path == "/"
    assert hasattr(request, "base44")
    assert get_base44(request) is request.base44
    assert isinstance(request.base44, Base44)
    with pytest.raises(AuthenticationError):
        _ = request.base44.token


def test_a_django_resolver_stands_alone() -> None:

    for given, message in (
        ({"RESOLVER": "tests.conformance.test_several_apps.resolver", "APP_ID": "a"}, "only key"),
        ({"RESOLVER": "tests.apps.calls.plain"}, "SettingsResolver"),
    ):
        with override_settings(BASE44=given), pytest.raises(ConfigurationError, match=message):
            load_settings()


def test_django_checks_the_connectors_of_guards() -> None:

    for names, found in (({"mail": "70a1"}, ["base44_web.E001"]), ({"calendar": "69e6"}, [])):
        with override_settings(BASE44={"APP_ID": "a", "APP_USER_CONNECTORS": names, "APP_URL": "https://a.base44.app"}):
            assert [message.id for message in run_checks() if str(message.id).startswith("base44")] == found


@pytest.mark.drivers("django-wsgi-sync", "django-wsgi-async", "django-asgi-sync", "django-asgi-async")
def test_two_guards_on_an_async_class(driver: Driver, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    check_problem(driver.request("GET", "/both"), 401, "sign-in-required")
    assert driver.request("GET", "/both", adas).status_code == 403
    emulator.connect(ada, CALENDAR_ID)
    assert driver.request("GET", "/both", adas).json() == {}


def test_the_django_rest_framework(emulator: Emulator, settings: Settings) -> None:
    pytest.importorskip("rest_framework")

    from rest_framework.decorators import api_view
    from rest_framework.response import Response
    from rest_framework.views import APIView

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
    given = django_app.upper(settings)
    for view in (Dispatch.as_view(), Method.as_view(), above, below):
        with override_settings(BASE44=given, REST_FRAMEWORK={"UNAUTHENTICATED_USER": None}):
            chain = Base44Middleware(lambda request, view=view: view(request))  # type: ignore[misc]
            refused = chain(RequestFactory().get("/"))
            found = chain(RequestFactory().get("/", headers=good))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert found.status_code == 200
        assert found.data == {"email": "ada@test.example"}


def test_django_script_name(settings: Settings, headers: dict[str, str]) -> None:
    driver = Driver("django-wsgi-sync", settings)
    transport = httpx2.WSGITransport(app=driver.app, script_name="/root")
    with httpx2.Client(transport=transport, base_url="http://testserver") as client:
        sent = client.get("/sync/guarded", headers=headers | NAVIGATE).headers["location"]
        page = client.get("/base44/connect/calendar?next=//e", headers=headers | NAVIGATE).text
    driver.close()
    assert sent == "/root/base44/connect/calendar?next=/root/sync/guarded"
    assert 'action="./calendar?user=' in page
    assert 'data-next="../../"' in page


@pytest.mark.parametrize("sent", ["", "/root"])
def test_django_root_path(settings: Settings, headers: dict[str, str], sent: str) -> None:
    """Under ASGI some proxies take the root path away, and some pass it on."""
    driver = Driver("django-asgi-async", settings)
    answer = ask(driver.app, f"{sent}/async/guarded", headers | NAVIGATE, "/root")
    page = ask(driver.app, f"{sent}/base44/connect/calendar?next=//e", headers | NAVIGATE, "/root").text
    driver.close()
    set_script_prefix("/")
    assert answer.headers["location"] == "/root/base44/connect/calendar?next=/root/async/guarded"
    assert 'action="./calendar?user=' in page
    assert 'data-next="../../"' in page


@pytest.mark.parametrize("name", ["django-asgi-async", "django-wsgi-async", "django-wsgi-sync"])
def test_django_templates_that_ask_the_database(settings: Settings, tmp_path: Path, name: str) -> None:
    """As `{{ user }}` of Django's own context processor does; no database is to be asked on an event loop."""
    (tmp_path / "base44_web").mkdir()
    (tmp_path / "base44_web" / "message.html").write_text("Mine: {{ asked }}")
    backend = {
        "BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path],
        "OPTIONS": {"context_processors": ["tests.apps.django.asks_the_database"]},
    }  # fmt: skip
    with override_settings(TEMPLATES=[backend]):
        driver = Driver(name, settings)
        answer = driver.request("GET", "/me", NAVIGATION)
        guarded = driver.request("GET", "/guarded", NAVIGATION)
        driver.close()
    for page in (answer, guarded):
        assert (page.status_code, page.text) == (401, "Mine: asked")


def test_django_templates(settings: Settings, adas: Headers, tmp_path: Path) -> None:
    backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [written(tmp_path)]}
    with override_settings(TEMPLATES=[backend]):
        driver = Driver("django-wsgi-sync", settings)
        pairs = [*adas, *NAVIGATION]
        answer = driver.send_view("GET", "/base44/connect/calendar?next=/x", pairs)
        driver.close()
    assert EXPECTED in answer.text


@pytest.mark.parametrize("reader", ["body", "POST", "nothing"])
def test_django_bodies_that_were_read(settings: Settings, headers: dict[str, str], reader: str) -> None:

    view = next(pattern for pattern in urlpatterns if pattern.name == "connect").callback
    given = django_app.upper(settings)
    request = RequestFactory().post(
        "/base44/connect/calendar", "user=somebody-else", "application/x-www-form-urlencoded", headers=headers
    )
    with override_settings(BASE44=given):
        middleware = Base44Middleware(lambda request: view(request, connector="calendar", tenant="acme"))
    if reader != "nothing":
        getattr(request, reader)
    response: Any = middleware(request)
    assert response.status_code == 409


@pytest.fixture
def django_debug() -> Iterator[None]:

    with override_settings(
        DEBUG=True, DEFAULT_EXCEPTION_REPORTER_FILTER="base44_web.django.debug.Base44ReporterFilter",
        BASE44={"SERVICE_TOKEN": SERVICE, "SECRET": SESSION},
    ):  # fmt: skip
        yield


def test_djangos_debug_page(django_debug: None, platform: str, emulator: Emulator) -> None:
    get_default_exception_reporter_filter.cache_clear()
    settings = canary_settings(
        platform, platform_headers="trust", allowed_api_urls=[platform], token_sources=["header", "session"]
    )
    emulator.fault(Fault(status=500), times=None)
    for name in ("django-wsgi-sync", "django-asgi-async"):
        driver = Driver(name, settings)
        headers = [
            ("authorization", f"Bearer {TOKEN}"), ("base44-state", STATE), ("cookie", f"__Host-base44_session={CANARY}"),
            ("base44-service-authorization", f"Bearer {SERVICE}"), ("base44-app-id", "demo-app"),
        ]  # fmt: skip
        page = driver.request("POST", "/escape", [*headers, *encode_call("service", "get_connection", ["slack"], {})])
        assert page.status_code == 500
        assert "ServerError" in page.text
        clean(page.text)
        driver.close()
    get_default_exception_reporter_filter.cache_clear()


def test_djangos_check_of_the_filter(django_debug: None) -> None:
    base = {
        "APP_ID": "a",
        "APP_USER_CONNECTORS": {"calendar": "1"},
        "APP_URL": "https://a.base44.app",
        "SECRET": SESSION,
    }
    middleware = ["tests.apps.django.Middleware"]
    with override_settings(BASE44={**base, "TOKEN_SOURCES": ["header", "session"]}, MIDDLEWARE=middleware):
        assert [message.id for message in run_checks()] == []
        with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER="django.views.debug.SafeExceptionReporterFilter"):
            assert [message.id for message in run_checks()] == ["base44_web.W002"]
    plain = "django.views.debug.SafeExceptionReporterFilter"
    with override_settings(BASE44=base, MIDDLEWARE=middleware, DEFAULT_EXCEPTION_REPORTER_FILTER=plain):
        assert [message.id for message in run_checks()] == []


def test_a_mistake_in_a_template_is_told(settings: Settings, tmp_path: Path) -> None:
    backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [broken(tmp_path)]}
    with override_settings(TEMPLATES=[backend], DEBUG_PROPAGATE_EXCEPTIONS=True):
        driver = Driver("django-wsgi-sync", settings)
        with pytest.raises(TemplateDoesNotExist, match="nowhere"):
            driver.request("GET", "/me", NAVIGATION)
        driver.close()


@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-asgi-async"])
def test_on_refusal_may_give_what_is_rendered_later(settings: Settings, tmp_path: Path, name: str) -> None:
    """Whoever looks at it before Django would render it: the REST framework does. If it fails, ours is given."""
    (tmp_path / "mine.html").write_text("Mine: {{ code }}")
    backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path]}
    with override_settings(TEMPLATES=[backend]):
        for template, expected in (("mine.html", "Mine: sign-in-required"), ("nowhere.html", "sign-in-required")):

            def on_refusal(refusal: Refusal, template: str = template) -> Any:
                return SimpleTemplateResponse(template, {"code": refusal.code}, status=refusal.status)

            driver = Driver(name, settings, on_refusal=on_refusal)
            answer = driver.request("GET", "/me", [])
            driver.close()
            assert answer.status_code == 401
            assert expected in answer.text


def test_where_the_views_are_not_mounted(settings: Settings, headers: dict[str, str]) -> None:
    """`connect_path` says where they are, as in a front end's own router."""
    chain: Any = guarded_chain(settings)
    with override_settings(ROOT_URLCONF="tests.adapters.no_urls"):
        assert "connect_url" not in json.loads(chain(RequestFactory().get("/", headers=headers)).content)
        chain = guarded_chain(changed(settings, connect_path="/elsewhere"))
        problem = json.loads(chain(RequestFactory().get("/", headers=headers)).content)
    assert problem["connect_url"] == "/elsewhere/connect/calendar"


def guarded_chain(settings: Settings) -> Any:
    view = app_user_connected("calendar")(lambda request: HttpResponse())
    with override_settings(BASE44=django_app.upper(settings)):
        return Base44Middleware(view)


def test_a_guarded_view_without_a_request(settings: Settings) -> None:
    class Site:
        @app_user_required
        def index(self, other: Any, request: Any) -> None: ...

    with pytest.raises(TypeError, match="method_decorator"):
        Site().index(1, RequestFactory().get("/"))


def test_without_a_template_engine(settings: Settings) -> None:
    with override_settings(TEMPLATES=[]):
        driver = Driver("django-wsgi-sync", settings)
        assert "Please sign in" in driver.request("GET", "/me", NAVIGATION).text
        driver.close()


def test_without_a_secret_key(settings: Settings) -> None:
    """No session needs it."""
    given = {**django_app.upper(settings), "SECRET": None}
    with override_settings(BASE44={name: value for name, value in given.items() if value is not None}, SECRET_KEY=""):
        loaded = load_settings()
    assert isinstance(loaded, Settings)
    assert loaded.secret == ()


def test_a_guard_on_an_event_loop(settings: Settings, headers: dict[str, str]) -> None:
    """A plain view that something calls on the loop of an ASGI request gives something to await."""

    async def main() -> Any:
        request = AsyncRequestFactory().get("/", headers=headers)
        with override_settings(BASE44=django_app.upper(settings)):
            middleware = Base44Middleware(
                lambda request: app_user_required(lambda request: HttpResponse("in"))(request)
            )
        return await middleware(request)  # type: ignore[misc]

    assert asyncio.run(main()).content == b"in"


def signs(settings: Settings, platform: str, tmp_path: Path) -> Settings:
    return changed(settings, **signed_fields(platform, tmp_path))


def looks_signed() -> dict[str, str]:
    """What passes the look at the headers alone, so that the body is read."""
    return {"base44-relay-signature": f"v=1;k=k1;t={int(time.time())};n={'n' * 22};s={'0' * 64}"}


def test_a_signed_body_that_something_has_read(settings: Settings, platform: str, tmp_path: Path) -> None:
    with override_settings(BASE44=django_app.upper(signs(settings, platform, tmp_path))):
        middleware = Base44Middleware(lambda request: HttpResponse())
    request = RequestFactory().post("/", b"body", "text/plain", headers=looks_signed())
    request.read()
    with pytest.raises(ConfigurationError, match="put ours first"):
        middleware(request)


@pytest.mark.parametrize("length", ["x", str(10**9), None])
def test_a_signed_body_that_djangos_limit_refuses(
    settings: Settings, platform: str, tmp_path: Path, length: str | None
) -> None:
    with override_settings(BASE44=django_app.upper(signs(settings, platform, tmp_path))):
        middleware = Base44Middleware(lambda request: HttpResponse())
    request = RequestFactory().post("/", b"b" * 100, "text/plain", headers=looks_signed())
    if length is not None:
        request.META["CONTENT_LENGTH"] = length
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        response: Any = middleware(request)
    assert response.status_code == 413


# --- caches


CACHE = ("django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware")
OURS = "base44_web.django.Base44Middleware"
ORDERS = {
    "no site cache": (OURS,),
    "inside": (*CACHE, OURS),
    "between": (CACHE[0], OURS, CACHE[1]),
    "outside": (OURS, *CACHE),
}


@contextmanager
def project(settings: Settings, *patterns: Any, middleware: Sequence[str] = (OURS,), **more: Any) -> Iterator[Client]:
    """A project with these views, and a client of it."""
    urlconf = types.ModuleType("urlconf")
    urlconf.urlpatterns = [*patterns, path("base44/", include("base44_web.django.urls"))]  # type: ignore[attr-defined]
    backend = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(id(urlconf))}
    given = {"MIDDLEWARE": list(middleware), "CACHES": {"default": backend}, **more}
    with override_settings(BASE44=django_app.upper(settings), ROOT_URLCONF=urlconf, **given):
        yield Client(raise_request_exception=False)


# Views are made anew where they are used: one that is guarded somewhere is routed bare nowhere.
def says_who() -> Any:
    def view(request: Any) -> HttpResponse:
        user = request.base44.user()
        return HttpResponse("nobody" if user is None else user.email)

    return view


def says_who_awaiting() -> Any:
    async def view(request: Any) -> HttpResponse:
        user = await request.base44.aio.user()
        return HttpResponse("nobody" if user is None else user.email)

    return view


def says(text: str) -> Any:
    return lambda request: HttpResponse(text)


@pytest.mark.parametrize("order", list(ORDERS))
def test_no_cache_gives_a_page_to_somebody_else(settings: Settings, emulator: Emulator, order: str) -> None:
    for source in ("header", "cookie", "session"):
        looked_at(settings, emulator, order, source)


def looked_at(settings: Settings, emulator: Emulator, order: str, source: str) -> None:
    sources = ["header"] if source == "header" else ["header", source]
    views = {
        "plain": says_who(),
        "plain-awaiting": says_who_awaiting(),
        "guarded": app_user_required(says_who()),
        "cached-plain": cache_page(60)(says_who()),
        "cached-above": cache_page(60)(app_user_required(says_who())),
        "cached-below": app_user_required(cache_page(60)(says_who())),
        "members": app_user_required(says("for members")),
        "members-cached-above": cache_page(60)(app_user_required(says("for members"))),
    }
    patterns = [path(name, view) for name, view in views.items()]
    with project(
        changed(settings, token_sources=sources, secret="s" * 40), *patterns, middleware=ORDERS[order]
    ) as client:

        def headers(email: str) -> dict[str, str]:
            token = emulator.sign_in(emulator.add_user(email))
            match source:
                case "header":
                    return {"authorization": f"Bearer {token}"}
                case "cookie":
                    return {"cookie": f"base44_access_token={token}"}
            begun = client.post("/base44/session", f"token={token}", FORM[1], headers={"sec-fetch-site": "same-origin"})
            client.cookies.clear()
            return {"cookie": begun.headers["set-cookie"].partition(";")[0]}

        ada, grace = headers("ada@test.example"), headers("grace@test.example")
        for name in views:
            guarded = not name.endswith("plain") and name != "plain-awaiting"
            for who, email in (({}, None), (ada, "ada@test.example"), (grace, "grace@test.example"), ({}, None)):
                answer = client.get(f"/{name}", headers=who)
                assert answer.status_code == (401 if guarded and email is None else 200), (name, email)
                if answer.status_code == 200:
                    expected = "for members" if "members" in name else email or "nobody"
                    assert answer.content.decode() == expected, name
                    assert {"Authorization", "Cookie"} <= set(re.split(", *", answer.headers["vary"]))
                    assert "private" in answer.headers["cache-control"]


# --- guards that are left out; what belongs to others


def test_a_guard_above_its_route_in_ninja(settings: Settings, adas: Headers) -> None:
    ninja = pytest.importorskip("ninja")
    for above, typo in ((True, False), (False, False), (False, True)):
        api = ninja.NinjaAPI(urls_namespace=f"api-{above}-{typo}")
        router = ninja.Router()

        def view(request: Any) -> str:
            return "in"

        guard = app_user_connected("calender") if typo else app_user_required
        if above:
            guard(router.get("/x")(view))
        else:
            router.get("/x")(guard(view))
        api.add_router("/inner", router)
        with project(settings, path("api/", api.urls)) as client:
            ids = [message.id for message in run_checks() if str(message.id).startswith("base44")]
            assert ids == (["base44_web.E001"] if above or typo else [])
            for _ in range(2):
                answer = client.get("/api/inner/x", headers=dict(adas))
                assert answer.status_code == (503 if above or typo else 200)
                assert (answer.content.strip(b'"') == b"in") is (not above and not typo)
            assert client.get("/api/inner/x").status_code == (503 if above or typo else 401)


@pytest.mark.parametrize("wrapped", ["bare", "by functools.partial", "a class-based view", "csrf_exempt"])
def test_a_guard_that_is_left_out(settings: Settings, adas: Headers, wrapped: str) -> None:
    class Site(View):
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse("OPEN")

    def view(request: Any) -> HttpResponse:
        return HttpResponse("OPEN")

    routed: Any = {
        "bare": view,
        "by functools.partial": functools.partial(view),
        "a class-based view": Site.as_view(),
        "csrf_exempt": csrf_exempt(view),
    }[wrapped]
    app_user_required(routed if wrapped in ("a class-based view", "csrf_exempt") else view)
    with project(settings, path("x", routed)) as client:
        assert "base44_web.E001" in [message.id for message in run_checks()]
        answer = client.get("/x", headers=dict(adas))
        assert (answer.status_code, b"OPEN" in answer.content) == (503, False)


def test_login_required_middleware_leaves_guarded_views_alone(
    settings: Settings, emulator: Emulator, adas: Headers
) -> None:
    """Its users are Django's, and ours are not. In a process of its own: here `django.contrib.auth` is not installed."""
    program = (
        "import json, sys\n"
        "import django\n"
        "from django.conf import settings\n"
        "auth = ['django.contrib.contenttypes', 'django.contrib.auth', 'base44_web.django']\n"
        "layers = ['django.contrib.sessions.middleware.SessionMiddleware',\n"
        "          'django.contrib.auth.middleware.AuthenticationMiddleware',\n"
        "          'django.contrib.auth.middleware.LoginRequiredMiddleware', 'base44_web.django.Base44Middleware']\n"
        "settings.configure(SECRET_KEY='k' * 50, ALLOWED_HOSTS=['*'], ROOT_URLCONF='__main__', INSTALLED_APPS=auth,\n"
        "    MIDDLEWARE=layers, BASE44=json.loads(sys.argv[1]), LOGIN_URL='/in', DATABASES={},\n"
        "    SESSION_ENGINE='django.contrib.sessions.backends.signed_cookies')\n"
        "django.setup()\n"
        "from django.http import HttpResponse\n"
        "from django.test import Client\n"
        "from django.urls import include, path\n"
        "from base44_web.django import app_user_required\n"
        "def other(request): return HttpResponse('other')\n"
        "@app_user_required\n"
        "def me(request): return HttpResponse('me')\n"
        "@app_user_required\n"
        "async def awaiting(request): return HttpResponse('me')\n"
        "urlpatterns = [path('base44/', include('base44_web.django.urls')), path('other', other), path('me', me),\n"
        "    path('awaiting', awaiting)]\n"
        "for line in sys.argv[3:]:\n"
        "    print(Client().get(line, headers={'Authorization': sys.argv[2]}).status_code, Client().get(line).status_code)\n"
    )
    given = {
        "APP_ID": settings.app_id, "SERVER_URL": settings.server_url, "SERVICE_TOKEN": emulator.service_token,
        "APP_USER_CONNECTORS": {"calendar": CALENDAR_ID},
    }  # fmt: skip
    paths = ["/other", "/me", "/awaiting", "/base44/status/calendar", "/base44/connect.js"]
    assert said_by(program, json.dumps(given), adas[0][1], *paths) == [
        "302", "302", "200", "401", "200", "401", "200", "401", "200", "200",
    ]  # fmt: skip


def said_by(program: str, *arguments: str, **environment: str) -> list[str]:
    """What a program in a process of its own says, in words."""
    command = [sys.executable, "-c", program, *arguments]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_our_views_with_a_slash_at_their_end(settings: Settings, adas: Headers) -> None:
    """As other views of a project have one, and `APPEND_SLASH` lets people expect it."""
    with project(settings, middleware=(OURS, "django.middleware.common.CommonMiddleware")) as client:
        for view in ("status/calendar", "status/calendar/", "connect/calendar/"):
            assert client.get(f"/base44/{view}", headers=dict(adas)).status_code == 200, view
        assert client.post("/base44/connect/calendar/", headers=dict(adas)).status_code != 404


def test_commands_of_a_project_without_views() -> None:
    given = {"APP_ID": "a"}
    with override_settings(BASE44=given, MIDDLEWARE=[OURS]):
        from django.conf import settings as current

        del current.ROOT_URLCONF
        assert check_settings(None) == []


def test_an_error_about_the_visitor_in_a_middleware_of_the_projects_own(settings: Settings, emulator: Emulator) -> None:
    def load(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            request.user = request.base44.user()
            return get_response(request)

        return middleware

    def load_in_a_group(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            try:
                request.base44.user()
            except AuthenticationError as error:
                raise ExceptionGroup("", [ExceptionGroup("", [error])]) from None
            return get_response(request)

        return middleware

    def mine(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            raise KeyError("mine")

        return middleware

    module = types.ModuleType("tests.adapters.loading")
    module.__dict__.update(load=load, load_in_a_group=load_in_a_group, mine=mine)
    sys.modules[module.__name__] = module
    old = dict(signed_in(emulator, lifetime=-3600))
    for name, status in (("load", 401), ("load_in_a_group", 401), ("mine", 500)):
        with project(settings, path("x", says("other")), middleware=(OURS, f"tests.adapters.loading.{name}")) as client:
            answer = client.get("/x", headers=old)
            assert answer.status_code == status, name
            assert client.get("/x", headers=old | NAVIGATE).status_code == status
    del sys.modules[module.__name__]


def test_a_ninja_api_with_debug_on(settings: Settings, emulator: Emulator) -> None:
    """It makes a page of every error itself."""
    ninja = pytest.importorskip("ninja")
    api = ninja.NinjaAPI(urls_namespace="debug")

    @api.get("/x")
    def view(request: Any) -> str:
        return str(request.base44.user())

    @api.get("/mine")
    def mine(request: Any) -> str:
        raise KeyError("mine")

    with project(settings, path("api/", api.urls), DEBUG=True) as client:
        old = dict(signed_in(emulator, lifetime=-3600))
        assert client.get("/api/x", headers=old).status_code == 401
        assert client.get("/api/mine", headers=old).status_code == 500


# --- error pages


@pytest.mark.parametrize("name", ["base44_access_token", "__Host-jwt", "sid"])
def test_no_error_page_shows_the_tokens_cookie(name: str) -> None:
    def view(request: Any) -> HttpResponse:
        raise KeyError("mine")

    settings = Settings(
        app_id="a", token_sources=["header", "cookie"], cookie_name=name, app_user_connectors={"calendar": "1"},
    )  # fmt: skip
    variables = {
        "BASE44_REPLAY_STORE": f"redis://:{CANARY}@h/0", "BASE44_RELAY_KEYS": f"k={CANARY}{'k' * 30}",
        "BASE44_VERIFICATION_KEY": f"{CANARY}{'k' * 30}",
    }  # fmt: skip
    given = {"DEBUG": True, "DEFAULT_EXCEPTION_REPORTER_FILTER": "base44_web.django.debug.Base44ReporterFilter"}
    raw = {
        **django_app.upper(settings), "SERVICE_TOKEN": SERVICE, "SECRET": SESSION, "REPLAY_STORE": f"redis://:{CANARY}@h/0",
        "RELAY_KEYS": {"k": f"{CANARY}{'k' * 30}"}, "VERIFICATION_KEY": f"{CANARY}{'k' * 30}",
    }  # fmt: skip
    get_default_exception_reporter_filter.cache_clear()
    with project(settings, path("x", view), **given, **variables) as client, override_settings(BASE44=raw):
        assert "base44_web.W002" not in [message.id for message in run_checks()]
        for accept in ("text/html", "text/plain"):
            cookie = {"cookie": f"{name}=eyJ.a.{CANARY}; __Host-base44_session={CANARY}", "accept": accept}
            answer = client.get("/x", headers=cookie, **dict(variables))  # as `runserver` has the environment in META
            assert answer.status_code == 500
            assert "KeyError" in answer.content.decode()
            clean(answer.content.decode())
        with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER="django.views.debug.SafeExceptionReporterFilter"):
            assert "base44_web.W002" in [message.id for message in run_checks()]
    get_default_exception_reporter_filter.cache_clear()


# --- where the request comes from


def test_the_host_that_django_believes_in(settings: Settings, emulator: Emulator) -> None:
    """A post with a cookie, its proof an `Origin`, behind a proxy that rewrites `Host`."""
    with_cookie = changed(settings, token_sources=["header", "cookie"])
    cookie = {"cookie": f"base44_access_token={emulator.sign_in(emulator.add_user('ada@test.example'))}"}
    came = cookie | {"host": "inner:8000", "x-forwarded-host": "site.example", "origin": "https://site.example"}
    for believes, status in ((True, 200), (False, 403)):
        with project(with_cookie, path("x", csrf_exempt(says_who())), USE_X_FORWARDED_HOST=believes) as client:
            assert client.post("/x", headers=came).status_code == status
    with project(changed(with_cookie, public_url="https://site.example"), path("x", csrf_exempt(says_who()))) as client:
        assert client.post("/x", headers=came).status_code == 200
        assert client.post("/x", headers=came | {"origin": "http://site.example"}).status_code == 403
        assert client.post("/x", headers=came | {"origin": "https://inner:8000"}).status_code == 403


# --- others' event loops, and requests that outlive their middleware


def test_a_plain_view_on_a_thread_that_has_a_loop(settings: Settings, adas: Headers) -> None:
    """As under gevent, in notebooks and in Playwright's tests: under WSGI it stays a plain view."""

    async def main() -> Any:
        return client.get("/x", headers=dict(adas))

    with project(settings, path("x", app_user_required(says_who()))) as client:
        assert asyncio.run(main()).content == b"ada@test.example"


def test_a_request_outlives_the_middleware(settings: Settings, adas: Headers) -> None:
    """In a test that makes its requests with `RequestFactory`."""
    request = RequestFactory().get("/", headers=dict(adas))
    with override_settings(BASE44=django_app.upper(settings)):
        Base44Middleware(lambda request: HttpResponse())(request)
    gc.collect()
    assert says_who()(request).content == b"ada@test.example"


def test_plain_views_under_gevent(settings: Settings, adas: Headers) -> None:
    pytest.importorskip("gevent")
    environment = {
        "BASE44_APP_ID": settings.app_id or "", "BASE44_SERVER_URL": settings.server_url, "TEST_DRIVER": "django-wsgi-sync",
        "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
    }  # fmt: skip
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import sys, threading, httpx2\n"
        "from gevent.pywsgi import WSGIServer\n"
        "from tests.apps.served import app\n"
        "server = WSGIServer(('127.0.0.1', 0), app, log=None); server.start()\n"
        "for path in ('sync', 'async'):\n"
        "    answer = httpx2.get(f'http://127.0.0.1:{server.server_port}/{path}/me', headers={'Authorization': sys.argv[1]}, timeout=60)\n"
        "    print(path, answer.status_code)\n"
    )
    assert said_by(program, adas[0][1], **environment) == ["sync", "200", "async", "200"]


def test_a_guard_that_asks_the_platform_each_time(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    user = emulator.add_user("ada@test.example")

    def make(fresh: bool) -> Any:
        def view(request: Any) -> HttpResponse:
            return HttpResponse(request.base44.connection("calendar").access_token)

        return app_user_connected("calendar", fresh=fresh)(view)

    patterns = [path(str(fresh), make(fresh)) for fresh in (True, False)]
    with project(changed(settings, connection_ttl=30), *patterns, middleware=ORDERS["no site cache"]) as client:

        def token(where: str) -> str:
            return client.get(f"/{where}", headers=dict(adas)).text

        old = emulator.connect(user, CALENDAR_ID)
        assert token("False") == old
        new = emulator.connect(user, CALENDAR_ID)
        assert token("False") == old
        assert token("True") == new
