"""Connections over their life: threads, event loops, forks, closing and reopening."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, ConfigurationError, HttpxTransports, Settings
from base44_web._core.engine.engine import Engine
from base44_web.testing import CALENDAR_ID, Emulator
from tests.drivers import changed
from tests.serving import PATIENCE, eventually


@pytest.fixture
def server(emulator: Emulator) -> Iterator[Any]:
    with emulator.serve() as server:
        yield server


@pytest.fixture
def platform(server: Any) -> str:
    url: str = server.url
    return url


@pytest.mark.parametrize("development", [True, False])
def test_development_is_noted_at_the_start(
    settings: Settings, development: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """And which of two IDs an app user's is: there it differs from what the app sees in production."""
    Base44(settings=changed(settings, development=development, id_claim="uid"))
    notes = [record for record in caplog.records if getattr(record, "base44_event", None) == "development_on"]
    assert [record.levelname for record in notes] == ["WARNING"] * development
    assert all("id_claim (uid)" in record.getMessage() for record in notes)


def settled(server: Any, connections: int) -> bool:
    return eventually(lambda: server.open_connections == connections)


def test_connections_are_reused_and_closed(server: Any, settings: Settings) -> None:
    with Base44(settings=settings) as base44:
        for _ in range(5):
            base44.as_service_role.connectors.get_connection("slack")
        assert settled(server, 1)
    assert settled(server, 0)
    base44.as_service_role.connectors.get_connection("slack")  # it reopens
    base44.close()
    assert settled(server, 0)


def test_async_connections_are_reused_and_closed(server: Any, settings: Settings) -> None:
    async def main() -> AsyncBase44:
        async with AsyncBase44(settings=settings) as base44:
            for _ in range(5):
                await base44.as_service_role.connectors.get_connection("slack")
            assert server.open_connections == 1
        assert await asyncio.to_thread(settled, server, 0)
        await base44.as_service_role.connectors.get_connection("slack")  # it reopens
        return base44

    asyncio.run(main())
    assert settled(server, 0)  # the loop's end closed it


