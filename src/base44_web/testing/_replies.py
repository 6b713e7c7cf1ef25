"""Answers before faults: status, headers, body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

Reply: TypeAlias = tuple[int, Mapping[str, str], bytes]
HTML = {"content-type": "text/html; charset=utf-8", "referrer-policy": "no-referrer"}


def json_reply(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return status, {"content-type": "application/json", **(headers or {})}, json.dumps(body).encode()


def detail(status: int, text: str) -> Reply:
    """An error in the platform's usual form."""
    return json_reply(status, {"detail": text})


def exception(status: int, text: str, kind: str = "HTTPException") -> Reply:
    """An error as the platform's sign-in routes give it (the mock in `base44 dev`, auth-router.ts)."""
    body = {"detail": text, "error_type": kind, "message": text, "request_id": None, "traceback": ""}
    return json_reply(status, body)


def redirect(location: str) -> Reply:
    return 303, {"location": location, "referrer-policy": "no-referrer"}, b""


def not_emulated(what: str, status: int = 501) -> Reply:
    """Says clearly that nothing here answers this. The reference client shows `message` and `code`."""
    text = f"{what} not emulated: base44-web's emulator has sign-in, connectors and functions."
    return json_reply(status, {"detail": text, "message": text, "code": "NOT_EMULATED"})
