"""The Django side of the drivers: views, and a middleware whose transport a test can set."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.utils.asyncio import async_unsafe
from django.utils.decorators import method_decorator
from django.views import View

from base44_web.django import Base44Middleware, HttpRequest, app_user_connected, app_user_required
from tests.drivers import escape_async, escape_sync, guarded_async, guarded_sync, plain, run_async, run_sync


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
