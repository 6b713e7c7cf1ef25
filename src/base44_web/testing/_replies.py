"""Answers before faults: status, headers, body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

Reply: TypeAlias = tuple[int, Mapping[str, str], bytes]
HTML = {"content-type": "text/html; charset=utf-8"}


def json_reply(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return status, {"content-type": "application/json", **(headers or {})}, json.dumps(body).encode()


def detail(status: int, text: str) -> Reply:
    """An error in the platform's usual form."""
    return json_reply(status, {"detail": text})
