"""A long run with faults: 200,000 guarded requests of 10,000 users, after which memory has come to rest and nothing is
open.

    python benchmarks/soak.py [--requests 200000] [--users 10000] [--at-once 32]

The app is FastAPI, called as a server calls it, in this process; the platform is the emulator in another, and of its
answers some are 500 or 429, cut short, dropped, no JSON, slow, or too late. Memory is this process's resident one. What
it grows by for a request is taken from the second half, and judged where that has 50,000 requests or more: before,
the users who come for the first time are remembered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psutil
from common import environment_of, obey, signed_in, working
from report import Report, parser, progress

from base44_web.testing import CALENDAR_ID, Emulator, Fault

TIMEOUT: Final = 1.0  # seconds for a call to the platform
# What is remembered ends early, so that the platform is asked again and again.
SETTINGS: Final = {"BASE44_TIMEOUT": str(TIMEOUT), "BASE44_CONNECTION_TTL": "5", "BASE44_IDENTITY_TTL": "20"}
FAULTS: Final = (
    Fault(status=500),
    Fault(status=502, body=b"<html>Bad gateway</html>"),
    Fault(status=429, headers={"Retry-After": "1"}),
    Fault(status=429, headers={"Retry-After": "60"}),
    Fault(drop="before"),
    Fault(drop="during"),
    Fault(body=b"no JSON"),
    Fault(delay=0.2),
    Fault(delay=2 * TIMEOUT),
    Fault(raw=b"\x00\xff no HTTP\r\n\r\n"),
)
EXPECTED: Final = (200, 503)
MOST_GROWTH: Final = 20.0  # bytes for a request: less than any object


# --- the platform


def be_the_platform(users: int) -> None:
    """Serve an emulator that goes wrong now and then, until told to end."""
    with Emulator.demo() as emulator, emulator.serve() as platform:
        tokens, ended = signed_in(emulator, users, CALENDAR_ID), threading.Event()

        def go_wrong() -> None:
            chance = random.Random(44)
            while not ended.wait(0.05):
                emulator.clear_faults()
                emulator.fault(chance.choice(FAULTS), times=chance.randint(1, 4))
                emulator.requests.clear()

        threading.Thread(target=go_wrong).start()
        obey(lambda order: [environment_of(emulator, platform.url), tokens])
        ended.set()


# --- the app


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[None]:
    """An app from its start to its end, as servers do it."""
    received: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    sent: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.create_task(app(scope, received.get, sent.put))
    for at in ("startup", "shutdown"):
        await received.put({"type": f"lifespan.{at}"})
        answer = await sent.get()
        if answer["type"] != f"lifespan.{at}.complete":
            raise RuntimeError(answer)
        if at == "startup":
            yield
    await running


async def request(app: Any, token: str) -> int:
    """A request's status."""
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "scheme": "http",
             "server": ("testserver", 80), "client": ("127.0.0.1", 1), "root_path": "", "http_version": "1.1",
             "asgi": {"version": "3.0"},
             "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())]}  # fmt: skip
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def run(app: Any, tokens: Sequence[str], requests: int, at_once: int) -> tuple[Counter[int], list[int], int]:
    """The statuses, the resident memory after each fiftieth of all requests, and how many tasks are left at the end."""
    statuses: Counter[int] = Counter()
    memory: list[int] = []
    left, chance, process = requests, random.Random(44), psutil.Process()

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            statuses[await request(app, chance.choice(tokens))] += 1
            if statuses.total() % (requests // 50) == 0:
                memory.append(process.memory_info().rss)
                if len(memory) % 5 == 0:
                    progress(f"{statuses.total():,} requests, {memory[-1] / 1e6:.1f} MB")

    async with started(app):
        await asyncio.gather(*(one() for _ in range(at_once)))
    return statuses, memory, len(asyncio.all_tasks()) - 1


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=200_000)
    arguments.add_argument("--users", type=int, help="by default one for each 20 requests")
    arguments.add_argument("--at-once", type=int, default=32)
    options = arguments.parse_args()
    users = options.users or max(1, options.requests // 20)
    report, process = Report(options.json), psutil.Process()
    with working(1, ["soak.py", "platform", str(users)]) as (platform,):
        environment, tokens = platform.ask("begin")
        os.environ.update(environment, BENCHMARK="fastapi/cached", **SETTINGS)
        logging.getLogger("base44_web").setLevel(logging.CRITICAL)  # what it says of the faults is known
        from apps import app

        files, threads, began = process.num_fds(), threading.active_count(), time.monotonic()
        statuses, memory, tasks = asyncio.run(run(app, tokens, options.requests, options.at_once))
        took = time.monotonic() - began
        files, threads = process.num_fds() - files, threading.active_count() - threads
    second = memory[len(memory) // 2 :]
    step = options.requests // 50
    slope = statistics.linear_regression([number * step for number in range(len(second))], second).slope
    report.table(f"{options.requests:,} requests of {users:,} users, while the platform goes wrong")
    for status in EXPECTED:
        report.tell(f"answered with {status}", statuses[status], "")
    others = sum(count for status, count in statuses.items() if status not in EXPECTED)
    report.tell("answered with anything else", others, "", at_most=0)
    for name, value in {"a fiftieth": memory[0], "the half": second[0], "the end": memory[-1]}.items():
        report.tell(f"memory at {name}", value / 1e6, "MB")
    judged = MOST_GROWTH if options.requests >= 100_000 else None
    report.tell("growth in the second half, for a request", slope, "bytes", at_most=judged)
    for name, value in {"files": files, "tasks": tasks, "threads": threads}.items():
        report.tell(f"{name} left open at the end", value, "", at_most=0)
    report.tell("time", took, "s")
    return report.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["platform"]:
        be_the_platform(int(sys.argv[2]))
    else:
        sys.exit(main())
