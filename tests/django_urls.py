"""The Django side of the drivers: views, and a middleware whose transport a test can set."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.urls import path

from base44_web.django import Base44Middleware, HttpRequest
from tests.drivers import run_async, run_sync


class Middleware(Base44Middleware):
    transport: Any = None


def run(request: HttpRequest) -> JsonResponse:
    return JsonResponse(run_sync(lambda: request.base44, json.loads(request.headers["x-call"])))


async def run_awaiting(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await run_async(lambda: request.base44.aio, json.loads(request.headers["x-call"])))


def idle(request: HttpRequest) -> HttpResponse:
    return HttpResponse("idle")


urlpatterns = [
    path("sync/run", run),
    path("async/run", run_awaiting),
    path("sync/idle", idle),
    path("async/idle", idle),
]
