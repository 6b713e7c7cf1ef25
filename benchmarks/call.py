"""What one token call costs, nothing kept but the user: ours on each HTTP library, the bare library, and the reference
client under Node.js.

    python benchmarks/call.py [--calls 1000] [--rounds 12] [--callers 1,20,100,200]

What counts is the processor's time of the client's own process, in microseconds a call, with so many callers at once;
it has a core of its own, as has who answers, a process that does nothing else. Each caller asks for another connector,
for equal calls at the same time would be one. The clients take turns, round by round, and of each pair's ratios the
median is printed. Ours and the bare libraries keep one client; the reference client is made for each call, as it is for
a request. Needs `httpx`, `aiohttp`, and for the comparison Node.js with `npm ci` in tests/reference: what is missing is
left out.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, Final

import jwt
from common import Worker, free_port, obey, reference_client, serving, step_aside
from report import Report, numbers, parser, progress, ratio

from base44_web import AsyncBase44, ConnectorID, Settings
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.request import Incoming

REFERENCE: Final = "reference client"
PAIRS: Final = {
    "ours on httpx2": "bare httpx2",
    "ours on httpx2, blocking": "bare httpx2, blocking",
    "ours on httpx": "bare httpx",
    "ours on aiohttp": "bare aiohttp",
}
CLIENTS: Final = (REFERENCE, *(name for ours, bare in PAIRS.items() for name in (bare, ours)))
TOKEN: Final = b'{"access_token": "a-token-of-the-provider", "integration_type": "googlecalendar"}'
USER: Final = b'{"id": "ada", "email": "ada@test.example", "app_id": "app"}'
NOBODY: Final = -1  # as a caller: make sure that the user is known, which lasts ten minutes at most
Call = Callable[[int], Awaitable[None]]


# --- who answers


class Answering(asyncio.Protocol):
    """Answers each request, which has no body, with a token, or with who the user is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._begun = (self._begun + data).split(b"\r\n\r\n")
        self._transport.write(b"".join(_answer(USER if b"/User/me " in head else TOKEN) for head in heads))


