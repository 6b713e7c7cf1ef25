"""Tokens in headers: `Authorization`, the platform's own, and a WebSocket's subprotocols."""

from __future__ import annotations

from typing import Final, TypeAlias

from ...errors import Base44Error
from ..fields import is_bearer_token
from ..secret import Secret

SUBPROTOCOL_PREFIX: Final = "base44.bearer."
MAX_TOKEN_LENGTH: Final = 8192  # bytes; servers accept headers of 8 to 64 KiB

Parsed: TypeAlias = Secret | str | None
"""A token, what is wrong with it, or `None`: there is none."""


def parse_bearer(values: list[Secret], header: str) -> Parsed:
    """The token of a bearer header (RFC 6750 §2.1), `None` for a bare `Bearer`, or what is wrong with it."""
    if len(values) > 1:
        return f"The request has {len(values)} {header} headers; send one."
    value = values[0].reveal()
    if len(value) > MAX_TOKEN_LENGTH:
        return f"The {header} header is longer than {MAX_TOKEN_LENGTH} bytes."
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        return f'The {header} header must be "Bearer <token>", with another scheme it is not used.'
    if not token:
        # A server strips the space of "Bearer " (RFC 9110 §5.5), which the reference client reads as no token.
        return None
    if token in ("null", "undefined"):
        return f'The {header} header says "Bearer {token}": the page has no token, and should send no header.'
    if not is_bearer_token(token):
        return f'The {header} header must be "Bearer <token>": one space, one token.'
    return Secret(token)


def parse_subprotocols(headers: list[Secret]) -> Parsed:
    """The token that a WebSocket's client offers as a subprotocol: scripts can set no header there."""
    found = [
        word.strip(" \t").removeprefix(SUBPROTOCOL_PREFIX)
        for header in headers
        for word in header.reveal().split(",")
        if word.strip(" \t").startswith(SUBPROTOCOL_PREFIX)
    ]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) > MAX_TOKEN_LENGTH or not is_bearer_token(found[0]):
        return f"The WebSocket must offer one subprotocol {SUBPROTOCOL_PREFIX}<token>."
    return Secret(found[0])


def checked(outcome: Parsed, error: type[Base44Error], code: str) -> Secret | None:
    """The token that was parsed, or its error raised: out here, where no local holds what came in."""
    if isinstance(outcome, str):
        raise error(outcome, code=code, about_visitor=True)
    return outcome
