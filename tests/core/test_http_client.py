"""The setting `http_client`: whatever sends the awaited calls, what is sent and what comes of the answers is the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from base44_web import (
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    HttpxTransports,
    RequestTimeoutError,
    Settings,
)
from base44_web._core.engine.engine import Engine
from base44_web._core.secret import Secret
from base44_web._core.transport.httpx_clients import transport_factory
from base44_web._core.transport.message import PlatformRequest
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CANARY, FAULTS, canary_settings, clean, frames_are_clean
from tests.certificates import certificate
from tests.checks import calls
from tests.drivers import changed
from tests.serving import PATIENCE, eventually

LIBRARIES = ["httpx2", "httpx", "aiohttp"]
BODY = b'{"id": "ada"}'
SIZED = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\n" + BODY[:4] + b"\r\n9\r\n" + BODY[4:] + b"\r\n0\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
READ = (200, {}, BODY)
LOST = "RequestFailedError connection_lost"
REFUSED = "InvalidResponseError invalid_response"

# What the platform answers before it closes the connection; the status, headers beyond the framing's, and the body, or the error.
ANSWERS: dict[str, tuple[bytes, tuple[int, dict[str, str], bytes] | str]] = {
    "plain": (OK + SIZED, READ),
    "chunks": (OK + CHUNKS + b"\r\n", READ),
    "chunks and a trailer": (OK + CHUNKS + b"X-Trailer: 1\r\n\r\n", READ),
    "until the end, in HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + BODY, READ),
    "until the end": (OK + b"\r\n" + BODY, READ),
    "interim answers before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + SIZED, READ,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, {}, b"")),
    "no reason": (b"HTTP/1.1 200\r\n" + SIZED, READ),
    "a status of its own": (b"HTTP/1.1 799 Odd\r\n" + SIZED, (799, {}, BODY)),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /else\r\n" + SIZED, (302, {"location": "/else"}, BODY)),
    "a header twice": (OK + b"X-A: 1\r\nx-a: 2\r\n" + SIZED, (200, {"x-a": "1, 2"}, BODY)),
    "no ASCII in a header": (OK + b"X-A: \xe9\r\n" + SIZED, (200, {"x-a": "é"}, BODY)),
    "a long header": (OK + b"X-A: " + b"a" * 30_000 + b"\r\n" + SIZED, (200, {"x-a": "a" * 30_000}, BODY)),
    "a longer header": (OK + b"X-A: " + b"a" * 80_000 + b"\r\n" + SIZED, (200, {"x-a": "a" * 80_000}, BODY)),
    "many headers": (
        OK + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + SIZED,
        (200, {f"x-{number}": "a" for number in range(500)}, BODY),
    ),
    "a MiB": (OK + b"Content-Length: 1048576\r\n\r\n" + b" " * 1048576, (200, {}, b" " * 1048576)),
    "more than a MiB": (OK + b"Content-Length: 1048577\r\n\r\n" + b" " * 1048577, REFUSED),
    "more than a MiB in chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20 + b"0\r\n\r\n", REFUSED,
    ),
    "compressed": (OK + b"Content-Encoding: gzip\r\n" + SIZED, REFUSED),
    "compressed, it says then": (OK + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n" + SIZED, REFUSED),
    "not compressed, it says": (
        OK + b"Content-Encoding: identity\r\n" + SIZED, (200, {"content-encoding": "identity"}, BODY)
    ),
    "compressed on the way": (OK + CHUNKS.replace(b": chunked", b": gzip, chunked") + b"\r\n", LOST),
    "a switch that nobody asked for": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", LOST),
    "a status that is none": (b"HTTP/1.1 099 Odd\r\n" + SIZED, LOST),
    "a head without end": (OK + b"X-A: " + b"a" * 300_000 + b"\r\n" + SIZED, LOST),
    "cut short": (OK + SIZED[:-1], LOST),
    "chunks cut short": (OK + CHUNKS[:-3], LOST),
    "chunks of no size": (OK + CHUNKS.replace(b"9\r\n", b"z\r\n"), LOST),
    "only an interim answer": (b"HTTP/1.1 103 Early Hints\r\n\r\n", LOST),
    "less than nothing": (OK + SIZED.replace(b": 1", b": -1"), LOST),
    "two lengths": (OK + b"Content-Length: 5\r\n" + SIZED, LOST),
    "a header with a zero": (OK + b"X-A: a\0b\r\n" + SIZED, LOST),
    "no head": (BODY, LOST),
    "HTTP/2": (b"HTTP/2 200 OK\r\n" + SIZED, LOST),
}  # fmt: skip


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip(request.param)
    return request.param


def test_answers_are_read_alike(library: Any, emulator: Emulator, platform: str, subtests: pytest.Subtests) -> None:
    request = PlatformRequest("GET", f"{platform}/api/apps/a", (("Authorization", Secret("Bearer a")),))

    async def main() -> None:
        factory = transport_factory(None, http_client=library)
        for name, (octets, wanted) in ANSWERS.items():
            # A new one: the server closes its connections, and what is sent on a kept one just then is lost.
            transport = factory.open_async()
            with subtests.test(name):
                emulator.clear_faults()
                emulator.fault(Fault(raw=octets))
                found: object
                try:
                    answer = await transport.send(request, timeout=PATIENCE, connect_timeout=PATIENCE)
                    framing = ("content-length", "transfer-encoding")
                    headers = {key: value for key, value in answer.headers.items() if key not in framing}
                    found = (answer.status, headers, answer._body)
                except Base44Error as error:
                    found = f"{type(error).__name__} {error.code}"
                assert found == wanted
            await transport.aclose()

    asyncio.run(main())


def test_requests_are_sent_alike(library: Any, settings: Settings, emulator: Emulator) -> None:
    """As by the default; a body of more than a MiB, of which aiohttp warns, and an empty one too."""
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    names = ["a b", "naïve-日本", "!'()*~;,:@&=+$", "..a"]
    for name in names:
        emulator.share(name)

    async def ask(http_client: Any) -> list[object]:
        emulator.requests.clear()
        emulator.fault(Fault(headers={"Set-Cookie": "session=1; Path=/"}), times=None)
        async with AsyncBase44(settings=changed(settings, http_client=http_client), token=token) as base44:
            for name in names:
                assert await base44.as_service_role.connectors.get_connection(name)
            await base44.as_service_role.connectors.call_api("x", path="/", method="POST", body="é" * 2**20)
            assert await base44.connectors.connect_app_user("calendar")
            with pytest.raises(Base44Error):
                await base44.connectors.disconnect_app_user("calendar")
            assert await base44.user()
        emulator.clear_faults()
        # An empty body's length, and whether the connection is kept, are the library's to say or not.
        return [
            (
                each.method,
                each.target,
                {*each.headers} - {("connection", "keep-alive"), ("content-length", "0")},
                each.body,
            )
            for each in emulator.requests
        ]

    sent = asyncio.run(ask("httpx2"))
    assert len(sent) == 8
    assert asyncio.run(ask(library)) == sent


def test_what_is_lost_on_a_kept_connection_is_sent_once(library: Any, settings: Settings, emulator: Emulator) -> None:
    """Whether it may be sent again is decided for all libraries in one place."""
    token = emulator.sign_in(emulator.add_user("ada@test.example"))

    async def main() -> None:
        async with AsyncBase44(settings=changed(settings, http_client=library), token=token) as base44:
            assert await base44.user()
            emulator.fault(Fault(drop="before"), times=None)
            with pytest.raises(Base44Error) as caught:
                await base44.connectors.disconnect_app_user("calendar")
            assert caught.value.code == "connection_lost"

    asyncio.run(main())
    assert calls(emulator, f"/app-user-auth/connectors/{CALENDAR_ID}") == 1


def test_several_loops_at_the_same_time_and_one_after_the_other(library: Any, settings: Settings) -> None:
    base44 = AsyncBase44(settings=changed(settings, http_client=library))

    async def main() -> set[str]:
        connectors = base44.as_service_role.connectors
        found = await asyncio.gather(*(connectors.get_connection("slack", fresh=True) for _ in range(30)))
        return {each.access_token for each in found}

    async def several() -> list[set[str]]:
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, main()) for _ in range(3)))

    tokens = [*asyncio.run(several()), asyncio.run(main())]
    assert len(set.union(*tokens)) == 1
    assert base44._context.engine.platform.pools._loops == {}


# --- which it is


def test_a_library_that_is_missing_is_told_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("httpx", "aiohttp"):
        monkeypatch.setitem(sys.modules, library, None)
        settings: Any = Settings(app_id="a", http_client=library)
        with pytest.raises(
            ConfigurationError, match=rf'http_client="{library}".*pip install "base44-web\[{library}\]"'
        ):
            Engine(settings)
        assert Engine(settings, HttpxTransports())  # what is given wins


def test_a_session_of_aiohttp_cannot_be_given() -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match='http_client="aiohttp"'):
                AsyncBase44(app_id="a", transport=session)

    asyncio.run(main())


def test_a_socks_proxy_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("ALL_PROXY", "socks5h://user:canary@proxy.example:1080")
    settings = Settings(app_id="a", server_url="https://192.0.2.1", service_token="s", http_client="aiohttp")

    async def main() -> None:
        async with AsyncBase44(settings=settings) as base44:
            with pytest.raises(ConfigurationError, match="SOCKS proxy, which aiohttp does not speak to") as caught:
                await base44.as_service_role.connectors.get_connection("slack")
        assert "canary" not in str(caught.value)

    asyncio.run(main())


# --- aiohttp shows nothing, and leaves nothing


def test_no_log_of_aiohttp_has_a_credential(
    emulator: Emulator, platform: str, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio's debug mode is on: it logs what is slow, with its repr."""
    pytest.importorskip("aiohttp")
    caplog.set_level(1)
    for name in ("aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio"):
        caplog.set_level(1, name)
    settings = canary_settings(platform, http_client="aiohttp", timeout=PATIENCE)

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0
        async with AsyncBase44(settings=settings) as base44:
            for fault in [*FAULTS, Fault(headers={"Set-Cookie": f"a={CANARY}", "Location": f"/{CANARY}"})]:
                if fault.delay:
                    continue
                emulator.clear_faults()
                emulator.fault(fault, times=None)
                try:
                    await base44.as_service_role.connectors.get_connection("slack", fresh=True)
                except Base44Error as error:
                    error.data = None  # the platform's own words
                    if not (fault.status == 500 and fault.body):
                        frames_are_clean(error)

    asyncio.run(main(), debug=True)
    assert any("Executing" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        clean(record.getMessage())


@pytest.mark.parametrize("body", [b"", b" " * 900_000], ids=["as it waits", "as it sends"])
def test_who_gives_up_shows_nothing_and_leaves_nothing(library: Any, body: bytes, tmp_path: Path) -> None:
    """The other side takes the call over TLS, answers nothing, reads no more and does not close."""
    pem, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    ends: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                ends.append(tls.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=False))

    def is_gone(end: socket.socket) -> bool:
        raw = socket.socket(fileno=os.dup(end.fileno()))
        raw.setblocking(False)
        try:
            with contextlib.suppress(BlockingIOError):
                while raw.recv(65536):
                    pass
                return True
        except ConnectionResetError:
            return True
        finally:
            raw.close()
        return False

    threading.Thread(target=accept, daemon=True).start()
    url = f"https://localhost:{listener.getsockname()[1]}/"
    headers = (("Authorization", Secret(f"Bearer {CANARY}")),)
    request = PlatformRequest("POST" if body else "GET", url, headers, body)

    async def main() -> None:
        transport = transport_factory(None, http_client=library, ca_file=str(pem)).open_async()
        with pytest.raises(RequestTimeoutError):
            await transport.send(request, timeout=0.5, connect_timeout=PATIENCE)
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(transport.send(request, timeout=PATIENCE, connect_timeout=PATIENCE), 0.5)
        error: BaseException | None = caught.value
        while error is not None:
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if "tests" not in frame.f_code.co_filename:
                    clean({name: repr(value) for name, value in frame.f_locals.items()})
            error = error.__cause__ or error.__context__
        await asyncio.wait_for(transport.aclose(), PATIENCE / 2)

    asyncio.run(main())
    assert len(ends) == 2
    assert eventually(lambda: all(is_gone(end) for end in ends))
    for each in (listener, *ends):
        each.close()


