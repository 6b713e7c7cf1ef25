"""What a guarded view costs under a real server: bare, with a cached connection, without a cache; and the
reference client under Node.js, which does the same.

    python benchmarks/guarded.py [fastapi flask django] [--requests 1000] [--rounds 7]

What counts is the processor's time of the app's processes for each request, at 32 connections. The servers take turns,
round by round, so a busy moment falls on all of them, and of each pair's ratios the median is printed. Needs `psutil`,
`uvicorn` (with `uvloop`, if it is there), `gunicorn`, and for the comparison Node.js with `npm ci` in tests/reference.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil

from base44_web.testing import CALENDAR_ID, Emulator

HERE = Path(__file__).parent
CONNECTIONS: Final = 32
SERVERS: Final = {
    "fastapi": ["-m", "uvicorn", "apps:app", "--port", "{port}", "--log-level", "warning", "--no-access-log"],
    "flask": ["-m", "gunicorn", "apps:app", "-b", "127.0.0.1:{port}", "--threads", "8", "--log-level", "warning"],
    "django": ["-m", "gunicorn", "apps:app", "-b", "127.0.0.1:{port}", "--threads", "8", "--log-level", "warning"],
}
WAYS: Final = {"bare": {}, "cached": {}, "asking": {"BASE44_CONNECTION_TTL": "0", "BASE44_IDENTITY_TTL": "60"}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server under test, and what its processes have used of the processor so far."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int) -> None:
        self.port = port
        self._started = subprocess.Popen(command, cwd=HERE, env={**os.environ, **environment})
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{command} did not start")

    def used(self) -> float:
        """Seconds of the processor's time."""
        process = psutil.Process(self._started.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def close(self) -> None:
        self._started.send_signal(signal.SIGTERM)
        self._started.wait(20)


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int) -> Iterator[Server]:
    server = Server(command, environment, port)
    try:
        yield server
    finally:
        server.close()


async def load(port: int, token: str, count: int) -> None:
    """So many requests over 32 connections; each must be answered with 200.

    Own code: it takes a fraction of an HTTP library's time, which would be the server's on a small machine.
    """
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    left = count

    async def one() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                raise RuntimeError(answer.decode())
            fields = dict(line.lower().split(b":", 1) for line in answer.split(b"\r\n")[1:] if line)
            if b"content-length" in fields:
                await reader.readexactly(int(fields[b"content-length"]))
            else:  # chunked, as Node.js answers
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            if fields.get(b"connection", b"").strip() == b"close":
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def measured(server: Server, token: str, count: int) -> float:
    """Microseconds of the processor's time for each request."""
    before = server.used()
    asyncio.run(load(server.port, token, count))
    return (server.used() - before) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", default=list(SERVERS))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with Emulator.demo() as emulator, emulator.serve() as platform, ExitStack() as stack:
        user = emulator.add_user("ada@test.example")
        emulator.connect(user, CALENDAR_ID)
        token = emulator.sign_in(user)
        usual = {
            "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": platform.url,
            "BASE44_SERVICE_TOKEN": emulator.service_token, "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
            "BASE44_IDENTITY_TTL": "600",
        }  # fmt: skip
        servers: dict[str, Server] = {}
        for framework in options.frameworks:
            for way, more in WAYS.items():
                port = free_port()
                environment = {**usual, **more, "BENCHMARK": f"{framework} {way}"}
                command = [sys.executable, *(word.format(port=port) for word in SERVERS[framework])]
                servers[f"{framework} {way}"] = stack.enter_context(serving(command, environment, port))
        if shutil.which("node") and (HERE.parent / "tests/reference/node_modules").exists():
            port = free_port()
            environment = {**usual, "PORT": str(port), "CONNECTOR": CALENDAR_ID}
            servers["reference client"] = stack.enter_context(serving(["node", "reference.mjs"], environment, port))
        rounds: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(options.rounds + 1):  # the first warms up
            for name, server in servers.items():
                found = measured(server, token, options.requests)
                if number:
                    rounds[name].append(found)
        for name, found in rounds.items():
            line = f"{name:18} {statistics.median(found):7.0f} µs"
            framework = name.partition(" ")[0]
            for other in (f"{framework} bare", "reference client"):
                if other in rounds and other != name:
                    ratio = statistics.median(a / b for a, b in zip(found, rounds[other], strict=True))
                    line += f"   {ratio:5.2f} × {other}"
            print(line)


if __name__ == "__main__":
    main()
