"""The session's cookie: a JWT, sealed so that neither scripts nor backups nor logs of cookies can read it."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

from ...errors import BadRequestError, ConfigurationError
from ..claims import Token
from ..secret import Opaque, Secret

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

logger = logging.getLogger("base44_web")
COOKIE: Final = "__Host-base44_session"
_MOST_SECONDS: Final = 12 * 3600
_MOST_BYTES: Final = 3800  # browsers drop a cookie whose name, value and attributes exceed 4096 (RFC 6265bis §5.6)
_ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


class Sealed(NamedTuple):
    """What a cookie held: the JWT, and the app whose user it is."""

    token: Secret
    app_id: str


@final
class Seal(Opaque):
    """Seals and opens; Fernet of the `cryptography` package (AES-128-CBC, HMAC-SHA-256), with a key derived by HKDF.

    Args:
        secrets: the first seals, all open.

    Raises:
        ConfigurationError: `cryptography` is not installed.
    """

    __slots__ = ("_fernet",)

    def __init__(self, secrets: tuple[Secret, ...]) -> None:
        try:
            self._fernet = _fernet(secrets)
        except ImportError:
            raise ConfigurationError(
                'The token source "session" needs cryptography: pip install "base44-web[session]".'
            ) from None

    def set_cookie(self, token: Token, app_id: str) -> str:
        """The `Set-Cookie` header that begins a session. It lasts until the JWT's `exp`, 12 hours at most.

        Raises:
            BadRequestError: the JWT has expired, or is too long for a cookie.
        """
        now = time.time()
        expires = token.expiry
        seconds = int(_MOST_SECONDS if expires is None else min(_MOST_SECONDS, expires - now))
        if seconds <= 0:
            raise BadRequestError("The token has expired.", code="expired_token", about_visitor=True)
        content = json.dumps([token.secret.reveal(), app_id, now + seconds]).encode()
        value = Secret(self._fernet.encrypt(content).decode())
        del content
        if len(value.reveal()) > _MOST_BYTES:
            logger.warning(
                "A token of %d bytes is too long for the session's cookie.",
                len(token.secret.reveal()),
                extra={"base44_event": "session_token_too_long"},
            )
            raise BadRequestError("The token is too long for a cookie.", code="token_too_long", about_visitor=True)
        return f"{COOKIE}={value.reveal()}; Max-Age={seconds}; {_ATTRIBUTES}"

    def open(self, value: Secret) -> Sealed | None:
        """What a cookie's value holds; `None` where it was not sealed here, was changed, or has expired."""
        from cryptography.fernet import InvalidToken

        try:
            content = cast(list[Any], json.loads(self._fernet.decrypt(value.reveal())))
        except (InvalidToken, ValueError):
            return None
        token, app_id, expires = content
        return Sealed(Secret(token), app_id) if time.time() < expires else None


def clear_cookie() -> str:
    """The `Set-Cookie` header that ends a session."""
    return f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}"


def _fernet(secrets: tuple[Secret, ...]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def key(secret: Secret) -> bytes:
        # The purpose is in the key: a framework's secret key seals other things too.
        derived = HKDF(SHA256(), length=32, salt=None, info=b"base44_web session 1").derive(secret.reveal().encode())
        return base64.urlsafe_b64encode(derived)

    return MultiFernet([Fernet(key(secret)) for secret in secrets])