def _answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def answer(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


# --- who asks


def _target(caller: int) -> str:
    return f"{os.environ['BENCHMARK_URL']}/api/apps/app/app-user-auth/connectors/{caller:024x}/token"


def _headers() -> dict[str, str]:
    return {
        "Accept": "application/json", "X-App-Id": "app", "Authorization": "Bearer service",
        "on-behalf-of": f"Bearer {os.environ['BENCHMARK_TOKEN']}",
    }  # fmt: skip


def bare_httpx(library: Any) -> Call:
    client, headers = library.AsyncClient(), _headers()

    async def call(caller: int) -> None:
        response = await client.get(_target(caller), headers=headers)
        assert response.raise_for_status().json()["access_token"]

    return call


def bare_blocking() -> Callable[[int], None]:
    import httpx2

    client, headers = httpx2.Client(), _headers()

    def call(caller: int) -> None:
        response = client.get(_target(caller), headers=headers)
        assert response.raise_for_status().json()["access_token"]

    return call


def bare_aiohttp() -> Call:
    import aiohttp

    session, headers = aiohttp.ClientSession(raise_for_status=True), _headers()

    async def call(caller: int) -> None:
        async with session.get(_target(caller), headers=headers) as response:
            assert (await response.json())["access_token"]

    return call


def our_client(library: str) -> AsyncBase44:
    """One client for all calls, as the bare libraries have; what a request of its own adds is in `parts.py`."""
    given: dict[str, Any] = {} if library == "httpx2" else {"http_client": library}
    settings = Settings(
        app_id="app", service_token="service", server_url=os.environ["BENCHMARK_URL"], connection_ttl=0,
        identity_ttl=600, **given,
    )  # fmt: skip
    engine = Engine(settings.complete())
    headers = [("authorization", f"Bearer {os.environ['BENCHMARK_TOKEN']}")]
    return AsyncBase44._for(Context(engine, Incoming("GET", headers)))


def ours(library: str) -> Call:
    client = our_client(library)

    async def call(caller: int) -> None:
        if caller == NOBODY:
            await client.user()
            return
        connectors = client.as_service_role.connectors
        connection = await connectors.get_current_app_user_connection(ConnectorID(f"{caller:024x}"))
        assert connection.access_token

    return call


def ours_blocking() -> Callable[[int], None]:
    client = our_client("httpx2")

    def call(caller: int) -> None:
        if caller == NOBODY:
            client.sync.user()
            return
        connectors = client.sync.as_service_role.connectors
        assert connectors.get_current_app_user_connection(ConnectorID(f"{caller:024x}")).access_token

    return call


async def opened(name: str) -> Call:
    whose, _, library = name.replace("on ", "").partition(" ")
    if whose == "ours":
        return ours(library)
    if library == "aiohttp":
        return bare_aiohttp()
    return bare_httpx(__import__(library))


def ask_blocking(call: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(500) as threads:

        def calls(callers: int, times: int) -> None:
            def one(caller: int) -> None:
                for _ in range(times):
                    call(caller)

            list(threads.map(one, range(callers)))

        def measured(callers: int, times: int) -> float:
            call(NOBODY)
            calls(callers, 1)
            began = time.process_time()
            calls(callers, times)
            return (time.process_time() - began) / (callers * times) * 1e6

        obey(lambda order: measured(**order))


def ask_awaiting(name: str) -> None:
    async def calls(call: Call, callers: int, times: int) -> None:
        async def one(caller: int) -> None:
            for _ in range(times):
                await call(caller)

        await asyncio.gather(*(one(caller) for caller in range(callers)))

    with asyncio.Runner() as runner:
        call = runner.run(opened(name))

        async def measured(callers: int, times: int) -> float:
            await call(NOBODY)
            await calls(call, callers, 1)  # the connections are open then
            began = time.process_time()
            await calls(call, callers, times)
            return (time.process_time() - began) / (callers * times) * 1e6

        obey(lambda order: runner.run(measured(**order)))
    os._exit(0)  # nothing is closed here, and aiohttp would complain


# --- both


def left_out(name: str) -> str | None:
    """Why a client is left out, or `None`."""
    library = name.partition(",")[0].rpartition(" ")[2]
    if name == REFERENCE:
        return reference_client()
    if find_spec(library) is None:
        return f"Without {name}: {library} is not installed."
    if name.startswith("ours") and library != "httpx2" and "http_client" not in Settings.FIELDS:
        return f"Without {name}: there is no setting http_client."
    return None


def tell(report: Report, found: dict[tuple[str, int], list[float]], callers: list[int]) -> None:
    report.table("One token call: microseconds of the processor's time in the client, by callers at once")
    for (name, count), values in found.items():
        report.tell(name, statistics.median(values), "µs", column=f"c={count}")
    report.table("One token call: ratios")
    budgets: dict[tuple[str, str, int], float] = {("ours on httpx2", "bare httpx2", count): 1.08 for count in callers}
    budgets["ours on aiohttp", "bare aiohttp", 20] = 1.7
    budgets["ours on aiohttp", REFERENCE, 20] = 0.2
    for ours, bare in PAIRS.items():
        for other in (bare, REFERENCE):
            for count in callers:
                if (ours, count) in found and (other, count) in found:
                    value = ratio(found[ours, count], found[other, count])
                    budget = budgets.get((ours, other, count))
                    report.tell(f"{ours} / {other}", value, "×", column=f"c={count}", at_most=budget)
    if ("ours on aiohttp", 200) in found and ("ours on aiohttp", 20) in found:
        value = ratio(found["ours on aiohttp", 200], found["ours on aiohttp", 20])
        report.tell("ours on aiohttp / itself at c=20", value, "×", column="c=200", at_most=1.3)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--calls", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--callers", type=numbers, default="1,20,100,200")
    arguments.add_argument("--client", action="append", choices=CLIENTS, help="only this one; can be given again")
    options = arguments.parse_args()
    report = Report(options.json)
    step_aside()
    port = free_port()
    claims = {"sub": "ada", "exp": int(time.time()) + 7200}
    token = jwt.encode(claims, "a key of the benchmark, and of nobody else")
    environment = {"BENCHMARK_URL": f"http://127.0.0.1:{port}", "BENCHMARK_TOKEN": token}
    found: dict[tuple[str, int], list[float]] = {}
    with serving([sys.executable, "call.py", "answer", str(port)], {}, port), ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in options.client or CLIENTS:
            reason = left_out(name)
            if reason is not None:
                report.note(reason)
                continue
            command = ["node", "call.mjs"] if name == REFERENCE else [sys.executable, "call.py", "ask", name]
            workers[name] = Worker(command, environment, alone=True)
            stack.callback(workers[name].close)
        for turn in range(options.rounds + 1):  # the first warms up
            progress(f"round {turn} of {options.rounds}")
            for callers in options.callers:
                for name, worker in workers.items():
                    value = worker.ask({"callers": callers, "times": max(1, options.calls // callers)})
                    if turn:
                        found.setdefault((name, callers), []).append(value)
    tell(report, {(name, count): found[name, count] for name in workers for count in options.callers}, options.callers)
    return report.end()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["answer", port]:
            asyncio.run(answer(int(port)))
        case ["ask", name] if name.endswith("blocking"):
            ask_blocking(ours_blocking() if name.startswith("ours") else bare_blocking())
        case ["ask", name]:
            ask_awaiting(name)
        case _:
            sys.exit(main())