CUT_SHORT = """
import asyncio
from base44_web import AsyncBase44, Base44Error

base44 = AsyncBase44()

async def main():
    asyncio.get_running_loop().slow_callback_duration = 3600
    connectors = base44.as_service_role.connectors
    await connectors.get_connection("slack")
    calls = [asyncio.ensure_future(connectors.get_connection("slow", fresh=True)) for _ in range(3)]
    done, _ = await asyncio.wait(calls, timeout=0.2)
    assert not done
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    try:
        await connectors.get_connection("nowhere")
    except Base44Error:
        pass

asyncio.run(main())  # whose end closes the connections
print("ok")
"""

FORKED = """
import asyncio, os, sys, threading, warnings
from base44_web import AsyncBase44

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
base44 = AsyncBase44()
loop = asyncio.new_event_loop()
loop.slow_callback_duration = 3600
thread = threading.Thread(target=loop.run_forever)
thread.start()

async def ask():
    return (await base44.as_service_role.connectors.get_connection("slack")).access_token

def call():
    return asyncio.run_coroutine_threadsafe(ask(), loop).result(PATIENCE)

def sockets():
    paths = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(path) for path in paths if os.path.lexists(path)]
    return {target for target in targets if target.startswith("socket:")}

token, before = call(), sockets()
pid = os.fork()
if pid == 0:
    runner = asyncio.Runner()
    runner.get_loop().slow_callback_duration = 3600
    assert runner.run(ask()) == token
    runner.close()
    sys.exit(0)  # what is collected as the interpreter ends is the parent's
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert call() == token
assert sockets() == before, "the parent lost its connection"
asyncio.run_coroutine_threadsafe(base44.aclose(), loop).result(PATIENCE)
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
print("ok")
"""


