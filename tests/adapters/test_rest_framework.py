"""The Django REST framework: the guards' table, and what is its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import types
from typing import Any

import pytest

from base44_web import AppUser, ConnectorID, Settings
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.adapters.common import NAVIGATE
from tests.canaries import clean
from tests.checks import Headers, calls, signed_in
from tests.drivers import changed

pytest.importorskip("django")
from tests.adapters.table import check_table  # sets Django up: the framework looks at settings as it is imported

pytest.importorskip("rest_framework")
from django.core.checks import run_checks
from django.http import JsonResponse
from django.test import override_settings
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny, BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView, exception_handler
from rest_framework.viewsets import ViewSet

from base44_web.django.rest_framework import (
    AppUserAuthentication,
    AppUserConnected,
    AppUserRefused,
    AppUserRequired,
    RequestUser,
)
from tests.adapters.test_django import OURS, project

NOBODY = {"UNAUTHENTICATED_USER": None}
URLS = {"ROOT_URLCONF": "tests.apps.rest_framework", "REST_FRAMEWORK": NOBODY}


@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-asgi-async"])
def test_the_guards_table(name: str, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture) -> None:
    check_table(name, subtests, caplog, **URLS)


def view_of(*permissions: Any, answer: Any = None, **attributes: Any) -> Any:
    """A view with these permissions, which says who asks, or what `answer` says."""

    def get(self: Any, request: Any) -> Response:
        return Response(getattr(request.user, "email", "nobody") if answer is None else answer(request))

    usual = {
        "authentication_classes": [AppUserAuthentication],
        "permission_classes": permissions,
        "get": get,
        "post": get,
    }
    return type("Site", (APIView,), {**usual, **attributes}).as_view()


class Yes(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return True


class No(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return False


CALENDAR = AppUserConnected("calendar")
# What is composed; what is answered to nobody, to who has connected nothing, to who has, and where the platform fails.
COMPOSED: dict[str, tuple[Any, list[int]]] = {
    "AppUserRequired": (AppUserRequired, [401, 200, 200, 503]),
    "AppUserRequired()": (AppUserRequired(), [401, 200, 200, 503]),
    "connected": (CALENDAR, [401, 403, 200, 503]),
    "connected, by its ID": (AppUserConnected(ConnectorID(CALENDAR_ID)), [401, 403, 200, 503]),
    "required and connected": (AppUserRequired & CALENDAR, [401, 403, 200, 503]),
    "connected and yes": (CALENDAR & Yes, [401, 403, 200, 503]),
    "yes and connected": (Yes & CALENDAR, [401, 403, 200, 503]),
    "connected or yes": (CALENDAR | Yes, [200, 200, 200, 503]),
    "yes or connected": (Yes | CALENDAR, [200, 200, 200, 200]),
    "connected or no": (CALENDAR | No, [401, 403, 200, 503]),
    "no or connected": (No | CALENDAR, [401, 403, 200, 503]),
    "both or yes": ((CALENDAR & Yes) | Yes, [200, 200, 200, 503]),
    "not connected": (~CALENDAR, [200, 200, 403, 503]),
    "not required": (~AppUserRequired, [200, 403, 403, 503]),
    "authenticated": (IsAuthenticated, [401, 200, 200, 503]),
    "Django's admins": (IsAdminUser, [401, 403, 403, 503]),
}


def test_compositions(settings: Settings, emulator: Emulator, subtests: pytest.Subtests) -> None:
    bare: dict[str, Any] = {"authentication_classes": []}
    for number, (name, (permission, expected)) in enumerate(COMPOSED.items()):
        of_ours = permission not in (IsAuthenticated, IsAdminUser)
        for authenticated in (False, True) if of_ours else (True,):
            view = view_of(permission, **({} if authenticated else bare))
            with (
                subtests.test(f"{name}, {authenticated}"),
                project(settings, path("x", view), REST_FRAMEWORK=NOBODY) as client,
            ):
                headers = dict(signed_in(emulator, f"user{number}{authenticated}@test.example"))
                found = [client.get("/x"), client.get("/x", headers=headers)]
                emulator.connect(emulator.add_user(f"user{number}{authenticated}@test.example"), CALENDAR_ID)
                found.append(client.get("/x", headers=headers))
                emulator.fault(Fault(status=500), times=None)
                failing = signed_in(emulator, f"another{number}{authenticated}@test.example")
                found.append(client.get("/x", headers=dict(failing)))
                emulator.clear_faults()
                # Whom the view does not authenticate it does not refuse either where nobody asks.
                assert [answer.status_code for answer in found] == (
                    [*expected[:3], 503] if authenticated else expected
                ), name


def test_an_answer_of_the_views_own_is_not_taken_for_a_guards(settings: Settings) -> None:
    def refuses(request: Any) -> None:
        raise PermissionDenied("mine")

    with project(settings, path("x", view_of(CALENDAR | Yes, answer=refuses)), REST_FRAMEWORK=NOBODY) as client:
        assert (client.get("/x").status_code, client.get("/x").json()) == (403, {"detail": "mine"})


# --- authentication


class ByKey(BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        return ("a machine", None) if request.headers.get("Authorization") == "Key k" else None


def test_who_is_authenticated(settings: Settings, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    def who(request: Any) -> list[str]:
        return [str(request.user), repr(request.auth), type(request.user).__name__]

    both = view_of(AllowAny, answer=who, authentication_classes=[AppUserAuthentication, ByKey])
    given = changed(settings, token_sources=["header", "cookie"])
    with project(given, path("x", both), path("guarded", view_of(AppUserRequired)), REST_FRAMEWORK=NOBODY) as client:

        def ask(method: str = "get", **headers: str) -> Any:
            return getattr(client, method)("/x", headers=headers)

        assert ask().json() == ["None", "None", "NoneType"]
        assert ask(**dict(adas)).json() == [ada.email, "<Secret>", "RequestUser"]
        assert ask(authorization="Key k").json()[0] == "a machine"
        assert ask(authorization="Key other").json()[0] == "None"
        # A token that is refused is told so in an open view, too; and another scheme is no reason to take the cookie.
        assert ask(authorization="Bearer a.b.c").status_code == 401
        cookie = f"base44_access_token={emulator.sign_in(ada)}"
        assert ask(cookie=cookie).json()[0] == ada.email
        assert ask(cookie=cookie, authorization="Key other").json()[0] == "None"
        assert client.get("/guarded", headers={"cookie": cookie, "authorization": "Key k"}).status_code == 401
        # A post with a cookie needs proof of same origin, whatever the permissions are.
        assert ask("post", cookie=cookie).status_code == 403
        assert ask("post", cookie=cookie).json()["type"] == "urn:base44-web:cross-origin-cookie"
        assert ask("post", **{"cookie": cookie, "sec-fetch-site": "same-origin"}).json()[0] == ada.email
        emulator.fault(Fault(status=500), times=None)
        assert ask(**dict(signed_in(emulator, "grace@test.example"))).status_code == 503


class DjangosUser:
    """Somebody who is signed in to Django itself."""

    email, is_active, is_authenticated, pk = "root@test.example", True, True, 1


def signs_in(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        request.user = DjangosUser() if "sessionid" in request.COOKIES else None
        return get_response(request)

    return middleware


def test_beside_the_frameworks_sessions(settings: Settings, ada: AppUser, adas: Headers) -> None:
    classes = [SessionAuthentication, AppUserAuthentication]
    patterns = [
        path("any", view_of(IsAuthenticated, authentication_classes=classes)),
        path("ours", view_of(AppUserRequired, authentication_classes=classes)),
    ]
    order = ("tests.adapters.test_rest_framework.signs_in", OURS)
    with project(settings, *patterns, middleware=order, REST_FRAMEWORK=NOBODY) as client:
        session = {"cookie": "sessionid=s"}
        assert client.get("/any", headers=dict(adas)).json() == ada.email
        assert client.get("/any", headers=session).json() == "root@test.example"
        assert client.get("/ours", headers=session).status_code == 401
        # The framework's own classes ask for 403 where a session is the first way in; the guard's answer stays a 401.
        assert client.get("/any").status_code == 403
        assert client.get("/ours").status_code == 401
        assert client.post("/any", headers=dict(adas)).json() == ada.email
        client.handler.enforce_csrf_checks = True
        assert client.post("/any", headers=session).status_code == 403
        assert client.post("/any", headers=dict(adas)).json() == ada.email


def test_the_user_of_a_request(ada: AppUser) -> None:
    user = RequestUser.of(ada)
    assert user == ada
    assert hash(user) == hash(ada)
    assert user in {ada}
    assert (user.pk, str(user), user.get_username()) == (ada.id, ada.email, ada.email)
    assert (user.is_authenticated, user.is_active, user.is_anonymous) == (True, True, False)
    again = pickle.loads(pickle.dumps(user))
    assert (again, type(again), again.raw) == (user, RequestUser, ada.raw)
    admin = AppUser(
        "1", None, None, "admin", is_verified=True, app_id="a", raw={"is_staff": True, "is_superuser": True}
    )
    user = RequestUser.of(admin)
    assert str(user) == "1"
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert not any((user.has_perm("a.b"), user.has_perms(["a.b"]), user.has_module_perms("a")))
    with pytest.raises(AttributeError):
        user.is_staff = True  # type: ignore[misc]


def test_the_framework_counts_a_users_requests(settings: Settings, adas: Headers, emulator: Emulator) -> None:
    class Once(UserRateThrottle):
        rate = "1/day"

    with project(
        settings, path("x", view_of(AppUserRequired, throttle_classes=[Once])), REST_FRAMEWORK=NOBODY
    ) as client:
        graces = signed_in(emulator, "grace@test.example")
        found = [client.get("/x", headers=dict(headers)).status_code for headers in (adas, adas, graces)]
    assert found == [200, 429, 200]


# --- exception handlers of the project's own


def adds(exc: Exception, context: Any) -> Any:
    """The example of the framework's documentation."""
    response = exception_handler(exc, context)
    if response is not None:
        response.data["status_code"] = response.status_code
    return response


