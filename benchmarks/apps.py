"""The apps of `guarded.py`: one view in each framework, in one of its ways."""

import os
from typing import Annotated, Any

import httpx2

from base44_web import Connection

framework, way = os.environ["BENCHMARK"].split("/")


def platform() -> dict[str, Any]:
    """How a client that knows nothing of us reaches the platform."""
    app_id = os.environ["BASE44_APP_ID"]
    return {
        "base_url": f"{os.environ['BASE44_SERVER_URL']}/api/apps/{app_id}",
        "headers": {"Accept": "application/json", "X-App-Id": app_id},
    }


def who(authorization: str) -> dict[str, Any]:
    """The call that verifies a user."""
    return {"url": "/entities/User/me", "headers": {"Authorization": authorization}}


def token(authorization: str) -> dict[str, Any]:
    """The call for their token."""
    connector = os.environ["BASE44_APP_USER_CONNECTORS"].partition("=")[2]
    service = f"Bearer {os.environ['BASE44_SERVICE_TOKEN']}"
    return {
        "url": f"/app-user-auth/connectors/{connector}/token",
        "headers": {"Authorization": service, "on-behalf-of": authorization},
    }


class ByHand:
    """What one would write without us, in a view that blocks."""

    def __init__(self) -> None:
        self._client = httpx2.Client(**platform())

    def access_token(self, authorization: str) -> str:
        self._client.get(**who(authorization)).raise_for_status()
        found: str = self._client.get(**token(authorization)).raise_for_status().json()["access_token"]
        return found


def fastapi_app() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse

    from base44_web.fastapi import AppUserConnection, Base44Middleware

    app = FastAPI()
    if way == "bare":

        @app.get("/", response_class=PlainTextResponse)
        async def bare() -> str:
            return "x"

        return app
    if way == "by hand":
        client = httpx2.AsyncClient(**platform())

        @app.get("/", response_class=PlainTextResponse)
        async def by_hand(request: Request) -> str:
            authorization = request.headers["authorization"]
            (await client.get(**who(authorization))).raise_for_status()
            answer = await client.get(**token(authorization))
            assert answer.raise_for_status().json()["access_token"]
            return "x"

        return app
    app.add_middleware(Base44Middleware)

    @app.get("/", response_class=PlainTextResponse)
    async def view(connection: Annotated[Connection, AppUserConnection("calendar")]) -> str:
        assert connection.access_token
        return "x"

    return app


def flask_app() -> Any:
    from flask import Flask

    from base44_web.flask import Base44Extension, app_user_connected, request

    app = Flask("benchmark")
    if way == "bare":

        @app.get("/")
        def bare() -> str:
            return "x"

        return app
    if way == "by hand":
        platform = ByHand()

        @app.get("/")
        def by_hand() -> str:
            assert platform.access_token(request.headers["Authorization"])
            return "x"

        return app
    Base44Extension(app)

    @app.get("/")
    @app_user_connected("calendar")
    def view() -> str:
        assert request.base44.connection("calendar").access_token
        return "x"

    return app


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    from base44_web.django import app_user_connected

    ours = way not in ("bare", "by hand")
    settings.configure(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="benchmark",
        MIDDLEWARE=["base44_web.django.Base44Middleware"] if ours else [],
        INSTALLED_APPS=["base44_web.django"] if ours else [],
    )  # fmt: skip
    django.setup()
    platform = ByHand()

    def bare(request: Any) -> HttpResponse:
        return HttpResponse("x")

    def by_hand(request: Any) -> HttpResponse:
        assert platform.access_token(request.headers["Authorization"])
        return HttpResponse("x")

    def guarded(request: Any) -> HttpResponse:
        assert request.base44.connection("calendar").access_token
        return HttpResponse("x")

    views = {"bare": bare, "by hand": by_hand}
    globals()["urlpatterns"] = [path("", views.get(way) or app_user_connected("calendar")(guarded))]
    return WSGIHandler()


app = {"fastapi": fastapi_app, "flask": flask_app, "django": django_app}[framework]()
