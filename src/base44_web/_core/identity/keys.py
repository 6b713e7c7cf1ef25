"""Verifying tokens here, with keys that the operator gives: `verification="keys"`.

The rules are RFC 8725's: algorithms come from the settings and never from the token; one kind of key; the token names
this app. The base is PyJWT, which ignores `jku`, `x5u`, `jwk` and `x5c`, and refuses an unknown `crit`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final, TypeAlias, cast, final

from ...errors import AuthenticationError, ConfigurationError
from ..claims import Token
from ..clock import Clock
from ..config import Settings
from ..secret import Opaque, Secret
from ..urls import is_loopback_url
from ..values import AppUser

Key: TypeAlias = Any  # PyJWT's prepared keys

_SYMMETRIC: Final = frozenset(("HS256", "HS384", "HS512"))
_ASYMMETRIC: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
_DEVELOPMENT_SECRET: Final = "LOCAL_DEV_SECRET"  # noqa: S105 - published, by the command line tool 0.1.18
_BLOCK: Final = 64  # bytes of a block of SHA-256; of the longer ones, 128
_LEEWAY: Final = 60  # seconds that clocks may differ
_COOLDOWN: Final = 30.0  # seconds between two fetches of a JWKS
_COLD: Final = 2.0  # seconds, where there is none yet
_FRESH: Final = 600.0  # seconds after which a JWKS is fetched again, when next it is needed
_MOST_KEYS: Final = 100


@final
class Keys(Opaque):
    """The keys of one `Settings`; a JWKS's are fetched by whoever needs them, and handed to `take`.

    Raises:
        ConfigurationError: the key, the algorithms and what the token must name do not go together.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        try:
            import jwt
        except ImportError:
            raise ConfigurationError('verification="keys" needs PyJWT: pip install "base44-web[keys]".') from None
        self._jwt = jwt
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = self._fetched = -_FRESH  # on the monotonic clock
        self._keys: Mapping[str | None, Key] = {}
        self.url: str | None = None
        self.failed = False  # the JWKS is not there, or the last fetch of it failed
        problem = self._prepare()
        if problem is not None:
            raise ConfigurationError(problem)

    # --- what the operator gave

    def _prepare(self) -> str | None:
        secret, algorithms = self._settings.verification_key, set(self._settings.algorithms)
        if self._settings.app_id is None and self._settings.app_claim is None:
            return (
                "Where the request names the app (allowed_app_ids), app_claim (BASE44_APP_CLAIM) must say how a token "
                "names it: else the users of one app would get into another."
            )
        if secret is None:
            return (
                'verification="keys" needs verification_key (BASE44_VERIFICATION_KEY): a secret, a PEM, a JWK or a URL.'
            )
        if not algorithms or not algorithms <= _SYMMETRIC | _ASYMMETRIC:
            known = ", ".join(sorted(_SYMMETRIC | _ASYMMETRIC))
            return f'verification="keys" needs algorithms (BASE44_ALGORITHMS), of {known}.'
        if algorithms & _SYMMETRIC and algorithms & _ASYMMETRIC:
            return "algorithms (BASE44_ALGORITHMS) mixes HMAC with public keys: a public key would become a secret."
        if algorithms & _SYMMETRIC:
            return self._prepare_secret(secret)
        if find_spec("cryptography") is None:
            return 'Public keys need cryptography: pip install "base44-web[keys]".'
        if self._settings.audience is None and self._settings.app_claim is None:
            return (
                "With public keys, audience (BASE44_AUDIENCE) or app_claim (BASE44_APP_CLAIM) must say how a token "
                "names this app: else the users of every app would get in."
            )
        return self._prepare_public(secret)

    def _prepare_secret(self, secret: Secret) -> str | None:
        if secret.reveal().lstrip().startswith(("-----BEGIN", "{", "https:", "http:", "ssh-", "ecdsa-")):
            return "verification_key (BASE44_VERIFICATION_KEY) is a public key or a URL, and the algorithms are HMAC."
        local = self._settings.development and is_loopback_url(self._settings.server_url)
        if secret.reveal() == _DEVELOPMENT_SECRET and not local:
            return (
                "verification_key (BASE44_VERIFICATION_KEY) is the local dev server's, which everybody knows: it is "
                "for a server_url on loopback, with development (BASE44_DEVELOPMENT) switched on."
            )
        if len(secret.reveal().encode()) < 32 and not local:
            return "verification_key (BASE44_VERIFICATION_KEY) is shorter than 32 bytes (RFC 7518 §3.2)."
        self._keys = {None: _filled_up(secret) if local else secret}
        return None

    def _prepare_public(self, secret: Secret) -> str | None:
        text = secret.reveal().strip()
        if text.startswith(("https:", "http:")):
            self.url, self.failed = text, True
            return None
        if "PRIVATE KEY" in text:
            return "verification_key (BASE44_VERIFICATION_KEY) is a private key: give the public one."
        keys: dict[str | None, Key]
        try:
            keys = self._read_jwks(json.loads(text)) if text.startswith("{") else {None: self._read_pem(text.encode())}
        except (ValueError, TypeError, KeyError, self._jwt.PyJWTError):
            keys = {}
        if not keys:
            return (
                "verification_key (BASE44_VERIFICATION_KEY) is no public key for these algorithms: give a PEM, a JWK "
                "or a JWKS URL; RSA keys of 2048 bits or more."
            )
        self._keys = keys
        return None

    def _read_pem(self, text: bytes) -> Key:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(text)
        if not self._is_strong(key):
            raise ValueError("too short")
        return key

    def _read_jwks(self, document: object) -> dict[str | None, Key]:
        """The usable keys of a JWK or a JWKS (RFC 7517), by their ID; others are left out."""
        if not isinstance(document, dict):
            return {}
        record = cast(dict[str, Any], document)
        entries: object = record.get("keys", [record])
        found: dict[str | None, Key] = {}
        for entry in cast(list[object], entries)[:_MOST_KEYS] if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            jwk = cast(dict[str, Any], entry)
            if jwk.get("kty") == "oct" or "d" in jwk or jwk.get("use", "sig") != "sig":
                continue
            if not isinstance(jwk.get("kid"), str | None):
                continue
            try:
                key = self._jwt.PyJWK(jwk, algorithm=jwk.get("alg")).key
            except (self._jwt.PyJWTError, ValueError, TypeError, KeyError):
                continue
            if self._is_strong(key):
                found[jwk.get("kid")] = key
        return found

    def _is_strong(self, key: Any) -> bool:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        families = {name[:2] for name in self._settings.algorithms}
        if isinstance(key, RSAPublicKey):
            return key.key_size >= 2048 and not families.isdisjoint({"RS", "PS"})
        if isinstance(key, EllipticCurvePublicKey):
            return "ES" in families
        return isinstance(key, Ed25519PublicKey | Ed448PublicKey) and "Ed" in families

    # --- a JWKS that is fetched

    def names_key_of(self, token: Token) -> bool:
        """Whether there is a key for this token; keys that were given are all there are."""
        return self.url is None or self.key_for(token) is not None

    def key_for(self, token: Token) -> Key | None:
        """The key to verify a token with. An ID is optional (RFC 7517 §4.5) where there is one key only."""
        if len(self._keys) == 1 and (token.key_id is None or None in self._keys):
            return next(iter(self._keys.values()))
        return self._keys.get(token.key_id)

    @property
    def stale(self) -> bool:
        """Whether the JWKS should be fetched again."""
        return self.url is not None and self._clock.monotonic() - self._fetched >= _FRESH

    def may_fetch(self) -> bool:
        """Whether the JWKS may be fetched again: once in 30 s, or 2 s where there is no key. After a yes it must be."""
        now = self._clock.monotonic()
        with self._lock:
            # Without any key nobody gets in: a failed first fetch is tried again soon.
            if now - self._asked < (_COOLDOWN if self._keys else _COLD):
                return False
            self._asked = now
            return True

    def take(self, document: object) -> bool:
        """What the JWKS URL answered. Without a usable key in it, the old ones stay.

        Returns:
            Whether a key has gone: then nobody is known any more by what it signed.
        """
        keys = self._read_jwks(document)
        self.failed = not keys
        if not keys:
            return False
        with self._lock:
            before, self._keys, self._fetched = self._keys, keys, self._clock.monotonic()
        return any(keys.get(kid) != key for kid, key in before.items())

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._asked = -_FRESH  # the parent's fetch may not have ended

    # --- a token

    def verify(self, token: Token, app_id: str) -> AppUser | AuthenticationError:
        """The user whom the token names, or why it is refused. Claims give no role."""
        settings = self._settings
        expires = token.expiry
        if expires is not None and expires + _LEEWAY < self._clock.time():  # a clock that steps back changes nothing
            return _refused("ExpiredSignatureError.")
        if str((token.header or {}).get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
            return _refused("It is for another purpose.")
        if expires is None:
            return _refused("It does not say until when it is valid.")
        key = self.key_for(token)
        if key is None:
            return _refused("Its key is not known here.", code="unknown_key")
        required = [
            "exp",
            settings.id_claim,
            *(["aud"] if settings.audience else []),
            *(["iss"] if settings.issuer else []),
        ]
        try:
            found = self._jwt.decode(
                token.secret.reveal(),
                key.reveal() if isinstance(key, Secret) else key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=_LEEWAY,
                options={"require": required, "verify_aud": settings.audience is not None},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            return _refused(f"{type(error).__name__}.")
        if settings.app_claim is not None and found.get(settings.app_claim) != app_id:
            return _refused("It is of another app.", code="other_app")
        return _user(found, app_id, settings.id_claim)


def _filled_up(secret: Secret) -> Secret:
    """The same key for HMAC, which fills keys up to a block with zeros itself (RFC 2104 §2).

    Written out, PyJWT does not say of each token that the local dev server's secret is short; and what it says to the
    app about the app's own keys stays as it is.
    """
    text = secret.reveal()
    return Secret(text + "\0" * (_BLOCK - len(text.encode())))


def _refused(why: str, *, code: str = "token_refused") -> AuthenticationError:
    return AuthenticationError(f"The token is refused: {why}", code=code, about_visitor=True)


def _user(claims: Mapping[str, Any], app_id: str, id_claim: str) -> AppUser | AuthenticationError:
    subject = claims.get(id_claim)
    if not isinstance(subject, str) or not subject:
        return _refused("It names nobody.")
    email = claims.get("email", subject if "@" in subject else None)
    name = claims.get("full_name", claims.get("name"))
    return AppUser(
        id=subject,
        email=email if isinstance(email, str) else None,
        full_name=name if isinstance(name, str) else None,
        role=None,
        is_verified=False,
        app_id=app_id,
        raw=dict(claims),
    )
