"""What a request pays for the middleware when its view never touches `base44`: the same app with and without it.

    python benchmarks/middleware.py [--rounds 200] [--requests 500]

The two apps take turns, round by round, in one process. What counts is the processor's time, and of the differences
between neighbouring rounds the median: a slower machine or a busy moment falls on both. Exits with status 1 where a
budget is broken.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from report import Report, parser

from base44_web import Settings

BUDGET = {"starlette": 2.0, "django": 2.0, "flask": 8.0}  # microseconds
SETTINGS = Settings(app_id="benchmark", service_token="service")
HEADERS = [
    (b"host", b"testserver"),
    (b"authorization", b"Bearer aaa.bbb.ccc"),
    (b"accept", b"*/*"),
    (b"cookie", b"a=b"),
]
Run = Callable[[int], None]


def asgi(app: Any) -> Run:
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": HEADERS,
             "scheme": "http", "server": ("testserver", 80), "client": ("127.0.0.1", 1), "root_path": "",
             "http_version": "1.1", "asgi": {"version": "3.0"}}  # fmt: skip
    loop = asyncio.new_event_loop()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    async def requests(count: int) -> None:
        for _ in range(count):
            await app(dict(scope), receive, send)

    return lambda count: loop.run_until_complete(requests(count))


def wsgi(app: Any) -> Run:
    import io

    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "",
               "SERVER_NAME": "testserver", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
               "HTTP_HOST": "testserver",
               "HTTP_AUTHORIZATION": "Bearer aaa.bbb.ccc", "HTTP_COOKIE": "a=b", "wsgi.url_scheme": "http",
               "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0)}  # fmt: skip

    def requests(count: int) -> None:
        for _ in range(count):
            answer = app(dict(environ), lambda status, headers, exc_info=None: None)
            for _chunk in answer:
                pass
            answer.close()

    return requests


def starlette() -> tuple[Run, Run]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from base44_web.starlette import Base44Middleware

    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    def app() -> Starlette:
        return Starlette(routes=[Route("/", view)])

    wrapped = app()
    wrapped.add_middleware(Base44Middleware, settings=SETTINGS)
    return asgi(app()), asgi(wrapped)


def django() -> tuple[Run, Run]:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path

    urls = type(sys)("benchmark_urls")
    urls.urlpatterns = [path("", lambda request: HttpResponse("hello"))]  # type: ignore[attr-defined]
    sys.modules["benchmark_urls"] = urls
    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmark_urls",
        BASE44={"APP_ID": "benchmark"},
        MIDDLEWARE=[],
    )
    django.setup()
    plain = WSGIHandler()
    with override_settings(MIDDLEWARE=["base44_web.django.Base44Middleware"]):
        return wsgi(plain), wsgi(WSGIHandler())


def flask() -> tuple[Run, Run]:
    from flask import Flask

    from base44_web.flask import Base44Extension

    def app() -> Flask:
        site = Flask("site")
        site.add_url_rule("/", view_func=lambda: "hello")
        return site

    wrapped = app()
    Base44Extension(wrapped, settings=SETTINGS)
    return wsgi(app()), wsgi(wrapped)


def measure(runs: tuple[Run, Run], rounds: int, requests: int) -> tuple[float, float]:
    """Microseconds a request without, and what the middleware adds; medians over the rounds."""
    times: list[list[float]] = [[], []]
    for run in runs:
        run(requests)
    for round_number in range(rounds):
        for index in (0, 1) if round_number % 2 else (1, 0):
            gc.collect()
            gc.disable()
            started = time.process_time()
            runs[index](requests)
            times[index].append((time.process_time() - started) / requests * 1e6)
            gc.enable()
    return statistics.median(times[0]), statistics.median(after - before for before, after in zip(*times, strict=True))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--requests", type=int, default=500)
    options = arguments.parse_args()
    report = Report(options.json)
    report.table("A view that never asks: microseconds of the processor's time for a request")
    for name, make in {"starlette": starlette, "django": django, "flask": flask}.items():
        without, cost = measure(make(), options.rounds, options.requests)
        report.tell(name, without, "µs", column="without")
        report.tell(name, cost, "µs", column="the middleware adds", at_most=BUDGET[name])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
