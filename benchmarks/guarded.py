"""What a guarded view costs under a real server: bare, by hand, with a cached connection, without a cache; and the
reference client under Node.js, which does the same.

    python benchmarks/guarded.py [fastapi flask django] [--requests 2000] [--rounds 7]

What counts is the processor's time of the app's processes, on a core of their own, for each request, at 32 connections,
each another user's: so none of them shares another's call. By hand is what one would write without us: `User/me` and
the token route, on httpx2. The servers take turns, round by round, so a busy moment falls on all of them, and of each
pair's ratios the median is printed. Needs `psutil`, `uvicorn` (with `uvloop`, if it is there), `gunicorn`, and for the
comparison Node.js with `npm ci` in tests/reference.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Final

from common import Server, environment_of, free_port, load, reference_client, serving, signed_in, step_aside
from report import Report, parser, progress, ratio

from base44_web import Settings
from base44_web.testing import CALENDAR_ID, Emulator

CONNECTIONS: Final = 32
_GUNICORN = ["-m", "gunicorn", "apps:app", "-b", "127.0.0.1:{port}", "--threads", "8", "--log-level", "warning"]
SERVERS: Final = {
    "fastapi": ["-m", "uvicorn", "apps:app", "--port", "{port}", "--log-level", "warning", "--no-access-log"],
    "flask": _GUNICORN,
    "django": _GUNICORN,
}
_ASKING = {"BASE44_CONNECTION_TTL": "0"}
WAYS: Final = {"bare": {}, "by hand": {}, "cached": {}, "asking": _ASKING}
FAST: Final = "asking, aiohttp"
REFERENCE: Final = "reference client"
BUDGETS: Final = {("fastapi", FAST, REFERENCE): 0.6}


def measured(server: Server, tokens: Sequence[str], count: int) -> float:
    """Microseconds of the processor's time for each request, once each user's connection is there where it is kept."""
    asyncio.run(load(server.port, tokens, 2 * len(tokens)))
    before = server.used()
    asyncio.run(load(server.port, tokens, count))
    return (server.used() - before) / count * 1e6


def ways_of(framework: str, report: Report) -> dict[str, dict[str, str]]:
    """The ways to guard a view of a framework, each with its settings."""
    if framework != "fastapi":  # blocking calls stay on httpx2
        return WAYS
    if "http_client" not in Settings.FIELDS or find_spec("aiohttp") is None:
        report.note(f"Without {FAST}: there is no setting http_client, or no aiohttp.")
        return WAYS
    return {**WAYS, FAST: {**_ASKING, "BASE44_HTTP_CLIENT": "aiohttp"}}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("frameworks", nargs="*", default=list(SERVERS))
    arguments.add_argument("--requests", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    report = Report(options.json)
    step_aside()
    with Emulator.demo() as emulator, emulator.serve() as platform, ExitStack() as stack:
        tokens = signed_in(emulator, CONNECTIONS, CALENDAR_ID)
        usual = environment_of(emulator, platform.url)
        servers: dict[tuple[str, str], Server] = {}
        for framework in options.frameworks:
            for way, more in ways_of(framework, report).items():
                port = free_port()
                environment = {**usual, **more, "BENCHMARK": f"{framework}/{way}"}
                command = [sys.executable, *(word.format(port=port) for word in SERVERS[framework])]
                servers[framework, way] = stack.enter_context(serving(command, environment, port, alone=True))
        missing = reference_client()
        if missing is None:
            port = free_port()
            environment = {**usual, "PORT": str(port), "CONNECTOR": CALENDAR_ID}
            command = ["node", "reference.mjs"]
            servers["Node.js", REFERENCE] = stack.enter_context(serving(command, environment, port, alone=True))
        else:
            report.note(missing)
        rounds: dict[tuple[str, str], list[float]] = {name: [] for name in servers}
        for turn in range(options.rounds + 1):  # the first warms up
            progress(f"round {turn} of {options.rounds}")
            for name, server in servers.items():
                found = measured(server, tokens, options.requests)
                emulator.requests.clear()
                if turn:
                    rounds[name].append(found)
    tell(report, rounds)
    return report.end()


def tell(report: Report, rounds: dict[tuple[str, str], list[float]]) -> None:
    report.table("A guarded view: microseconds of the processor's time for a request")
    for (framework, way), found in rounds.items():
        report.tell(way, statistics.median(found), "µs", column=framework)
    report.table("A guarded view: ratios")
    for (framework, way), found in rounds.items():
        for where, other in ((framework, "bare"), ("Node.js", REFERENCE)):
            beside = rounds.get((where, other))
            if way != "bare" and beside is not None and beside is not found:
                budget = BUDGETS.get((framework, way, other))
                report.tell(f"{way} / {other}", ratio(found, beside), "×", column=framework, at_most=budget)


if __name__ == "__main__":
    sys.exit(main())