def delegates(exc: Exception, context: Any) -> Any:
    return exception_handler(exc, context)


def reformats(exc: Exception, context: Any) -> Any:
    if isinstance(exc, AppUserRefused):
        return Response({"error": exc.detail.code, "at": exc.problem.get("connect_url")}, status=418)
    return JsonResponse({"error": type(exc).__name__}, status=500)


def answers_itself(exc: Exception, context: Any) -> Any:
    return JsonResponse({"mine": getattr(exc, "status_code", None)}, status=400)


def shrugs(exc: Exception, context: Any) -> None:
    return None


HANDLERS: dict[Any, tuple[int, dict[str, Any]]] = {
    delegates: (403, {"type": "urn:base44-web:not-connected", "connect_url": "/base44/connect/calendar"}),
    adds: (403, {"status_code": 403}),
    reformats: (418, {"error": "not-connected", "at": "/base44/connect/calendar"}),
    answers_itself: (400, {"mine": 403}),
    shrugs: (403, {"type": "urn:base44-web:not-connected"}),
}


def test_exception_handlers(settings: Settings, adas: Headers, subtests: pytest.Subtests) -> None:
    for handler, (status, members) in HANDLERS.items():
        given = {**NOBODY, "EXCEPTION_HANDLER": f"tests.adapters.test_rest_framework.{handler.__name__}"}
        with (
            subtests.test(handler.__name__),
            project(settings, path("x", view_of(CALENDAR)), REST_FRAMEWORK=given) as client,
        ):
            answer = client.get("/x", headers=dict(adas))
            assert answer.status_code == status
            assert answer.json().items() >= members.items()
            if handler is adds:
                assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
                    "application/json",
                    "no-store",
                )
                assert client.get("/x").headers["www-authenticate"] == "Bearer"
            page = client.get("/x", headers=dict(adas) | NAVIGATE)
            assert page.status_code == (400 if handler is answers_itself else 303)
            assert client.get("/x", headers={"authorization": "Bearer a.b.c"}).status_code in (status, 401)