def test_event_loops_one_after_the_other(server: Any, settings: Settings) -> None:
    base44 = AsyncBase44(settings=settings)

    async def main() -> None:
        await asyncio.gather(*(base44.as_service_role.connectors.get_connection("slack") for _ in range(5)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            asyncio.run(main())
            gc.collect()
        assert settled(server, 0)
    assert base44._context.engine.platform.pools._loops == {}


def test_event_loops_and_threads_at_the_same_time(server: Any, settings: Settings) -> None:
    base44 = AsyncBase44(settings=settings)
    tokens: set[str] = set()

    async def main() -> None:
        found = await asyncio.gather(*(base44.as_service_role.connectors.get_connection("slack") for _ in range(20)))
        tokens.update(connection.access_token for connection in found)

    def blocking() -> None:
        tokens.add(base44.sync.as_service_role.connectors.get_connection("slack").access_token)

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(asyncio.run, main()) for _ in range(4)] + [pool.submit(blocking) for _ in range(50)]
        for future in futures:
            future.result(PATIENCE)
    assert len(tokens) == 1
    base44.sync.close()
    assert settled(server, 0)


def test_one_loop_opens_once(settings: Settings) -> None:
    async def main() -> None:
        engine = Engine(settings)
        pools = engine.platform.pools
        first, second = pools.open_for_running_loop(), pools.open_for_running_loop()
        assert await first is await second
        await engine.aclose()
        assert pools.of_running_loop() is None

    asyncio.run(main())


def test_a_loop_that_ended_badly_is_forgotten(settings: Settings) -> None:
    base44 = AsyncBase44(settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the loop is left without its generators closed, on purpose
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(base44.as_service_role.connectors.get_connection("slack"))
            loop.close()
        assert len(base44._context.engine.platform.pools._loops) <= 1
        base44._context.engine.platform.pools._loops.clear()
        gc.collect()


def test_cancelled_calls_leave_nothing(server: Any, settings: Settings, emulator: Emulator) -> None:
    from base44_web.testing import Fault

    async def main() -> None:
        async with AsyncBase44(settings=settings) as base44:
            # Unlike one that waits, a server that writes notices that nobody reads any more.
            emulator.fault(Fault(body=b" " * 10_000, drip=0.05), times=10)
            connectors = base44.as_service_role.connectors
            calls = [asyncio.ensure_future(connectors.get_connection("slack", fresh=True)) for _ in range(10)]
            while len(emulator.requests) < 10:
                await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            emulator.clear_faults()
            assert await base44.as_service_role.connectors.get_connection("slack")

    asyncio.run(main())
    assert settled(server, 0)


def test_an_unused_engine_closes_itself(server: Any, settings: Settings) -> None:
    base44 = Base44(settings=settings)
    base44.as_service_role.connectors.get_connection("slack")
    assert settled(server, 1)
    del base44
    gc.collect()
    assert settled(server, 0)


def test_leaving_a_requests_client_closes_nothing(server: Any, emulator: Emulator) -> None:
    """`with request.base44:` does not close the connections that all requests share."""
    from base44_web._core.engine.context import Context
    from base44_web._core.engine.engine import Engine
    from base44_web._core.incoming.request import Incoming

    engine = Engine(Settings(app_id=emulator.app_id, server_url=server.url, service_token=emulator.service_token))
    base44 = Base44._for(Context(engine, Incoming("GET", [])))
    base44.as_service_role.connectors.get_connection("slack")
    held = engine.platform.pools.blocking._held
    with base44:
        base44.token  # noqa: B018

    async def main() -> None:
        async with base44.aio:
            """Nothing to do."""

    asyncio.run(main())
    assert engine.platform.pools.blocking._held is held
    assert held is not None


FORKING = """
import os, sys, warnings
warnings.simplefilter("error")
from base44_web import Base44, AsyncBase44, Settings
import asyncio

def sockets():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found

base44 = Base44(settings=Settings())
call = lambda: base44.as_service_role.connectors.get_connection("slack").access_token
async def acall():
    # asyncio's debug mode says what takes a tenth of a second, and on a busy machine anything may.
    asyncio.get_running_loop().slow_callback_duration = 3600
    return (await base44.aio.as_service_role.connectors.get_connection("slack")).access_token
token = call()
before = sockets()
assert before, "the parent holds no connection"
pid = os.fork()
if pid == 0:
    code = 1
    try:
        assert not sockets() & before, "the child holds the parent's socket"
        assert call() == token
        assert asyncio.run(acall()) == token
        assert not sockets() & before
        code = 0
    finally:
        base44.close()
        os._exit(code)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert sockets() == before, "the parent lost its connection"
assert call() == token
assert sockets() == before
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork(settings: Settings, emulator: Emulator, server: Any) -> None:
    environment = {**os.environ, "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": server.url,
                   "BASE44_SERVICE_TOKEN": emulator.service_token}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORKING], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


GIVEN = """
import os, sys
import {library} as library
from base44_web import Base44, ConfigurationError, Settings
client = library.Client()
base44 = Base44(settings=Settings(), transport=client)
base44.as_service_role.connectors.get_connection("slack")
pid = os.fork()
if pid == 0:
    try:
        base44.as_service_role.connectors.get_connection("slack")
    except ConfigurationError as error:
        os._exit(0 if "fork" in str(error) else 2)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
base44.as_service_role.connectors.get_connection("slack")
client.close()
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_given_client_is_refused_after_a_fork(
    settings: Settings, emulator: Emulator, server: Any, library: str
) -> None:
    """Its connections would be shared, and one process would read the other's answers."""
    pytest.importorskip(library)
    environment = {**os.environ, "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": server.url,
                   "BASE44_SERVICE_TOKEN": emulator.service_token}  # fmt: skip
    code = GIVEN.format(library=library)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_a_fork_while_another_thread_is_inside(emulator: Emulator) -> None:
    """The child cannot close what a lost thread may hold locked; it starts afresh all the same."""
    from base44_web._core.engine.context import Context
    from base44_web._core.engine.engine import Engine
    from base44_web._core.incoming.caller import configured_caller

    inside, let_go = threading.Event(), threading.Event()
    closed: list[object] = []

    class Transport:
        inner = emulator.transport.open()

        def send(self, request: Any, **options: Any) -> Any:
            if not inside.is_set():
                inside.set()
                assert let_go.wait(PATIENCE)
            return self.inner.send(request, **options)

        def close(self) -> None:
            closed.append(self)

    class Factory:
        open = open_async = Transport

    settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, timeout=600)
    engine = Engine(settings, Factory())  # type: ignore[arg-type]
    base44 = Base44._for(Context(engine, configured_caller(settings, None)))
    thread = threading.Thread(target=base44.as_service_role.connectors.get_connection, args=["slack"])
    thread.start()
    assert inside.wait(PATIENCE)
    held = engine.platform.pools.blocking._held
    engine._after_fork()
    assert engine.platform.pools.blocking._held is None
    assert engine.platform.pools.blocking._inherited == [held]
    assert base44.as_service_role.connectors.get_connection("slack").access_token
    let_go.set()
    thread.join(PATIENCE)
    engine.close()
    assert held not in closed
    assert len(closed) == 1


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_given_clients_stay_open(settings: Settings, library: str) -> None:
    lib = pytest.importorskip(library)
    with lib.Client() as client:
        with Base44(settings=settings, transport=client) as base44:
            assert base44.as_service_role.connectors.get_connection("slack")
            with pytest.raises(ConfigurationError, match="blocking"):
                asyncio.run(base44.aio.as_service_role.connectors.get_connection("slack"))
        assert not client.is_closed

    async def main() -> None:
        async with lib.AsyncClient() as client:
            async with AsyncBase44(settings=settings, transport=client) as base44:
                assert await base44.as_service_role.connectors.get_connection("slack")
                with pytest.raises(ConfigurationError, match="async"):
                    base44.sync.as_service_role.connectors.get_connection("slack")
            assert not client.is_closed

    asyncio.run(main())


def test_a_transport_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="TransportFactory"):
        Base44(app_id="a", transport=object())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="class"):
        Base44(app_id="a", transport=HttpxTransports)  # type: ignore[arg-type]


