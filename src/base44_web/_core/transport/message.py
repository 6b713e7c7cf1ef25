"""Requests to the platform and its answers, as values."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, final

from ..secret import Opaque, Secret

MAX_BODY: Final = 1024 * 1024  # bytes of an answer


@final
@dataclass(frozen=True, slots=True, repr=False)
class PlatformRequest(Opaque):
    """A request to the platform. `headers` holds what may be sent; credentials in it are `Secret`."""

    method: str
    url: str
    headers: tuple[tuple[str, str | Secret], ...]
    content: bytes = b""

    def plain_headers(self) -> list[tuple[str, str]]:
        """The headers with their credentials, for the moment of sending."""
        return [(name, value.reveal() if isinstance(value, Secret) else value) for name, value in self.headers]

    def __repr__(self) -> str:
        return f"<PlatformRequest {self.method} {self.url}>"


@final
class PlatformResponse(Opaque):
    """An answer of the platform: the status, lower-case header names, and a body that no repr shows."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def json(self) -> Any:
        """The decoded body: `None` for an empty one, `Malformed` where it is not JSON (RFC 8259)."""
        return _decode(self._body, "strict")

    def error_data(self) -> Any:
        """The decoded body of an error: JSON, or else text, as the reference client has it."""
        value = _decode(self._body, "replace")
        return _text(self._body, "replace") if value is Malformed or not self._body else value

    def __repr__(self) -> str:
        return f"<PlatformResponse {self.status}, {len(self._body)} bytes>"


class Malformed:
    """Stands for a body that is not JSON."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's own, no JSON


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one for each answer


def _text(body: bytes, errors: str) -> str:
    return body.removeprefix(BOM_UTF8).decode("utf-8", errors)  # an eighth of what utf-8-sig takes


def _decode(body: bytes, errors: str) -> Any:
    if not body:
        return None
    try:
        return _DECODER.decode(_text(body, errors))
    except (ValueError, RecursionError):
        return Malformed
