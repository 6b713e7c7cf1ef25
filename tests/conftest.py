from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from base44_web import Settings
from base44_web._core.engine.engine import _engines
from base44_web.testing import CALENDAR_ID, Emulator
from tests.drivers import DRIVERS, Driver, environment

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    # Tests of failures count calls; those of retries say how many they want.
    with environment(BASE44_MAX_RETRIES="0"):
        yield


@pytest.fixture(autouse=True)
def engines_are_closed() -> Iterator[None]:
    """Here, and not by the collector: where that runs inside deeply nested JSON, no finalizer can."""
    yield
    for engine in list(_engines):
        engine.close()


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
def settings(emulator: Emulator, platform: str) -> Settings:
    return Settings(
        app_id=emulator.app_id,
        server_url=platform,
        service_token=emulator.service_token,
        app_user_connectors={"calendar": CALENDAR_ID},
    )


@pytest.fixture(params=DRIVERS)
def driver_name(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip(request.param.partition("-")[0])
    return request.param


@pytest.fixture
def driver(driver_name: str, settings: Settings) -> Iterator[Driver]:
    driver = Driver(driver_name, settings)
    yield driver
    driver.close()


def playwright_or_skip() -> Any:
    if os.environ.get("TEST_HTTP_LIBRARY") == "httpx":
        pytest.skip("what a browser sees does not depend on the HTTP library; the other environments look")
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
    with browser_type.launch(executable_path=CHROMIUM, args=OPTIONS) as browser:
        yield browser
