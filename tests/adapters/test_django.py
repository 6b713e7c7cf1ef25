"""What is Django's own: checks, load errors, the order of middleware, templates, the REST framework."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import (
    AppUser,
    AuthenticationError,
    Base44,
    ConfigurationError,
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
    NAVIGATION,
    Headers,
    check_problem,
)
from tests.drivers import Driver, changed, environment
from tests.relayed import signed_fields

pytest.importorskip("django")
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.template import TemplateDoesNotExist
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import set_script_prefix
from django.utils.decorators import method_decorator
from django.views.debug import get_default_exception_reporter_filter

from base44_web.django import Base44Middleware, app_user_connected, app_user_required, get_base44
from base44_web.django.middleware import load_settings
from base44_web.django.urls import urlpatterns
from tests.apps import django as django_app


def checks(**settings: Any) -> list[str]:
    with override_settings(**settings):
        return [message.id for message in run_checks() if str(message.id).startswith("base44")]


def test_django_checks() -> None:
    path = "base44_web.django.Base44Middleware"
    good = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "69e6"}}
    assert checks(BASE44=good, MIDDLEWARE=[path]) == []
    assert checks(BASE44=good, MIDDLEWARE=["tests.apps.django.Middleware"]) == []
    assert checks(BASE44=good, MIDDLEWARE=[]) == ["base44_web.W001"]
    for wrong in ({}, {"app_id": "a"}, {"APP_ID": "a", "TIMEOUT": "x"}, {"APP_ID": "a", "APPID": "b"}, "a", None):
        assert checks(BASE44=wrong, MIDDLEWARE=[path]) == ["base44_web.E001"]
    with environment(BASE44_APP_ID="a"):
        assert checks(BASE44={"APP_USER_CONNECTORS": {"calendar": "69e6"}}, MIDDLEWARE=[path]) == []


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
        with override_settings(BASE44={"APP_ID": "a", "APP_USER_CONNECTORS": names}):
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
    base = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "1"}, "SECRET": SESSION}
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
