"""The suite inside Pyodide: a pytest plugin that says what cannot run there, and why.

There are no sockets, no threads and no processes. So an event loop has callbacks and timers, and nothing else; and an
emulator that is "served" is asked in this process, by whatever the settings' `server_url` names.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from typing import Any, ClassVar, Final

import pytest

from base44_web import HttpxTransports, PlatformRequest, PlatformResponse
from base44_web.errors import RequestFailedError
from base44_web.testing import Emulator

SELECTION: Final = ("tests/core", "tests/conformance", "tests/wasm")
# Imported, and not skipped where they are missing: what is said to run here does.
MUST_BE_THERE: Final = ("starlette", "fastapi", "django", "jwt", "httpx2")
# By what is missing here: parts of test IDs. One that fits no test is an error.
LEFT_OUT: Final = {
    "a socket": (
        "core/test_failures.py", "core/test_http_client.py", "core/test_proxies.py", "core/test_renewal.py", "core/test_surplus.py",
        "core/test_engine.py::test_a_given_client_", "core/test_engine.py::test_an_unused_engine_closes_itself",
        "core/test_engine.py::test_async_connections_are_reused", "core/test_engine.py::test_cancelled_calls_leave_nothing",
        "core/test_engine.py::test_connections_are_reused", "core/test_engine.py::test_event_loops_",
        "core/test_engine.py::test_given_clients_stay_open", "core/test_engine.py::test_mock_transports_",
        "core/test_mistakes.py::test_what_one_sees", "core/test_resilience.py::test_a_ca_file_that_is_none", "core/test_values.py::test_a_connection_is_auth",
        "::test_connect_consent_and_disconnect", "::test_connect_and_disconnect_go_to_the_apps_own_origin",
    ),
    "a thread": (
        "[starlette-sync", "[fastapi-sync", "[django-wsgi-async", "[django-asgi-sync", "[django-asgi-async",
        "core/test_clients.py::test_a_blocking_call_on_an_event_loop", "core/test_connections.py::test_two_hundred_callers",
        "core/test_guards.py::test_several_connectors_are_asked_for_at_the_same_time[blocking]",
        "core/test_resilience.py::test_a_slow_platform_does_not_pile_up", "core/test_threads.py", "conformance/test_relay.py",
    ),
    "a process": (
        "core/test_package.py::test_importing_opens_nothing", "core/test_package.py::test_the_face_is_lazy", "core/test_plugin.py", "core/test_engine.py::test_a_fork_", "core/test_engine.py::test_after_a_fork",
    ),
    # MarkupSafe and cryptography are on PyPI for other systems only; without cryptography there are no sessions.
    "a package": ("[flask-", "conformance/test_refusals.py", "core/test_mistakes.py::test_extras_that_are_missing"),
}  # fmt: skip
# JSON that is nested 100,000 times ends Pyodide itself (json.loads, without us), and not with a RecursionError.
ROWS_LEFT_OUT: Final = (("tests.conformance.test_failures", "MATRIX", "deeply nested"),)


class _Timers:
    """What an event loop asks for events."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("This event loop would wait for ever: nothing is left that could wake it.")
        time.sleep(timeout)
        return []


class Loop(asyncio.BaseEventLoop):
    """Callbacks and timers. Pyodide's own loop is JavaScript's, which nothing can run until a task is done."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Timers()

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No other thread can call."""


class Served:
    """In place of the emulator's server.

    Attributes:
        url: its origin, by which `InThisProcess` finds it.
    """

    _ports = itertools.count(20_000)
    emulators: ClassVar[dict[str, Emulator]] = {}

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.url = f"http://127.0.0.1:{next(self._ports)}"

    def __enter__(self) -> Served:
        self.emulators[self.url] = self._emulator
        return self

    def __exit__(self, *exc: object) -> None:
        del self.emulators[self.url]


def _addressed(request: PlatformRequest) -> Any:
    """The in-process transport of the emulator that a request goes to."""
    for origin, emulator in Served.emulators.items():
        if request.url.startswith(f"{origin}/"):
            return emulator.transport
    raise RequestFailedError(f"Nothing is served at {request.url}.", code="connect_failed")


class _Blocking:
    def send(self, request: PlatformRequest, **limits: float) -> PlatformResponse:
        answer: PlatformResponse = _addressed(request).open().send(request, **limits)
        return answer

    def close(self) -> None:
        """Nothing is held."""


class _Awaiting:
    async def send(self, request: PlatformRequest, **limits: float) -> PlatformResponse:
        answer: PlatformResponse = await _addressed(request).open_async().send(request, **limits)
        return answer

    async def aclose(self) -> None:
        """Nothing is held."""


class Plugin:
    """Leaves out what cannot run, and tells of it at the end."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._left_out: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for name in MUST_BE_THERE:
            __import__(name)
        for module, table, row in ROWS_LEFT_OUT:
            if module in sys.modules:
                del getattr(sys.modules[module], table)[row]
        kept, left_out, unused = [], [], {part for parts in LEFT_OUT.values() for part in parts}
        for item in items:
            fits = [(missing, part) for missing, parts in LEFT_OUT.items() for part in parts if part in item.nodeid]
            unused.difference_update(part for _, part in fits)
            if fits:
                self._left_out[fits[0][0]] += 1
            (left_out if fits else kept).append(item)
        if self._whole and unused:
            raise pytest.UsageError(f"LEFT_OUT names what is no test: {', '.join(sorted(unused))}")
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("left out of CPython 3.14 in WebAssembly")
        for missing, count in self._left_out.items():
            terminalreporter.line(f"{count} tests that need {missing}")
        for _, table, row in ROWS_LEFT_OUT:
            terminalreporter.line(f"of {table}: {row}")


def main(arguments: list[str]) -> int:
    assert sys.version_info[:2] == (3, 14), sys.version
    asyncio._set_running_loop(None)
    policy = type("Policy", (asyncio.events._BaseDefaultEventLoopPolicy,), {"_loop_factory": Loop})  # type: ignore[attr-defined]
    asyncio.events._set_event_loop_policy(policy())  # type: ignore[attr-defined]
    Emulator.serve = lambda self: Served(self)  # type: ignore[method-assign, assignment, return-value]
    HttpxTransports.open = lambda self: _Blocking()  # type: ignore[method-assign, return-value, assignment]
    HttpxTransports.open_async = lambda self: _Awaiting()  # type: ignore[method-assign, return-value, assignment]
    chosen = arguments or [*SELECTION, "-q"]
    # Ours has a plugin, which pytest would load itself: it is imported already, for what is put in its place above.
    options = ["-p", "no:cacheprovider", "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*chosen, *options], plugins=[Plugin(whole=not arguments)]))
