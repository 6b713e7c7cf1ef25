"""What a fleet of servers that share a Redis (`connection_store`) asks the platform, how fast it is, and what happens
as the Redis or one of the servers fails.

    python benchmarks/fleet.py [--processes 1,2,4,8] [--callers 200] [--hits 500] [--seconds 2]

Every server is a process of its own, the platform is the emulator, which answers after a tenth of a second, and the
Redis is started here. Needs `redis`, `cryptography` and redis-server.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common import WITHOUT_REDIS, RedisServer, Worker, ask_all, environment_of, redis_server, working
from report import Report, numbers, parser, percentile, progress

from base44_web._core.connections.store import _LOCK
from base44_web.testing import Emulator, Fault

SECRET: Final = "a secret that all servers of the fleet have"
ANSWERS_AFTER: Final = 0.1  # seconds, as a platform on the internet
USERS: Final = 4  # of each server under load, each asking again and again
SEVERAL: Final = 4  # servers where the Redis fails
GET: Final = "benchmark:bare"  # what the bare client gets
Request = tuple[float, float, str]  # when it came, the seconds that it took, how it ended


@dataclass(frozen=True, slots=True)
class Fleet:
    """Servers, the platform that they ask, and how to connect all users to one more connector."""

    workers: Sequence[Worker]
    emulator: Emulator
    connect: Callable[[str], None]

    def calls(self) -> int:
        """How often the platform was asked for a connection, since the last time that this was asked."""
        found = sum(request.target.endswith("/token") for request in self.emulator.requests)
        self.emulator.requests.clear()
        return found

    def at_once(self, servers: int, callers: int, connector: str, *, each_its_own: bool = False) -> list[Request]:
        """So many requests to each of so many servers, at the same moment; for one connector, or each for another."""
        workers = self.workers[:servers]
        ask_all(workers, ["settle"])
        at = time.monotonic() + 0.3
        for number, worker in enumerate(workers):
            worker.tell(["at_once", at, callers, f"{connector} {number}" if each_its_own else connector])
        return [tuple(each) for worker in workers for each in worker.answer()]


def cold_starts(report: Report, fleet: Fleet, options: Any, way: str) -> None:
    """All ask at once for what nobody has."""
    for servers in options.processes:
        progress(f"cold start, {servers} servers, {way}")
        connector = f"cold {way} {servers}"
        fleet.connect(connector)
        fleet.calls()
        ended = {each[2] for each in fleet.at_once(servers, options.callers, connector)}
        if ended != {"connected"}:
            raise RuntimeError(f"requests ended with {ended}")
        # More want more than two processors: who gets none for long takes the Redis for slow, and asks itself.
        budget = 1 if way == "with a Redis" and servers <= SEVERAL else None
        report.tell(way, fleet.calls(), "", column=str(servers), at_most=budget)


def not_connected(report: Report, fleet: Fleet, servers: int) -> None:
    """What nobody has connected, asked for by all: nobody waits for the others, one after the other.

    Who waited for the first asks as that has failed: two calls, the second at the same time as all others. Beside it,
    one call each at the same time, of connectors that nobody else asks for.
    """
    alone = fleet.at_once(servers, 3, "nobody has this", each_its_own=True)
    found = fleet.at_once(servers, 3, "nor this")
    if {each[2] for each in alone + found} != {"NotConnectedError"}:
        raise RuntimeError("somebody is connected")
    quotient = max(each[1] for each in found) / max(each[1] for each in alone)
    report.tell(f"{servers} servers, not connected: the longest / of one call each", quotient, "×", at_most=2)


def latencies(report: Report, fleet: Fleet, options: Any, redis: RedisServer) -> None:
    """What the store has, beside a GET of the same client."""
    from redis import Redis

    fleet.connect("hit")
    fleet.at_once(1, 1, "hit")
    with Redis.from_url(redis.url) as client:
        key = max(client.scan_iter("base44:*"), key=lambda key: client.strlen(key))
        client.set(GET, client.get(key))  # as many octets as what is kept
        for servers in options.processes:
            progress(f"hits, {servers} servers")
            for way in ("hits", "blocking_hits"):
                ask_all(fleet.workers[:servers], ["settle"])
                fleet.calls()
                found = ask_all(fleet.workers[:servers], [way, time.monotonic() + 0.3, options.hits, "hit", GET])
                kind = "awaited" if way == "hits" else "blocking"
                names = (f"{kind}, p50", f"a GET, {kind}, p50", f"{kind}, p99", f"a GET, {kind}, p99")
                for name, values in zip(names, zip(*found, strict=True), strict=True):
                    report.tell(name, statistics.median(values) * 1e6, "µs", column=str(servers))
                report.tell(f"{kind}: calls to the platform meanwhile", fleet.calls(), "", column=str(servers))
                quotient = statistics.median(each[0] / each[1] for each in found)
                budget = 1.5 if servers == 1 else None
                report.tell(f"{kind} / a GET, p50", quotient, "×", column=str(servers), at_most=budget)


def under_load(fleet: Fleet, seconds: float, *failures: Callable[[], None]) -> tuple[list[list[Request]], list[float]]:
    """The requests of each server, with failures ordered in equal pauses; and when each failure was ordered."""
    until = time.monotonic() + seconds * (len(failures) + 1)
    workers = fleet.workers[:SEVERAL]
    for worker in workers:
        worker.tell(["for_a_while", until, USERS, "load"])
    times: list[float] = []
    for fail in failures:
        time.sleep(seconds)
        times.append(time.monotonic())
        fail()
    return [worker.answer() for worker in workers], times


def redis_fails(
    report: Report, fleet: Fleet, redis: RedisServer, without: Sequence[Sequence[Request]], seconds: float
) -> None:
    """It stands still, then it is gone; `without` are the requests of each server under the same load without any."""
    seconds_without = [took for requests in without for _, took, _ in requests]
    usual, slow = statistics.median(seconds_without), percentile(seconds_without, 99)
    # Until then a server has not asked the platform: as at its start without a Redis, its connections are to be opened.
    opening = statistics.median(max(took for _, took, _ in sorted(requests)[:USERS]) for requests in without)
    progress("the Redis fails under load")
    found, (frozen, killed) = under_load(fleet, seconds, redis.freeze, redis.kill)
    everything = [each for requests in found for each in requests]
    failed = sum(each[2] != "connected" for each in everything)
    report.tell("frozen, then killed, under load: requests that failed", failed, "", at_most=0)
    for name, since, until in (("frozen", frozen, killed), ("killed", killed, killed + seconds)):
        first = [  # what was under way, or came just after
            max(took for came, took, _ in requests if came + took > since and came < since + seconds / 4)
            for requests in found
        ]
        later = [took for came, took, _ in everything if since + seconds / 4 <= came < until]
        if name == "frozen":
            added = (max(first) - opening) * 1000
            report.tell("frozen, one server's slowest request - its first without a Redis", added, "ms", at_most=60)
        report.tell(f"{name}, from then on / without a Redis, p50", statistics.median(later) / usual, "×", at_most=1.1)
        report.tell(f"{name}, from then on / without a Redis, p99", percentile(later, 99) / slow, "×")


def leader_killed(report: Report, fleet: Fleet) -> None:
    """The server that asks for all dies while it does."""
    progress("a leader is killed")
    connector = "leader"
    fleet.connect(connector)
    fleet.emulator.fault(Fault(delay=20), path=f"*/{connector}/token")
    leader, other = fleet.workers[-1], fleet.workers[0]  # the last does nothing else
    fleet.calls()
    leader.tell(["at_once", time.monotonic(), 1, connector])
    while not fleet.emulator.requests:
        time.sleep(0.01)
    leader.kill()
    ((_, took, ended),) = other.ask(["at_once", time.monotonic(), 1, connector])
    if ended != "connected":
        raise RuntimeError(f"the next one ended with {ended}")
    # Between two looks at the lock lies a twentieth of what was waited.
    report.tell("leader killed: the next one has it after", took, "s", at_most=_LOCK * 1.05 + 2 * ANSWERS_AFTER)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--processes", type=numbers, default="1,2,4,8")
    arguments.add_argument("--callers", type=int, default=200)
    arguments.add_argument("--hits", type=int, default=500)
    arguments.add_argument("--seconds", type=float, default=2.0, help="between two failures of the Redis")
    options = arguments.parse_args()
    report, most = Report(options.json), max(*options.processes, SEVERAL)
    with Emulator.demo() as emulator, emulator.serve() as platform, redis_server() as redis:
        if redis is None:
            report.note(WITHOUT_REDIS)
            return report.end()
        users = [emulator.add_user(f"user{number}@test.example") for number in range(USERS)]
        tokens = " ".join(emulator.sign_in(user) for user in users)
        usual = {**environment_of(emulator, platform.url), "BENCHMARK_TOKENS": tokens}
        emulator.fault(Fault(delay=ANSWERS_AFTER), path="*/token", times=None)

        def connect(connector: str) -> None:
            for user in users:
                emulator.connect(user, connector)

        def ready(workers: Sequence[Worker]) -> Fleet:
            ask_all(workers, ["know", USERS])
            connect("load")
            ask_all(workers, ["guard", 0, "load"])  # it has imported and opened what it needs then
            return Fleet(workers, emulator, connect)

        report.table(f"Calls to the platform as {options.callers} requests come to each of so many servers at once")
        with working(most, ["fleet_worker.py"], {**usual, "BASE44_CONNECTION_TTL": "30"}) as workers:
            cold_starts(report, ready(workers), options, "without")
        with working(SEVERAL, ["fleet_worker.py"], {**usual, "BASE44_CONNECTION_TTL": "0"}) as workers:
            progress("load, without a Redis")
            without, _ = under_load(ready(workers), options.seconds)
        more = {"BASE44_CONNECTION_STORE": redis.url, "BASE44_SECRET": SECRET, "BASE44_CONNECTION_TTL": "300"}
        with working(most + 1, ["fleet_worker.py"], {**usual, **more}) as workers:
            fleet = ready(workers)
            cold_starts(report, fleet, options, "with a Redis")
            report.table("Microseconds of a hit in the Redis, as so many servers ask at once")
            latencies(report, fleet, options, redis)
            report.table("As things fail")
            not_connected(report, fleet, max(options.processes))
            leader_killed(report, fleet)
            redis_fails(report, fleet, redis, without, options.seconds)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
