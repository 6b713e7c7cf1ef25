"""The drivers' app on Django: settings, views, and a middleware whose transport a test can set.

Views are found under `/sync` and `/async`; which server a request came through is the driver's.
"""

from __future__ import annotations

import json
import os
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import include, path
from django.utils.asyncio import async_unsafe
from django.utils.decorators import method_decorator
from django.views import View

from base44_web import Settings
from base44_web.django import Base44Middleware, HttpRequest, app_user_connected, app_user_required
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, hook, plain, run_async, run_sync


def configure(cors_origin: str | None = None) -> None:
    """Set Django up, once in a process. With CORS it is as docs/front-end.md has it."""
    if not django_settings.configured:
        cors = _cors(cors_origin) if cors_origin else {}
        django_settings.configure(
            SECRET_KEY="tests only",
            ALLOWED_HOSTS=["*"],
            DEBUG=False,
            ROOT_URLCONF="tests.apps.django",
            INSTALLED_APPS=["base44_web.django", *(["corsheaders"] if cors_origin else [])],
            MIDDLEWARE=[
                "django.middleware.security.SecurityMiddleware",
                *(["corsheaders.middleware.CorsMiddleware"] if cors_origin else []),
                "tests.apps.django.Middleware",
            ],
            USE_TZ=True,
            **cors,
        )
        django.setup()


def _cors(origin: str) -> dict[str, Any]:
    from corsheaders.defaults import default_headers

    ours = ["base44-app-id", "base44-api-url", "base44-functions-version", "base44-state", "x-data-env"]
    return {
        "CORS_ALLOWED_ORIGINS": [origin],
        "CORS_ALLOW_HEADERS": [*default_headers, *ours],
        "CORS_EXPOSE_HEADERS": ["WWW-Authenticate", "Retry-After"],
    }


configure(os.environ.get("TEST_CORS_ORIGIN"))  # before what is below: it needs settings


def respond(status: int, document: Any, headers: dict[str, str]) -> JsonResponse:
    return JsonResponse(document, status=status, headers=headers)


def make(server: str, settings: Settings | str, transport: Any = None, *, on_refusal: Any = None) -> Any:
    """The app under `"wsgi"` or `"asgi"`; settings that are a `str` are the path of a resolver."""
    given = {"RESOLVER": settings} if isinstance(settings, str) else upper(settings)
    given["ON_REFUSAL"] = hook(on_refusal, respond)
    Middleware.transport = transport
    try:
        with override_settings(BASE44=given):
            return WSGIHandler() if server == "wsgi" else ASGIHandler()
    finally:
        Middleware.transport = None


def upper(settings: Settings) -> dict[str, Any]:
    """Settings as Django has them."""
    return {name.upper(): value for name, value in settings._given.items() if value is not None}


class Middleware(Base44Middleware):
    transport: Any = None


@async_unsafe
def _ask() -> str:
    return "asked"


def asks_the_database(request: HttpRequest) -> dict[str, str]:
    """A context processor; what it calls refuses to run on an event loop, as Django's database does."""
    return {"asked": _ask()}


def run(request: HttpRequest) -> JsonResponse:
    return JsonResponse(run_sync(lambda: request.base44, json.loads(request.headers["x-call"])))


async def run_awaiting(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await run_async(lambda: request.base44.aio, json.loads(request.headers["x-call"])))


def idle(request: HttpRequest) -> HttpResponse:
    return HttpResponse("idle")


@app_user_connected("calendar")
def guarded(request: HttpRequest) -> JsonResponse:
    return JsonResponse(guarded_sync(request.base44))


@app_user_connected("calendar")
async def guarded_awaiting(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await guarded_async(request.base44.aio))


@method_decorator(app_user_required, name="dispatch")
class Me(View):
    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(plain(request.base44.user()))

    post = get


@method_decorator(app_user_required, name="dispatch")
class MeAwaiting(View):
    async def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(plain(await request.base44.aio.user()))

    post = get


@method_decorator([app_user_required, app_user_connected("calendar")], name="dispatch")
class Both(View):
    async def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({})


def escape(request: HttpRequest) -> None:
    escape_sync(request.base44, json.loads(request.headers["x-call"]))


async def escape_awaiting(request: HttpRequest) -> None:
    await escape_async(request.base44.aio, json.loads(request.headers["x-call"]))


urlpatterns = [
    path("base44/", include("base44_web.django.urls")),
    path("sync/both", Both.as_view()),
    path("async/both", Both.as_view()),
    path("sync/guarded", guarded),
    path("async/guarded", guarded_awaiting),
    path("sync/me", Me.as_view()),
    path("async/me", MeAwaiting.as_view()),
    path("sync/escape", escape),
    path("async/escape", escape_awaiting),
    path("sync/run", run),
    path("async/run", run_awaiting),
    path("sync/idle", idle),
    path("async/idle", idle),
]
