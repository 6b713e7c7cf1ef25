"""What a JWT claims. Nothing here is verified: a hint for how long to remember, never an identity."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any, Final, cast, final

from .secret import Opaque, Secret

_LEEWAY: Final = 60.0  # seconds that clocks may differ


@final
class Token(Opaque):
    """A bearer token, most likely a JWT (RFC 7519); decoded and hashed at most once, for all who ask."""

    __slots__ = ("_digest", "_parts", "secret")

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self._digest: bytes | None = None
        self._parts: tuple[dict[str, Any], dict[str, Any]] | tuple[None, None] | None = None

    @property
    def digest(self) -> bytes:
        """The token's SHA-256, to remember it by."""
        if self._digest is None:
            self._digest = sha256(self.secret.reveal().encode()).digest()
        return self._digest

    @property
    def header(self) -> dict[str, Any] | None:
        """The JWT's header (RFC 7515 §4), or `None` where it is no JWT."""
        return self._decoded()[0]

    @property
    def claims(self) -> dict[str, Any] | None:
        """The JWT's claims (RFC 7519 §3), or `None` where it is no JWT."""
        return self._decoded()[1]

    @property
    def expiry(self) -> float | None:
        """The `exp` that it claims (RFC 7519 §4.1.4), in seconds since 1970, or `None`."""
        value: object = (self.claims or {}).get("exp")
        numeric = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
        return float(cast(float, value)) if numeric else None

    @property
    def key_id(self) -> str | None:
        """The ID of the key that it says it was signed with (RFC 7515 §4.1.4), or `None`."""
        found = (self.header or {}).get("kid")
        return found if isinstance(found, str) else None

    def dead_reason(self, now: float) -> str | None:
        """Why nobody needs to be asked about the token at this time: it is no JWT, or has expired."""
        if self.claims is None:
            return "The token is no JWT."
        expires = self.expiry
        return "The token has expired." if expires is not None and expires < now - _LEEWAY else None

    def _decoded(self) -> tuple[dict[str, Any], dict[str, Any]] | tuple[None, None]:
        if self._parts is None:
            parts = self.secret.reveal().split(".", 3)
            header = _json_object(parts[0]) if len(parts) == 3 else None
            claims = None if header is None else _json_object(parts[1])
            self._parts = (None, None) if header is None or claims is None else (header, claims)
        return self._parts


def _json_object(part: str) -> dict[str, Any] | None:
    try:
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        value = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice: readers differ in which counts")  # RFC 7519 §4
    return found
