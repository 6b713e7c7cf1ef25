"""What the benchmarks share: servers, workers and a Redis in processes of their own, and a load for a server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psutil

from base44_web.testing import CALENDAR_ID, Emulator

HERE: Final = Path(__file__).parent
WITHOUT_REDIS: Final = "Without a Redis: redis-server, or the packages redis and cryptography, are not installed."
_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PATIENCE: Final = 20.0  # seconds for a process to start or end


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def step_aside() -> None:
    """Leave a core to what is started `alone`: what is moved between cores costs more, and how often is chance.

    Nothing changes where there is one core, or where the system cannot tell processes which to use.
    """
    if len(_CORES) > 1:
        os.sched_setaffinity(0, _CORES[1:])


def _be_alone() -> None:
    if len(_CORES) > 1:
        os.sched_setaffinity(0, _CORES[:1])


def reference_client() -> str | None:
    """Why the reference client cannot run here, or `None`."""
    if shutil.which("node") is None:
        return "Without the reference client: Node.js is not installed."
    if not (HERE.parent / "tests/reference/node_modules").exists():
        return "Without the reference client: run `npm ci` in tests/reference."
    return None


def environment_of(emulator: Emulator, url: str) -> dict[str, str]:
    """The settings of an app that an emulator is the platform of."""
    return {
        "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": url, "BASE44_SERVICE_TOKEN": emulator.service_token,
        "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}", "BASE44_IDENTITY_TTL": "600",
    }  # fmt: skip


def signed_in(emulator: Emulator, count: int, *connectors: str) -> list[str]:
    """Tokens of so many users, each connected to so many connectors."""
    users = [emulator.add_user(f"user{number}@test.example") for number in range(count)]
    for user in users:
        for connector in connectors:
            emulator.connect(user, connector)
    return [emulator.sign_in(user) for user in users]


class Server:
    """A server under test, and what its processes have used of the processor so far."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, *, alone: bool) -> None:
        self.port = port
        self._started = subprocess.Popen(
            command, cwd=HERE, env={**os.environ, **environment}, preexec_fn=_be_alone if alone else None
        )
        if not _listens(port):
            self.close()
            raise RuntimeError(f"{command} did not start")

    def used(self) -> float:
        """Seconds of the processor's time."""
        process = psutil.Process(self._started.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def close(self) -> None:
        """End it."""
        _end(self._started)


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int, *, alone: bool = False) -> Iterator[Server]:
    """A server, until the block ends."""
    server = Server(command, environment, port, alone=alone)
    try:
        yield server
    finally:
        server.close()


async def load(port: int, tokens: Sequence[str], count: int) -> None:
    """So many requests, over a connection for each token; each must be answered with 200.

    Own code: it takes a fraction of an HTTP library's time, which would be the server's on a small machine.
    """
    left = count

    async def one(token: str) -> None:
        nonlocal left
        head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
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

    await asyncio.gather(*(one(token) for token in tokens))


class Worker:
    """A process that does what it is told: a line of JSON each way. The other side is `obey`, or `call.mjs`.

    Args:
        command: what to start.
        environment: variables to add.
        alone: whether it is what is measured; see `step_aside`.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None, *, alone: bool = False) -> None:
        self._started = subprocess.Popen(
            command, cwd=HERE, env={**os.environ, **(environment or {})}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_be_alone if alone else None,
        )  # fmt: skip
        self.answer()

    def tell(self, order: object) -> None:
        """Send an order, without waiting for its answer."""
        assert self._started.stdin is not None
        self._started.stdin.write(json.dumps(order) + "\n")
        self._started.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the oldest order."""
        assert self._started.stdout is not None
        line = self._started.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._started.args!r} has ended; what it printed says why.")
        return json.loads(line)

    def ask(self, order: object) -> Any:
        """Send an order and wait for its answer."""
        self.tell(order)
        return self.answer()

    def kill(self) -> None:
        """End it by SIGKILL, in the middle of whatever it does."""
        self._started.kill()
        self._started.wait(PATIENCE)

    def close(self) -> None:
        """Let it end."""
        assert self._started.stdin is not None
        assert self._started.stdout is not None
        if self._started.poll() is None:
            self._started.stdin.close()
            _wait(self._started)
        self._started.stdout.close()


@contextmanager
def working(count: int, command: list[str], environment: dict[str, str] | None = None) -> Iterator[list[Worker]]:
    """So many workers, until the block ends."""
    workers: list[Worker] = []
    try:
        for _ in range(count):
            workers.append(Worker([sys.executable, *command], environment))
        yield workers
    finally:
        for worker in workers:
            worker.close()


def ask_all(workers: Sequence[Worker], orders: object) -> list[Any]:
    """The answers of workers that get one order at the same time."""
    for worker in workers:
        worker.tell(orders)
    return [worker.answer() for worker in workers]


def obey(do: Callable[[Any], Any]) -> None:
    """Be a worker: answer each order with what `do` gives, until there are no more."""
    print('"ready"', flush=True)
    for line in sys.stdin:
        print(json.dumps(do(json.loads(line))), flush=True)


class RedisServer:
    """A redis-server of one's own, empty, which keeps nothing.

    Attributes:
        url: of its database 0.
    """

    def __init__(self) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self._folder = tempfile.TemporaryDirectory()
        words = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", self._folder.name]
        self._started = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        if not _listens(port):
            raise RuntimeError("redis-server did not start")

    def freeze(self) -> None:
        """From now on it takes connections and answers nothing."""
        self._started.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self._started.kill()
        self._started.wait(PATIENCE)

    def close(self) -> None:
        """End it, if it is there."""
        if self._started.poll() is None:
            self.kill()
        self._folder.cleanup()


@contextmanager
def redis_server() -> Iterator[RedisServer | None]:
    """A Redis, until the block ends; `None` where it, or what our side of it needs, is not installed."""
    if shutil.which("redis-server") is None or None in (find_spec("redis"), find_spec("cryptography")):
        yield None
        return
    server = RedisServer()
    try:
        yield server
    finally:
        server.close()


def _listens(port: int) -> bool:
    for _ in range(int(PATIENCE / 0.05)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def _end(started: subprocess.Popen[Any]) -> None:
    started.send_signal(signal.SIGTERM)
    _wait(started)


def _wait(started: subprocess.Popen[Any]) -> None:
    try:
        started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait(PATIENCE)
        raise
