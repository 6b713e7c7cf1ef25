"""Tries the `connection_store` on a cluster of three nodes, and on a Sentinel set whose master is killed.

    python scripts/redis_kinds.py

It starts and ends the servers itself (redis-server, redis-cli and redis-sentinel must be installed), and needs the
emulator (`base44-web[testing,store]`). It says what it saw, and ends with 1 if anything was otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from base44_web import AsyncBase44, Base44, Settings
from base44_web.testing import CALENDAR_ID, Emulator

SECRET = "a secret of this script, and of nobody else"
TIMES = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}


def free_ports(count: int) -> list[int]:
    """Free ones below 55,000: a cluster's bus is on the port 10,000 further up."""
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            found.update(() if port >= 55_000 else (port,))
    return sorted(found)


@contextlib.contextmanager
def servers(*commands: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until something comes true; errors mean that it is not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            if condition():
                return
        time.sleep(0.1)
    raise SystemExit("it did not come true in time")


def try_it(emulator: Emulator, url: str, store: Any, name: str) -> Callable[[], int]:
    """Two servers of a fleet, blocking and awaiting; gives what asks both, and counts the platform's calls."""
    users = [emulator.add_user(f"user{number}@{name}.example") for number in range(20)]
    for user in users:
        emulator.connect(user, CALENDAR_ID)
    tokens = [emulator.sign_in(user) for user in users]
    settings = Settings(
        app_id=emulator.app_id, server_url=url, service_token=emulator.service_token, secret=SECRET,
        app_user_connectors={"calendar": CALENDAR_ID}, connection_store=store,
    )  # fmt: skip

    def ask() -> int:
        emulator.requests.clear()
        for token in tokens:
            with Base44(settings=settings, token=token) as base44:
                base44.user()
                base44.as_service_role.connectors.get_current_app_user_connection("calendar")

        async def awaiting() -> None:
            for token in tokens:
                async with AsyncBase44(settings=settings, token=token) as base44:
                    await base44.user()
                    await base44.as_service_role.connectors.get_current_app_user_connection("calendar")

        asyncio.run(awaiting())
        return sum(request.target.endswith("/token") for request in emulator.requests)

    return ask


def cluster(emulator: Emulator, url: str, folder: Path) -> bool:
    from redis.asyncio.cluster import RedisCluster as AsyncCluster
    from redis.cluster import ClusterNode, RedisCluster

    ports = free_ports(3)
    commands = [
        ["redis-server", "--port", str(port), "--cluster-enabled", "yes", "--save", "", "--dir", str(folder),
         "--cluster-config-file", f"nodes-{port}.conf"]
        for port in ports
    ]  # fmt: skip
    with servers(*commands):
        nodes = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *nodes, "--cluster-yes"]
        until(lambda: subprocess.run(create, capture_output=True).returncode == 0)
        made = {"host": "127.0.0.1", "port": ports[0], **TIMES}
        with RedisCluster(**made) as client:
            until(lambda: client.cluster_info()["cluster_state"] == "ok")
        ask = try_it(emulator, url, (lambda: RedisCluster(**made), lambda: AsyncCluster(**made)), "cluster")
        first, second = ask(), ask()
        with RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", ports[0])]) as client:
            spread = {port: len(client.get_redis_connection(node).keys()) for port, node in
                      ((node.port, node) for node in client.get_primaries())}  # fmt: skip
    print(
        f"cluster: {first} calls for 20 users on 2 servers, then {second}; keys on the nodes: {list(spread.values())}"
    )
    return (first, second) == (20, 0) and all(spread.values())


def sentinel(emulator: Emulator, url: str, folder: Path) -> bool:
    from redis import Sentinel
    from redis.asyncio import Sentinel as AsyncSentinel

    master, replica, watcher = free_ports(3)
    (folder / "sentinel.conf").write_text(
        f"port {watcher}\ndir {folder}\nsentinel monitor base44 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds base44 1000\nsentinel failover-timeout base44 3000\n"
    )
    usual = ["--save", "", "--dir", str(folder)]
    with servers(
        ["redis-server", "--port", str(master), *usual],
        ["redis-server", "--port", str(replica), "--replicaof", "127.0.0.1", str(master), *usual],
        ["redis-server", str(folder / "sentinel.conf"), "--sentinel"],
    ) as (first_master, _, _):
        watchers = [("127.0.0.1", watcher)]
        blocking = Sentinel(watchers, sentinel_kwargs=TIMES, **TIMES)
        until(lambda: blocking.discover_slaves("base44"))
        store = (
            lambda: Sentinel(watchers, sentinel_kwargs=TIMES, **TIMES).master_for("base44"),
            lambda: AsyncSentinel(watchers, sentinel_kwargs=TIMES, **TIMES).master_for("base44"),
        )
        ask = try_it(emulator, url, store, "sentinel")
        before = ask(), ask()
        first_master.kill()
        during = ask()  # no error: the platform is asked
        until(lambda: blocking.discover_master("base44")[1] == replica)
        time.sleep(2)  # for the breakers
        ask()
        after = ask()
    print(f"sentinel: {before} calls for 20 users, {during} as the master was killed, {after} on the new one")
    return before == (20, 0) and during >= 20 and after == 0


def main() -> int:
    missing = [name for name in ("redis-server", "redis-cli") if shutil.which(name) is None]
    if missing:
        print(f"{', '.join(missing)} is not installed: apt-get install redis-server redis-tools", file=sys.stderr)
        return 2
    logging.getLogger("base44_web").setLevel(logging.ERROR)  # it says of each server that the store is down
    with (
        Emulator.demo() as emulator,
        emulator.serve() as server,
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as two,
    ):
        seen = [cluster(emulator, server.url, Path(one)), sentinel(emulator, server.url, Path(two))]
    return 0 if all(seen) else 1


if __name__ == "__main__":
    sys.exit(main())
