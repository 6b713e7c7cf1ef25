"""What a `connection_store` costs its Redis: memory for the connections of 1,000 and 10,000 users, and commands.

    python benchmarks/stored.py [--users 1000,10000]

Memory is what `used_memory` grows by. Commands are counted twice: as a server sends them, each of which waits for an
answer, and as the Redis runs them, those inside of scripts too. Needs `redis`, `cryptography` and redis-server, which
is started here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from common import WITHOUT_REDIS, redis_server
from report import Report, numbers, parser, progress

from base44_web import Base44, Settings
from base44_web._core.connections.known import Wanted
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.caller import configured_caller
from base44_web._core.platform.io import BLOCKING, run
from base44_web._core.secret import Secret
from base44_web._core.values import ConnectionRecord
from base44_web.testing import Emulator

SECRET: Final = "a secret that all servers of the fleet have"
TIMES: Final = 50  # hits, and misses
TOKEN_LENGTH: Final = 200  # of a provider's access token; Google's have about as many
_NOT_OURS: Final = ("config", "info", "client", "hello", "select", "ping")


def fill(engine: Engine, users: range) -> None:
    """Store a connection of each user, as if they had been asked for."""
    caller, connections = configured_caller(engine.settings, None), engine.connections
    store = connections.store
    assert store is not None
    for user in users:
        entry = connections.entry_of(caller, Wanted("app_user", "calendar"), f"user{user:020}")

        async def ask() -> ConnectionRecord:
            record = ConnectionRecord(Secret("t" * TOKEN_LENGTH), None, "googlecalendar")
            record.asked = engine.platform.clock.monotonic()
            return record

        run(store.fetch(BLOCKING, entry, ask, lambda record: True, end=time.monotonic() + 60))
    if store.breaker.is_open:
        raise RuntimeError("the Redis did not answer in time: this machine is too busy")


def commands(client: Any, do: Callable[[], None]) -> tuple[int, int]:
    """How many commands a Redis was sent, and how many it ran."""
    client.config_resetstat()
    do()
    found = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in found.items()}
    ran = {name: count for name, count in calls.items() if name.partition("|")[0] not in _NOT_OURS}
    return sum(ran.get(name, 0) for name in ("mget", "eval")), sum(ran.values())


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--users", type=numbers, default="1000,10000")
    options = arguments.parse_args()
    report = Report(options.json)
    with Emulator() as emulator, redis_server() as server:
        if server is None:
            report.note(WITHOUT_REDIS)
            return report.end()
        from redis import Redis

        settings = Settings(
            app_id=emulator.app_id, service_token=emulator.service_token, connection_ttl=300,
            connection_store=server.url, secret=SECRET,
        )  # fmt: skip
        engine = Engine(settings.complete(), emulator.transport)
        types = [f"type{number}" for number in range(TIMES + 1)]
        for each in types:
            emulator.share(each)
        get = Base44._for(Context(engine, configured_caller(engine.settings, None))).as_service_role.connectors

        def ask() -> None:
            for each in types[1:]:
                get.get_connection(each)

        with Redis.from_url(server.url) as client:
            get.get_connection(types[0])  # the connection is open, and the scripts are known
            report.table("Commands for one look-up")
            for what in ("miss", "hit"):
                sent, ran = commands(client, ask)
                report.tell("sent", sent / TIMES, "", column=what)
                report.tell("run, inside of scripts too", ran / TIMES, "", column=what)
            report.table(f"Memory in the Redis, tokens of {TOKEN_LENGTH} characters")
            for users in options.users:
                progress(f"{users} users")
                client.flushall()
                before = client.info("memory")["used_memory"]
                fill(engine, range(users))
                grown = client.info("memory")["used_memory"] - before
                report.tell("in all", grown / 1e6, "MB", column=f"{users:,} users")
                report.tell("for each", grown / users, "bytes", column=f"{users:,} users")
        engine.close()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