def test_a_handler_gets_the_error_that_a_view_lets_escape(settings: Settings, emulator: Emulator) -> None:
    def escapes(request: Any) -> Any:
        return request.base44.as_service_role.connectors.get_current_app_user_connection("calendar")

    headers = dict(signed_in(emulator))
    for handler, status in ((delegates, 403), (reformats, 500), (shrugs, 403)):
        given = {**NOBODY, "EXCEPTION_HANDLER": f"tests.adapters.test_rest_framework.{handler.__name__}"}
        for debug in (False, True):
            view = view_of(AllowAny, answer=escapes)
            with project(settings, path("x", view), REST_FRAMEWORK=given, DEBUG=debug) as client:
                assert client.get("/x", headers=headers).status_code == status


# --- methods, the browsable API, metadata


def test_options_and_head(settings: Settings, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    with project(settings, path("x", view_of(CALENDAR)), REST_FRAMEWORK=NOBODY) as client:
        preflight = {"origin": "https://elsewhere.example", "access-control-request-method": "GET"}
        for headers, status in (({}, 401), (preflight, 401), (dict(adas), 403)):
            for answer in (client.options("/x", headers=headers), client.head("/x", headers=headers)):
                assert answer.status_code == status
                assert b"renders" not in answer.content
                assert "access-control-allow-origin" not in answer.headers
        emulator.connect(ada, CALENDAR_ID)
        assert client.options("/x", headers=dict(adas)).json()["name"] == "Site"
        assert client.head("/x", headers=dict(adas)).status_code == 200


WITH_PAGES = {
    "INSTALLED_APPS": ["rest_framework", "base44_web.django"],
    "REST_FRAMEWORK": NOBODY,
    "STATIC_URL": "/static/",
    "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
}


def test_the_browsable_api(settings: Settings, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    renderers = [JSONRenderer, BrowsableAPIRenderer]
    fresh = AppUserConnected("calendar", fresh=True)
    view = view_of(fresh, renderer_classes=renderers)
    with project(settings, path("x", view), **WITH_PAGES) as client:
        refused = client.get("/x", headers=NAVIGATE)
        assert (refused.status_code, b"Please sign in" in refused.content) == (401, True)
        assert client.get("/x", headers=dict(adas) | NAVIGATE).headers["location"] == "/base44/connect/calendar?next=/x"
        emulator.connect(ada, CALENDAR_ID)
        emulator.requests.clear()
        page = client.get("/x", headers=dict(adas) | NAVIGATE)
        assert (page.status_code, b"Django REST framework" in page.content) == (200, True)
        assert ada.email.encode() in page.content
        # The page asks for each method whether it would be permitted; the platform is asked once.
        assert calls(emulator, "/token") == 1


# --- caches


def test_no_cache_gives_an_answer_to_somebody_else(settings: Settings, emulator: Emulator) -> None:
    def cached(of: Any) -> Any:
        return {"get": method_decorator(cache_page(60))(of)}

    def get(self: Any, request: Any) -> Response:
        return Response(getattr(request.base44.user(), "email", "nobody"))

    patterns = {
        "around": cache_page(60)(view_of(AppUserRequired)),
        "method": view_of(AppUserRequired, **cached(get)),
        "open": view_of(AllowAny, authentication_classes=[], **cached(get)),
    }
    given = changed(settings, token_sources=["header", "cookie"])
    with project(given, *(path(name, view) for name, view in patterns.items()), REST_FRAMEWORK=NOBODY) as client:
        for name in patterns:
            for email in ("ada@test.example", "grace@test.example", "ada@test.example"):
                token = emulator.sign_in(emulator.add_user(email))
                # Newer versions of Django tell headers apart by themselves.
                for headers in ({"authorization": f"Bearer {token}"}, {"cookie": f"base44_access_token={token}"}):
                    assert client.get(f"/{name}", headers=headers).json() == email
            assert client.get(f"/{name}").status_code == (200 if name == "open" else 401)
            assert b"@" not in client.get(f"/{name}").content


def test_what_depends_on_nobody_is_still_cached(settings: Settings) -> None:
    asked: list[int] = []

    def get(self: Any, request: Any) -> Response:
        asked.append(1)
        return Response("same for all")

    view = view_of(AllowAny, authentication_classes=[], get=method_decorator(cache_page(60))(get))
    with project(settings, path("x", view), REST_FRAMEWORK=NOBODY) as client:
        assert [client.get("/x").json() for _ in range(2)] == ["same for all"] * 2
    assert asked == [1]


# --- the start


class Sets(ViewSet):
    authentication_classes = (AppUserAuthentication,)
    permission_classes = (AppUserRequired,)

    @action(detail=False, permission_classes=[AppUserRequired & AppUserConnected("mial")])
    def mail(self, request: Any) -> Response:
        return Response("in")

    @action(detail=False)
    def me(self, request: Any) -> Response:
        return Response(request.user.email)


def test_the_checks_at_the_start(settings: Settings, adas: Headers, subtests: pytest.Subtests) -> None:
    router = SimpleRouter()
    router.register("sets", Sets, basename="sets")
    wrong = AppUserConnected("calender")
    cases: dict[str, tuple[Any, bool]] = {
        "right": (path("x", view_of(CALENDAR | Yes)), True),
        "wrong": (path("x", view_of(wrong)), False),
        "wrong within": (path("x", view_of(Yes | (AppUserRequired & wrong))), False),
        "wrong below a cache": (path("x", cache_page(60)(view_of(wrong))), False),
        "wrong in a view set": (path("", include(router.urls)), False),
    }
    for name, (pattern, right) in cases.items():
        with subtests.test(name), project(settings, pattern, REST_FRAMEWORK=NOBODY) as client:
            found = [message.id for message in run_checks() if str(message.id).startswith("base44")]
            assert found == ([] if right else ["base44_web.E001"])
            if "view set" in name:
                assert client.get("/sets/me/", headers=dict(adas)).json() == "ada@test.example"
                assert client.get("/sets/mail/", headers=dict(adas)).status_code == 503
            elif not right:
                assert client.get("/x", headers=dict(adas)).status_code == (200 if "within" in name else 503)


def test_views_that_are_not_mounted_are_warned_of(
    settings: Settings, adas: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    bare = types.ModuleType("bare")
    bare.urlpatterns = [path("x", view_of(CALENDAR))]  # type: ignore[attr-defined]
    with project(settings, REST_FRAMEWORK=NOBODY) as client, override_settings(ROOT_URLCONF=bare):
        ids = [message.id for message in run_checks() if str(message.id).startswith("base44")]
        assert ids == ["base44_web.W006"]
        for _ in range(2):
            assert client.get("/x", headers=dict(adas)).status_code == 403
    assert len([record for record in caplog.records if "are not mounted" in record.getMessage()]) == 1


def test_what_is_written_wrongly_lets_nobody_in(settings: Settings, adas: Headers) -> None:
    with pytest.raises(TypeError, match="AppUserConnected takes the names"):
        AppUserConnected(1)  # type: ignore[arg-type]
    with project(settings, path("x", view_of(AppUserConnected)), REST_FRAMEWORK=NOBODY) as client:
        assert client.get("/x", headers=dict(adas)).status_code == 500
    with project(settings, path("x", view_of(AppUserRequired)), middleware=(), REST_FRAMEWORK=NOBODY) as client:
        assert client.get("/x", headers=dict(adas)).status_code == 500
    assert AppUserConnected("a", "b") == AppUserConnected("a", "b") != AppUserConnected("a", "b", fresh=True)
    assert len({AppUserConnected("a"), AppUserConnected("a"), AppUserConnected("b")}) == 2


def test_no_error_page_shows_a_credential(settings: Settings, emulator: Emulator, adas: Headers) -> None:
    def fails(request: Any) -> None:
        raise KeyError("mine")

    with project(
        settings, path("x", view_of(AppUserRequired, answer=fails)), REST_FRAMEWORK=NOBODY, DEBUG=True
    ) as client:
        answer = client.get("/x", headers=dict(adas) | {"accept": "application/json"})
    assert answer.status_code == 500
    page = answer.content.decode().replace(f"HTTP_AUTHORIZATION = '{adas[0][1]}'", "")
    clean(page)
    assert adas[0][1].removeprefix("Bearer ") not in page


def test_without_the_package() -> None:
    program = (
        "import sys; sys.modules['{0}'] = None\n"
        "try:\n    import base44_web.django.{1}\n"
        "except ImportError as error:\n    print(error)\n"
    )
    for package, module, extra in (("rest_framework", "rest_framework", "rest-framework"), ("ninja", "ninja", "ninja")):
        command = [sys.executable, "-c", program.format(package, module)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert f'pip install "base44-web[{extra}]"' in said


# --- OpenAPI


def test_openapi() -> None:
    """In a process of its own: the framework chooses what writes the document as it is imported."""
    pytest.importorskip("drf_spectacular")
    program = """if True:
        import json, django
        from django.conf import settings
        settings.configure(INSTALLED_APPS=["rest_framework", "drf_spectacular", "base44_web.django"], REST_FRAMEWORK={
            "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema", "UNAUTHENTICATED_USER": None})
        django.setup()
        from django.urls import path
        from drf_spectacular.generators import SchemaGenerator
        from drf_spectacular.utils import extend_schema
        from rest_framework.views import APIView
        from base44_web.django.rest_framework import AppUserAuthentication, AppUserConnected
        from base44_web.django.spectacular import guard_responses
        class Events(APIView):
            authentication_classes = [AppUserAuthentication]
            permission_classes = [AppUserConnected("calendar")]
            @extend_schema(responses={200: str, **guard_responses})
            def get(self, request): ...
        print(json.dumps(SchemaGenerator(patterns=[path("x", Events.as_view())]).get_schema(public=True)))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["components"]["securitySchemes"]["Base44AppUser"]["scheme"] == "bearer"
    operation = document["paths"]["/x"]["get"]
    assert operation["security"] == [{"Base44AppUser": []}]
    assert operation["responses"].keys() == {"200", "401", "403", "503"}
    assert operation["responses"]["403"]["content"].keys() == {"application/problem+json"}