ENDED_BADLY = """
import asyncio, gc
from base44_web import AsyncBase44

base44 = AsyncBase44()
loop = asyncio.new_event_loop()
loop.run_until_complete(base44.as_service_role.connectors.get_connection("slack"))
loop.close()
del base44
gc.collect()
print("ok")
"""


@pytest.mark.parametrize("script", ["CUT_SHORT", "FORKED", "ENDED_BADLY"])
def test_nothing_is_left_open(script: str, settings: Settings, emulator: Emulator, platform: str) -> None:
    """Python's development mode, and aiohttp at its end, say what was not closed."""
    pytest.importorskip("aiohttp")
    if script == "FORKED" and not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    emulator.share("slow")
    emulator.fault(Fault(body=b" " * 10_000, drip=0.05), path="*/slow", times=None)
    environment = {**os.environ, "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": platform,
                   "BASE44_SERVICE_TOKEN": emulator.service_token, "BASE44_HTTP_CLIENT": "aiohttp",
                   "BASE44_CONNECTION_TTL": "0", "BASE44_TIMEOUT": str(PATIENCE)}  # fmt: skip
    code = globals()[script].replace("PATIENCE", str(PATIENCE))
    mode = [] if script == "ENDED_BADLY" else ["-X", "dev"]  # a transport of asyncio's would tell of that loop, too
    done = subprocess.run(
        [sys.executable, *mode, "-c", code], env=environment, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_blocking_calls_stay_as_they_are(settings: Settings) -> None:
    pytest.importorskip("aiohttp")
    with Base44(settings=changed(settings, http_client="aiohttp")) as base44:
        assert base44.as_service_role.connectors.get_connection("slack").access_token
        transport = base44._context.engine.platform.pools.blocking._held
    assert type(transport).__name__ == "HttpcoreTransport"
