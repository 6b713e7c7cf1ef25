"""How much is remembered: 100,000 guarded requests of 10,000 users whose records have 20 kB, in this process.

    python benchmarks/memory.py [--requests 100000] [--users 10000] [--record 20000]

Prints the process's resident memory before, and after each tenth; from the half on it must have come to rest.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import time
from typing import Any

import psutil
from report import Report, parser

from base44_web import Base44Error, PlatformRequest, PlatformResponse, Settings
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import BLOCKING, run


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class Platform:
    """Says yes, with a record of so many bytes; reads the user from the token, which nobody has signed."""

    def __init__(self, record: int) -> None:
        self._record = record

    def open(self) -> Platform:
        return self

    def open_async(self) -> Any:
        raise NotImplementedError

    def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        if request.url.endswith("/me"):
            token = dict(request.plain_headers())["Authorization"].split(".")[1]
            sub = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["sub"]
            more = {f"field{n}": "x" * 92 for n in range(self._record // 100)}
            return PlatformResponse(200, {}, json.dumps({"id": sub, "app_id": "app", **more}).encode())
        return PlatformResponse(200, {}, json.dumps({"access_token": "t" * 200, "integration_type": "x"}).encode())

    def close(self) -> None:
        """Nothing is held."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--users", type=int, default=10_000)
    arguments.add_argument("--record", type=int, default=20_000)
    options = arguments.parse_args()
    settings = Settings(app_id="app", service_token="service", app_user_connectors={"calendar": "c"}).complete()
    engine = Engine(settings, Platform(options.record))
    expires = int(time.time()) + 3600
    tokens = [f"{encoded({'alg': 'none'})}.{encoded({'sub': f'u{n}', 'exp': expires})}.x" for n in range(options.users)]
    process, chance = psutil.Process(), random.Random(44)
    report = Report(options.json)
    report.table(f"Resident memory of a process, {options.users:,} users whose records have {options.record:,} bytes")
    found = [process.memory_info().rss / 1e6]
    report.tell("before", found[0], "MB")
    for number in range(1, options.requests + 1):
        incoming = Incoming("GET", [("authorization", f"Bearer {chance.choice(tokens)}")])
        try:
            run(admit(BLOCKING, Context(engine, incoming), ("calendar",)))
        except Base44Error as error:
            raise SystemExit(str(error)) from error
        if number % (options.requests // 10) == 0:
            found.append(process.memory_info().rss / 1e6)
            report.tell(f"after {number:,} requests", found[-1], "MB")
    report.tell("at the end / at the half", found[-1] / found[5], "×", at_most=1.1)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
