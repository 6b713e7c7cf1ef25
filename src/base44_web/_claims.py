"""What a JWT claims. Nothing here is verified: a hint for how long to remember, never an identity."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final, cast

from ._secret import Secret

_LEEWAY: Final = 60.0  # seconds that clocks may differ


def claims(token: Secret) -> dict[str, Any] | None:
    """The payload of a JWT (RFC 7519 §3), or `None` where it is no JSON object."""
    return _part(token, 1)


def header_of(token: Secret) -> dict[str, Any] | None:
    """The header of a JWT (RFC 7515 §4), or `None` where it is no JSON object."""
    return _part(token, 0)


def _part(token: Secret, index: int) -> dict[str, Any] | None:
    parts = token.reveal().split(".", 3)
    if len(parts) != 3:
        return None
    try:
        text = base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4))
        payload = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], payload) if isinstance(payload, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice: readers differ in which counts")  # RFC 7519 §4
    return found


def dead_reason(token: Secret) -> str | None:
    """Why nobody needs to be asked about a token: it is no JWT, or has expired."""
    if header_of(token) is None or claims(token) is None:
        return "The token is no JWT."
    expires = expiry(token)
    return "The token has expired." if expires is not None and expires < time.time() - _LEEWAY else None


def expiry(token: Secret) -> float | None:
    """The `exp` that a JWT claims (RFC 7519 §4.1.4), in seconds since 1970, or `None`."""
    value: object = (claims(token) or {}).get("exp")
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(cast(float, value)) if numeric else None
