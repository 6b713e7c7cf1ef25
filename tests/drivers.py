"""One small app and client per framework and kind of I/O, for the conformance suite.

Every app has one endpoint, `/run`: it performs the call that the header `X-Call` names, on `request.base44`, and answers
with the result or the error. `/idle` never touches `base44`. So a behaviour is written once and runs everywhere. The apps
are in `tests/apps`, a file a framework.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import httpx2

from base44_web import HttpxTransports, Settings, SettingsResolver
from base44_web._core.platform.io import run
from base44_web.testing import CALENDAR_ID
from tests.apps.calls import Outcome, encode_call

T = TypeVar("T")
CORE: Final = ("core-blocking", "core-awaiting")
# Frameworks that an environment of their own (`tox run -e reach`) installs. Elsewhere they are no drivers: to skip some
# hundred tests of each would only hide what else was skipped.
_REACH: Final = tuple(name for name in ("quart", "litestar") if find_spec(name))
FRAMEWORKS: Final = (
    "starlette-async",
    "starlette-sync",
    "fastapi-async",
    "fastapi-sync",
    "django-wsgi-sync",
    "django-wsgi-async",
    "django-asgi-sync",
    "django-asgi-async",
    "flask-sync",
    "flask-async",
    *(f"{name}-{kind}" for name in _REACH for kind in ("async", "sync")),
)
# For what does not depend on whether a view is `async def`: each framework under each kind of server.
ONE_EACH: Final = (
    "starlette-async",
    "fastapi-async",
    "django-wsgi-sync",
    "django-asgi-async",
    "flask-sync",
    *(f"{name}-async" for name in _REACH),
)


# Of this run of the matrix: "httpx", whose clients are given; "aiohttp", which the settings name; else the default.
HTTP_LIBRARY: Final = os.environ.get("TEST_HTTP_LIBRARY")


def library() -> Any:
    """The transport of this run of the matrix, where one is given."""
    if HTTP_LIBRARY != "httpx":
        return None
    import httpx

    return HttpxTransports(client=httpx.Client, async_client=httpx.AsyncClient)


def make_app(
    driver: str,
    source: Settings | SettingsResolver,
    transport: Any = None,
    *,
    resolver: str = "",
    on_refusal: Any = None,
) -> Any:
    """A driver's app. A resolver comes with the path that Django finds it by.

    `on_refusal` gives a status, a JSON document and headers, which become the framework's response; or anything else.
    """
    framework, *kind = driver.split("-")
    transport = transport or library()
    if isinstance(source, Settings) and not source.app_user_connectors:  # the guarded views name it
        source = changed(source, app_user_connectors={"calendar": CALENDAR_ID})
    match framework:
        case "core":
            from tests.apps.core import CoreApp

            return CoreApp(kind[0], source, transport)
        case "starlette":
            from tests.apps import starlette

            return starlette.make(kind[0], source, transport, on_refusal=on_refusal)
        case "fastapi":
            from tests.apps import fastapi

            return fastapi.make(kind[0], source, transport, on_refusal=on_refusal)
        case "flask":
            from tests.apps import flask

            return flask.make(kind[0], source, transport, on_refusal=on_refusal)
        case "quart":
            from tests.apps import quart

            return quart.make(kind[0], source, transport, on_refusal=on_refusal)
        case "litestar":
            from tests.apps import litestar

            return litestar.make(kind[0], source, transport, on_refusal=on_refusal)
    from tests.apps import django

    given = source if isinstance(source, Settings) else resolver
    return django.make(kind[0], given, transport, on_refusal=on_refusal)


def changed(settings: Settings, **fields: Any) -> Settings:
    """The same settings but for some; `None` takes one away."""
    given = {**settings._given, **fields}
    return Settings(**{name: value for name, value in given.items() if value is not None})


class Driver:
    """Sends requests to one app in this process, and keeps one event loop for it where it awaits.

    Attributes:
        name: which.
        path: what comes before the paths of views that are not ours.
        headers_apart: whether a header that came twice arrives as two.
        raises: whether the app's own errors leave the app, for the server to log.
    """

    def __init__(
        self,
        name: str,
        source: Settings | SettingsResolver,
        transport: Any = None,
        *,
        resolver: str = "",
        on_refusal: Any = None,
    ) -> None:
        self.name = name
        self.app = make_app(name, source, transport, resolver=resolver, on_refusal=on_refusal)
        self.path = f"/{name.rpartition('-')[2]}" if name.startswith("django") else ""
        self.headers_apart = not is_wsgi(name)
        self.raises = name.startswith(("core", "starlette", "fastapi"))
        self._core = name.startswith("core")
        awaits = name != "core-blocking" and not is_wsgi(name)
        self.runner = asyncio.Runner() if awaits else None

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()

    def request(
        self, method: str, path: str, headers: Any = (), body: bytes = b"", *, host: str = "testserver"
    ) -> httpx2.Response:
        if self.runner is not None:
            return self.runner.run(self.send(method, path, headers, body, host=host))
        if self._core:
            return run(self.send(method, path, headers, body, host=host))
        transport = httpx2.WSGITransport(app=self.app)
        with httpx2.Client(transport=transport, base_url=f"http://{host}") as client:
            return client.request(method, self.path + path, headers=list(headers), content=body)

    def send_view(
        self, method: str, path: str, headers: Any = (), body: bytes = b"", *, host: str = "testserver"
    ) -> httpx2.Response:
        """A request to a path that is the same in every app."""
        prefix, self.path = self.path, ""
        try:
            return self.request(method, path, headers, body, host=host)
        finally:
            self.path = prefix

    async def send(
        self, method: str, path: str, headers: Any = (), body: bytes = b"", *, host: str = "testserver"
    ) -> httpx2.Response:
        """As `request`, on an event loop."""
        if self._core:
            request = httpx2.Request(method, f"http://{host}{path}", headers=list(headers), content=body)
            response: httpx2.Response = await self.app(request)
            return response
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, self.path + path, headers=list(headers), content=body)

    def call(
        self,
        module: str,
        name: str,
        /,
        *args: Any,
        headers: Any = None,
        http_method: str = "POST",
        **kwargs: Any,
    ) -> Outcome:
        """Perform the method `name` of a module (`"service"`, `"user"`, `"client"`) inside a view."""
        return self.perform(module, name, args, kwargs, headers or {}, http_method)

    def perform(
        self, module: str, name: str, args: Any, kwargs: Any, headers: Any, http_method: str = "POST"
    ) -> Outcome:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        pairs = [(key, value.encode("latin-1")) for key, value in pairs]
        response = self.request(http_method, "/run", [*pairs, *encode_call(module, name, args, kwargs)])
        assert response.status_code == 200, response.text
        return Outcome(**response.json())


def rows(driver: str, table: Iterable[T]) -> list[T]:
    """What of a table runs with a driver: all rows with the core's, the first with any other.

    What a table says is decided in the core, once; that the framework's own code passes it on shows in one row. The
    first row is therefore one that goes through as much of an adapter as any.
    """
    found = list(table)
    return found if driver in CORE else found[:1]


def is_wsgi(driver: str) -> bool:
    return driver.startswith(("flask", "django-wsgi"))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """`BASE44_*` exactly as given, for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("BASE44_")}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)
