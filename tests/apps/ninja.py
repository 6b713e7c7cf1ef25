"""The drivers' views as Django Ninja's: sync and async operations."""

from __future__ import annotations

import json
from typing import Any

from django.urls import include, path
from ninja import NinjaAPI, Router

from base44_web.django.ninja import AppUserAuth, guard_responses
from tests.apps import django as django_app  # noqa: F401 - sets Django up
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, plain

api = NinjaAPI()
sync, awaiting, members = Router(), Router(), Router(auth=AppUserAuth())
EITHER = ["GET", "POST"]


@sync.api_operation(EITHER, "/guarded", auth=AppUserAuth("calendar"), openapi_extra={"responses": guard_responses})
def guarded(request: Any) -> dict[str, Any]:
    return guarded_sync(request.base44)


@sync.api_operation(EITHER, "/me", auth=AppUserAuth())
def me(request: Any) -> dict[str, Any]:
    assert request.auth == request.base44.user()
    return plain(request.auth)


@sync.post("/escape")
def escape(request: Any) -> None:
    escape_sync(request.base44, json.loads(request.headers["x-call"]))


@awaiting.api_operation(EITHER, "/guarded", auth=AppUserAuth("calendar"))
async def guarded_awaiting(request: Any) -> dict[str, Any]:
    return await guarded_async(request.base44.aio)


@awaiting.api_operation(EITHER, "/me", auth=AppUserAuth())
async def me_awaiting(request: Any) -> dict[str, Any]:
    assert request.auth == await request.base44.aio.user()
    return plain(request.auth)


@awaiting.post("/escape")
async def escape_awaiting(request: Any) -> None:
    await escape_async(request.base44.aio, json.loads(request.headers["x-call"]))


@members.get("/sync")
def member(request: Any) -> str:
    return request.auth.email


@members.post("/sync")
async def member_awaiting(request: Any) -> str:
    return request.auth.email


api.add_router("/sync", sync)
api.add_router("/async", awaiting)
api.add_router("/members", members)
urlpatterns = [path("base44/", include("base44_web.django.urls")), path("", api.urls)]
