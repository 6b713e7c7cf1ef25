"""How many calls to the platform N guarded requests of one user are that come at once, when nothing is known of them.

    python benchmarks/once.py [--requests 1,10,100,1000] [--processes 4]

In one process, and over so many as a server has workers, without and with a Redis (`connection_store`). Calls are the
one that verifies the user (`User/me`), which each process makes for itself, and the one for the connection. Needs
`redis`, `cryptography` and redis-server for the last: without them it is left out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

from common import WITHOUT_REDIS, Worker, ask_all, environment_of, redis_server, signed_in, working
from report import Report, numbers, parser, progress

from base44_web.testing import Emulator, Fault

SECRET: Final = "a secret that all servers of the fleet have"
ANSWERS_AFTER: Final = 0.1  # seconds, as a platform on the internet


def at_once(workers: Sequence[Worker], requests: int, connector: str) -> None:
    """So many requests, spread over the workers, at the same moment."""
    at = time.monotonic() + 0.3
    asked = [worker for number, worker in enumerate(workers) if number < requests]
    for number, worker in enumerate(asked):
        worker.tell(["at_once", at, len(range(number, requests, len(asked))), connector])
    for worker in asked:
        for _, _, ended in worker.answer():
            if ended != "connected":
                raise RuntimeError(f"a request ended with {ended}")


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=numbers, default="1,10,100,1000")
    arguments.add_argument("--processes", type=int, default=4)
    options = arguments.parse_args()
    report = Report(options.json)
    report.table("Calls to the platform of N requests at once")
    with Emulator.demo() as emulator, emulator.serve() as platform, redis_server() as redis:
        usual = environment_of(emulator, platform.url)
        emulator.fault(Fault(delay=ANSWERS_AFTER), times=None)
        several = f"{options.processes} processes"
        fleets: dict[str, tuple[int, dict[str, str]]] = {"1 process": (1, {}), several: (options.processes, {})}
        if redis is not None:
            more = {"BASE44_CONNECTION_STORE": redis.url, "BASE44_SECRET": SECRET}
            fleets[f"{several} and a Redis"] = (options.processes, more)
        else:
            report.note(WITHOUT_REDIS)
        for name, (processes, more) in fleets.items():
            for requests in options.requests:
                progress(f"{name}, {requests} at once")
                connector = f"{name} {requests}"
                tokens = " ".join(signed_in(emulator, 2, connector))
                with working(processes, ["fleet_worker.py"], {**usual, **more, "BENCHMARK_TOKENS": tokens}) as workers:
                    ask_all(workers, ["guard", 1, connector])  # it has imported and opened what it needs then
                    emulator.requests.clear()
                    at_once(workers, requests, connector)
                targets = [request.target for request in emulator.requests]
                for what, ending in {"connection": "/token", "user": "/User/me"}.items():
                    calls = sum(target.endswith(ending) for target in targets)
                    most = 1 if what == "connection" and (processes == 1 or more) else None
                    report.tell(f"{name}: for the {what}", calls, "", column=f"N={requests:,}", at_most=most)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
