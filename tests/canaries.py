"""Canaries: credentials that must be found nowhere."""

from __future__ import annotations

import json
import traceback
from typing import Any

from base44_web import (
    Settings,
)
from base44_web.testing import CALENDAR_ID, Fault

CANARY = "canary0Secret"


SESSION = f"{CANARY}-session-{'s' * 30}"


KEY = f"{CANARY}-key-{'k' * 30}"


STATE = f"{CANARY}-state"


SERVICE = f"{CANARY}-service"


TOKEN = f"eyJhbGciOiJIUzI1NiJ9.e30.{CANARY}-user"


BODY = json.dumps({"access_token": f"{CANARY}-provider\n", "redirect_url": f"https://u@p.example/{CANARY}"}).encode()


def canary_settings(url: str, **more: Any) -> Settings:
    return Settings(
        app_id="demo-app", server_url=url, service_token=SERVICE, secret=SESSION, verification_key=KEY,
        app_user_connectors={"calendar": CALENDAR_ID}, max_retries=0,
        **{"timeout": 60, "connect_timeout": 30, **more},
    )  # fmt: skip


def clean(text: object) -> None:
    assert CANARY not in str(text), str(text)[max(0, str(text).index(CANARY) - 300) :][:600]


def frames_are_clean(error: BaseException) -> None:
    """The locals of our frames, as error reporters show them: their repr."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        clean(repr(each) + str(each) + repr(each.args) + repr(vars(each)))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if "base44_web" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    clean(f"{frame.f_code.co_qualname} {name} {value!r}")
        pending += [each.__cause__, each.__context__]


FAULTS = [
    Fault(status=500, body=BODY), Fault(status=401, headers={"X-Leak": CANARY}), Fault(status=200, body=BODY), Fault(drop="during", body=BODY),
    Fault(delay=3), Fault(raw=f"HTTP/1.1 200 {CANARY}\r\nA".encode()), Fault(raw=CANARY.encode()), Fault(status=200, body=BODY[:-3]),
    Fault(status=302, headers={"Location": f"https://x/{CANARY}"}), Fault(status=200, headers={"Content-Encoding": "gzip"}, body=BODY),
]  # fmt: skip


CALLS: list[tuple[str, str, list[str]]] = [
    ("service", "get_connection", ["slack"]),
    ("service", "get_current_app_user_connection", [CALENDAR_ID]),
    ("user", "connect_app_user", [CALENDAR_ID]),
    ("user", "disconnect_app_user", [CALENDAR_ID]),
    ("client", "user", []),
]
