"""What a JWT claims. Nothing here is verified: a hint for how long to remember, never an identity."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, cast

from ._secret import Secret


def claims(token: Secret) -> dict[str, Any] | None:
    """The payload of a JWT (RFC 7519 §3), or `None` where it is no JSON object."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None
    return cast(dict[str, Any], payload) if isinstance(payload, dict) else None


def expiry(token: Secret) -> float | None:
    """The `exp` that a JWT claims (RFC 7519 §4.1.4), in seconds since 1970, or `None`."""
    value: object = (claims(token) or {}).get("exp")
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(cast(float, value)) if numeric else None