def test_mock_transports_are_bounded_between_reads(settings: Settings) -> None:
    import httpx2

    from base44_web import RequestTimeoutError

    class Slow(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:  # for as long as somebody reads
                time.sleep(0.01)
                yield b" "

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Slow())

    hasty = Settings(app_id="a", service_token="t", timeout=0.3)
    transport = HttpxTransports(client=lambda: httpx2.Client(transport=httpx2.MockTransport(answer)))
    with Base44(settings=hasty, transport=transport) as base44, pytest.raises(RequestTimeoutError):
        base44.as_service_role.connectors.get_connection("slack")


def test_in_process_transport_and_its_faults(emulator: Emulator) -> None:
    from base44_web import InvalidResponseError, RequestFailedError, RequestTimeoutError
    from base44_web.testing import Fault

    settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, timeout=60)
    faults = [
        (Fault(delay=5), RequestTimeoutError), (Fault(drip=1), RequestTimeoutError),
        (Fault(drop="before"), RequestFailedError), (Fault(raw=b"x"), RequestFailedError),
        (Fault(headers={"Content-Encoding": "br"}), InvalidResponseError),
    ]  # fmt: skip

    async def main() -> None:
        for fault, error in faults:
            hasty = changed(settings, timeout=0.2 if error is RequestTimeoutError else 60)
            async with AsyncBase44(settings=hasty, transport=emulator.transport) as base44:
                emulator.fault(fault, times=2)
                with pytest.raises(error):
                    await base44.as_service_role.connectors.get_connection("slack")
                with pytest.raises(error):
                    base44.sync.as_service_role.connectors.get_connection("slack")

    asyncio.run(main())


def test_state_survives_a_restart(tmp_path: Any) -> None:
    path = str(tmp_path / "emulator.db")
    with Emulator.demo(path) as first:
        user = first.add_user("kept@test.example")
        token, provider = first.sign_in(user), first.connect(user, CALENDAR_ID)
        service = first.service_token
    with Emulator.demo(path) as second:
        assert second.service_token == service
        with Base44(app_id=second.app_id, token=token, service_token=service, transport=second.transport) as base44:
            connection = base44.as_service_role.connectors.get_current_app_user_connection(CALENDAR_ID)
            assert connection.access_token == provider


def test_no_client_can_be_made(settings: Settings) -> None:
    """Whatever a factory of the user's, or the environment's variables, make a library raise."""

    class Broken:
        def open(self) -> Any:
            raise ValueError("no certificates")

        open_async = open

    base44 = Base44(settings=settings, transport=Broken())
    for ask in (
        lambda: base44.as_service_role.connectors.get_connection("slack"),
        lambda: asyncio.run(base44.aio.as_service_role.connectors.get_connection("slack")),
    ):
        with pytest.raises(ConfigurationError, match="no certificates") as caught:
            ask()
        assert caught.value.code == "no_http_client"
    base44.close()


def test_keys_are_fetched_again_after_a_fork(settings: Settings) -> None:
    """The parent's fetch may not have ended; and whoever held a lock is not here."""
    pytest.importorskip("cryptography")
    from base44_web._core.engine.engine import Engine

    fields: dict[str, Any] = {"verification": "keys", "algorithms": ["RS256"], "audience": "a"}
    engine = Engine(changed(settings, **fields, verification_key="https://keys.example/jwks"))
    keys = engine.identity.keys
    assert keys is not None
    assert keys.may_fetch()
    assert not keys.may_fetch()
    keys._lock.acquire()
    engine._after_fork()
    assert keys.may_fetch()
