from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from base44_web import AppUser, Settings
from base44_web._core.connections import fetch
from base44_web._core.engine.engine import _engines
from base44_web._core.incoming import platform_headers
from base44_web._core.platform import io, perform
from base44_web._core.replies import refuse
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import Headers, bearer
from tests.drivers import CORE, FRAMEWORKS, HTTP_LIBRARY, Driver, changed, environment
from tests.redis_server import RedisServer

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# The same engine without what people see around a page: a quarter of the work.
HEADLESS = os.environ.get("CHROMIUM_HEADLESS_SHELL") or shutil.which("chromium-headless-shell") or CHROMIUM
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PROGRAMS: Final = ("browser", "frontend", "reference", "relay", "served")  # folders whose tests start some


# --- through which drivers a test runs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with each of its drivers."""
    named = any("driver_name" in _split(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "driver_name" in metafunc.fixturenames and not named:
        wanted = metafunc.definition.get_closest_marker("drivers")
        drivers = (*CORE, *FRAMEWORKS) if wanted is None else wanted.args
        metafunc.parametrize("driver_name", drivers, indirect=True)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`: what shares a server, or the reference client's run, goes to one worker.

    What waits for other programs comes first, so that no worker is left with it at the end.
    """
    items.sort(key=lambda item: item.path.parent.name not in PROGRAMS)
    for item in items:
        site = (
            item.callspec.params.get("site")
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else None
        )
        if site is not None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {site}"))
        elif "recorder" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("reference"))


def _split(names: Any) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


# --- for every test


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    # Tests of failures count calls; those of retries say how many they want.
    chosen = {"BASE44_HTTP_CLIENT": "aiohttp"} if HTTP_LIBRARY == "aiohttp" else {}
    with environment(BASE44_MAX_RETRIES="0", **chosen):
        yield


@pytest.fixture(autouse=True)
def engines_are_closed() -> Iterator[None]:
    """Here, and not by the collector: where that runs inside deeply nested JSON, no finalizer can."""
    for each in (refuse._UNUSABLE, refuse._FAILING, fetch._REFUSED, io._WARNED, platform_headers._OTHER_APP):
        each._told = -math.inf  # each test reads its own log
    yield
    for engine in list(_engines):
        engine.close()


# --- the platform, and who visits


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator.demo() as emulator:
        yield emulator


@pytest.fixture
def platform(emulator: Emulator) -> Iterator[str]:
    """The emulator's address over HTTP."""
    with emulator.serve() as server:
        yield server.url


@pytest.fixture
def elsewhere() -> Iterator[tuple[Emulator, str]]:
    """A second platform, with another app, and its address."""
    with Emulator(app_id="app-one") as emulator, emulator.serve() as server:
        yield emulator, server.url


@pytest.fixture
def ada(emulator: Emulator) -> AppUser:
    return emulator.add_user("ada@test.example")


@pytest.fixture
def adas(emulator: Emulator, ada: AppUser) -> Headers:
    """Headers of Ada's."""
    return bearer(emulator.sign_in(ada))


class Clock:
    """The time, which tests put forward or stop."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stopped: tuple[float, float] | None = None

    def forward(self, seconds: float) -> None:
        self._ahead += seconds

    def stop(self) -> None:
        self._stopped = time.monotonic(), time.time()

    def monotonic(self) -> float:
        return (time.monotonic() if self._stopped is None else self._stopped[0]) + self._ahead

    def time(self) -> float:
        return (time.time() if self._stopped is None else self._stopped[1]) + self._ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What all engines take for the time: in place of sleeping. The platform's own time goes on as it does."""
    clock = Clock()
    monkeypatch.setattr(perform, "Clock", lambda: clock)
    for engine in list(_engines):
        engine.platform.clock.monotonic, engine.platform.clock.time = clock.monotonic, clock.time
    return clock


# --- the app


@pytest.fixture
def fields() -> dict[str, Any]:
    """What a module's settings have beyond the usual, or otherwise."""
    return {}


@pytest.fixture
def settings(emulator: Emulator, platform: str, fields: dict[str, Any]) -> Settings:
    usual = Settings(
        app_id=emulator.app_id,
        server_url=platform,
        service_token=emulator.service_token,
        app_user_connectors={"calendar": CALENDAR_ID},
        timeout=60,
        connection_ttl=0,  # what a test changes at the platform shows at once; tests/core/test_connections.py is about the cache
        connect_timeout=30,
    )
    return changed(usual, **fields)


@pytest.fixture
def driver_name(request: pytest.FixtureRequest) -> Any:
    if request.param not in CORE:
        pytest.importorskip(request.param.partition("-")[0])
    return request.param


@pytest.fixture
def driver(driver_name: str, settings: Settings) -> Iterator[Driver]:
    driver = Driver(driver_name, settings)
    yield driver
    driver.close()


@pytest.fixture
def make(driver_name: str, settings: Settings) -> Iterator[Any]:
    """Drivers with other settings."""
    made: list[Driver] = []

    def make(**fields: Any) -> Driver:
        made.append(Driver(driver_name, changed(settings, **fields)))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


# --- programs


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server: RedisServer) -> str:
    return redis_server.url


# --- browsers


def playwright_or_skip() -> Any:
    missing = None if CHROMIUM else "Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path."
    try:
        from playwright import sync_api
    except ImportError:
        missing = "The Python package playwright is not installed."
    if missing is None:
        return sync_api
    if os.environ.get("CI"):
        pytest.fail(missing)
    return pytest.skip(missing)


@pytest.fixture(scope="module")
def browser_type() -> Iterator[Any]:
    with playwright_or_skip().sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def chromium(browser_type: Any) -> Iterator[Any]:
    with browser_type.launch(executable_path=HEADLESS, args=OPTIONS) as browser:
        yield browser
