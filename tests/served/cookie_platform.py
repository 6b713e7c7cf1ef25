"""A platform for the isolation test, in a process of its own: 100 connected users, and a cookie with every answer.

Prints the address, the tokens and each user's provider token; then, asked by a line on standard input, what it saw.
"""

from __future__ import annotations

import json
import sys

from base44_web.testing import CALENDAR_ID, Emulator, Fault


def main() -> None:
    with Emulator.demo() as emulator, emulator.serve() as server:
        users = [emulator.add_user(f"user{number}@test.example") for number in range(100)]
        expected = {emulator.sign_in(user): emulator.connect(user, CALENDAR_ID) for user in users}
        emulator.fault(Fault(headers={"Set-Cookie": "session=somebody; Path=/"}), times=None)
        start = {"url": server.url, "app_id": emulator.app_id, "service_token": emulator.service_token}
        print(json.dumps({**start, "expected": expected}), flush=True)
        for _ in sys.stdin:
            seen = {
                "requests": len(emulator.requests),
                "cookies": sum(request.header("cookie") is not None for request in emulator.requests),
                "users": len({request.header("on-behalf-of") for request in emulator.requests}),
            }
            emulator.requests.clear()
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
