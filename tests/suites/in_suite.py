"""A pytest plugin: puts our middleware into a framework's own test suite, and notes how each test ends.

`scripts/suites.py` starts the suites with it. Where it stands alone on the path, as the suites have a package `tests` of
their own.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLACES = frozenset(filter(None, os.environ.get("SUITE_PLACES", "").split(",")))
# Given in code: some tests empty the environment.
GIVEN: dict[str, Any] = {
    name.removeprefix("BASE44_"): value for name, value in os.environ.items() if name.startswith("BASE44_")
}


class Notes:
    """Which tests passed and which failed; a test of several steps or subtests has passed if all of them have."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self.placed = 0  # how often ours was put in: a suite that never met it proves nothing

    def add(self, test: str, *, passed: bool) -> None:
        (self._passed if passed else self._failed).add(test)

    def write(self) -> None:
        found: dict[str, Any] = {"passed": sorted(self._passed - self._failed), "failed": sorted(self._failed)}
        found["placed"] = self.placed
        Path(os.environ["SUITE_OUTCOME"]).write_text(json.dumps(found))


NOTES = Notes()


def wrapped(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a method by `around`, which gets the method itself first."""
    method = getattr(owner, name)
    setattr(owner, name, functools.wraps(method)(lambda *args, **kwargs: around(method, *args, **kwargs)))


def into_starlette() -> None:
    """Around whatever the test client calls, bare ASGI apps too; or among the middleware of applications."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.testclient import TestClient

    from base44_web import Settings
    from base44_web.starlette import Base44Middleware

    settings = Settings(**{name.lower(): value for name, value in GIVEN.items()})
    ours = [Middleware(Base44Middleware, settings=settings)]

    def stack(method: Callable[..., Any], app: Any) -> Any:
        NOTES.placed += 1
        own = app.user_middleware
        app.user_middleware = (ours if "first" in PLACES else []) + own + (ours if "last" in PLACES else [])
        try:
            return method(app)
        finally:
            app.user_middleware = own

    def client(method: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
        NOTES.placed += 1
        method(self, *args, **kwargs)
        self.app = self._transport.app = Base44Middleware(self.app, settings=settings)

    classes: list[type[Starlette]] = [Starlette]
    try:
        from fastapi import FastAPI
    except ImportError:
        pass
    else:
        classes.append(FastAPI)
    for each in classes:
        wrapped(each, "build_middleware_stack", stack)
    if "around" in PLACES:
        wrapped(TestClient, "__init__", client)


def into_flask() -> None:
    """As the app is made, inside of all that it gets later; or as it is first called, around all that it has."""
    from flask import Flask

    from base44_web import Settings
    from base44_web.flask import Base44Extension

    settings = Settings(**{name.lower(): value for name, value in GIVEN.items()})

    def extend(app: Flask) -> None:
        NOTES.placed += 1
        Base44Extension(app, settings=settings)

    def made(method: Callable[..., None], app: Flask, *args: Any, **kwargs: Any) -> None:
        method(app, *args, **kwargs)
        extend(app)

    def called(method: Callable[..., Any], app: Flask, *args: Any) -> Any:
        if "base44_web" not in app.extensions:
            extend(app)
        return method(app, *args)

    if "last" in PLACES:
        wrapped(Flask, "__init__", made)
    if "around" in PLACES:
        wrapped(Flask, "__call__", called)


def into_django() -> None:
    """Into `MIDDLEWARE` as handlers read it, whatever a test has set it to."""
    from django.conf import settings
    from django.core.handlers import base

    class Settings:
        @property
        def MIDDLEWARE(self) -> list[str]:
            NOTES.placed += 1
            ours = ["base44_web.django.Base44Middleware"]
            return [
                *(ours if "first" in PLACES else []),
                *settings.MIDDLEWARE,
                *(ours if "last" in PLACES else []),
            ]

        def __getattr__(self, name: str) -> Any:
            return getattr(settings, name)

    base.settings = Settings()  # type: ignore[attr-defined]


def pytest_configure() -> None:
    from _pytest import monkeypatch

    if not hasattr(monkeypatch, "notset"):  # Flask's suite wants it, and pytest 9.1 has it no more
        monkeypatch.notset = monkeypatch.NOTSET  # type: ignore[attr-defined]
    if PLACES:
        {"flask": into_flask}.get(os.environ["SUITE_FRAMEWORK"], into_starlette)()


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed or (report.passed and report.when == "call"):
        NOTES.add(report.nodeid, passed=report.passed)


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        NOTES.add(report.nodeid, passed=False)


def pytest_sessionfinish() -> None:
    NOTES.write()
