"""The apps of `guarded.py`: one view in each framework, bare or guarded, as `BENCHMARK` says."""

import os
from typing import Annotated, Any

from base44_web import Connection

framework, way = os.environ["BENCHMARK"].split()


def fastapi_app() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    from base44_web.fastapi import AppUserConnection, Base44Middleware

    app = FastAPI()
    if way == "bare":

        @app.get("/", response_class=PlainTextResponse)
        async def bare() -> str:
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

    middleware = [] if way == "bare" else ["base44_web.django.Base44Middleware"]
    apps = [] if way == "bare" else ["base44_web.django"]
    settings.configure(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="benchmark", MIDDLEWARE=middleware, INSTALLED_APPS=apps
    )
    django.setup()

    def bare(request: Any) -> HttpResponse:
        return HttpResponse("x")

    def guarded(request: Any) -> HttpResponse:
        assert request.base44.connection("calendar").access_token
        return HttpResponse("x")

    globals()["urlpatterns"] = [path("", bare if way == "bare" else app_user_connected("calendar")(guarded))]
    return WSGIHandler()


app = {"fastapi": fastapi_app, "flask": flask_app, "django": django_app}[framework]()
