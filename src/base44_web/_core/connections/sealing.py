"""How a connection lies in a store that others can read: under names that say nothing, sealed.

Who reads the store sees counts, times and lengths. Who writes to it can bring back what lay under the same name a short
time ago, within `connection_ttl`, and nothing else.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

from cachetools import LRUCache

from ...errors import ConfigurationError
from ..config import Settings
from ..secret import Opaque, Secret
from ..values import ConnectionRecord
from .memory import Entry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX: Final = "base44:"
_SPOTS: Final = 10_000
_NONCE: Final = 12  # bytes, as NIST SP 800-38D has it
_SKEW: Final = 10.0  # seconds that the clocks of two servers may differ
_read: Final = json.JSONDecoder().raw_decode  # `loads` looks for blanks around it, too


class Spot(NamedTuple):
    """Where an entry lies: the names of its keys, all in one slot of a cluster, and what its values are sealed with.

    Attributes:
        value: of the sealed record.
        lock: of who is asking the platform.
        failed: of the mark that this failed a moment ago.
        connecting: of the mark that its user is at the provider's pages.
        generation: of what changes as connections end. It is the user's, whatever the connector.
        aead: seals and opens.
        bound: what a seal is bound to, before the generation that it was made in.
    """

    value: str
    lock: str
    failed: str
    connecting: str
    generation: str
    aead: AESGCM
    bound: bytes

    def look(self, client: Any) -> Any:
        """What a client of the store has of it: the sealed record, and its generation."""
        return client.execute_command("MGET", self.value, self.generation)  # half of what its `mget` adds to a GET


class Kept(NamedTuple):
    """A record from the store, and how old it is, in seconds."""

    record: ConnectionRecord
    age: float


@final
class Sealing(Opaque):
    """The names and seals of one secret: HMAC-SHA-256, and AES-256-GCM under a key of each name's own.

    A key for all, with random nonces, would be used more often than NIST SP 800-38D §8.3 allows (2^32 times) within
    days, where there are a million users.

    Raises:
        ConfigurationError: `cryptography` is not installed.
    """

    __slots__ = ("_aead", "_lock", "_names", "_scope", "_seals", "_spots", "_tampered")

    def __init__(self, secret: Secret, settings: Settings) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError:
            raise ConfigurationError(
                'A connection_store needs cryptography: pip install "base44-web[store]".'
            ) from None
        self._aead, self._tampered = AESGCM, InvalidTag
        self._spots: LRUCache[Entry, Spot] = LRUCache(_SPOTS)
        self.after_fork()

        def derived(purpose: bytes) -> bytes:
            return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret.reveal().encode())

        self._names = derived(b"base44_web store names 1")
        self._seals = derived(b"base44_web store seals 1")
        # Who verifies users, and which claim is their ID: servers that differ in it mean different users.
        by_keys = settings.verification == "keys"
        self._scope = (settings.verification, settings.issuer, settings.id_claim if by_keys else None)

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def spot(self, entry: Entry) -> Spot:
        """Where an entry lies."""
        with self._lock:
            try:
                return self._spots[entry]  # half of what `get` takes
            except KeyError:
                spot = self._spots[entry] = self._new_spot(entry)
                return spot

    def _new_spot(self, entry: Entry) -> Spot:
        service = None if entry.service is None else entry.service.hex()
        which = (entry.route, entry.connector, entry.data_env, service)
        # What is nobody's own lies by itself, spread over the slots.
        whose = (entry.server_url, entry.app_id, entry.user_id, *(which if entry.user_id is None else ()))
        base = f"{PREFIX}{{{self._name(*self._scope, *whose)}}}:"
        value = base + self._name(*which)
        return Spot(
            value,
            f"{value}:lock",
            f"{value}:failed",
            f"{base}{self._name(entry.connector)}:connecting",
            f"{base}generation",
            self._aead(hmac.digest(self._seals, value.encode(), "sha256")),
            value.encode() + b" ",
        )

    def seal(self, spot: Spot, record: ConnectionRecord, *, generation: bytes, issued: float) -> bytes:
        """A record, sealed; `issued` is when the platform gave it (seconds since 1970)."""
        nonce = os.urandom(_NONCE)
        config = None if record.config is None else dict(record.config)
        content = Secret(json.dumps([record.token.reveal(), record.integration_type, config, issued]))
        return nonce + spot.aead.encrypt(nonce, content.reveal().encode(), _bound(spot, generation))

    def open(self, spot: Spot, sealed: bytes, *, generation: bytes, now: float, ttl: float) -> Kept | None:
        """What was sealed here; `None` for what was not, or for another name, or has ended, or is too old."""
        try:
            content = spot.aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(spot, generation))
            token, kind, config, issued = cast(list[Any], _read(content.decode())[0])
        except (self._tampered, ValueError):
            return None
        age = now - issued
        if not -_SKEW <= age < ttl + _SKEW:
            return None
        return Kept(ConnectionRecord(Secret(token), cast(Mapping[str, str] | None, config), kind), max(0.0, age))

    def _name(self, *parts: str | None) -> str:
        # ascii() writes text and None in one way alone, a fifth of the time that JSON takes.
        digest = hmac.digest(self._names, ascii(parts).encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:18]).decode()


def _bound(spot: Spot, generation: bytes) -> bytes:
    """What a seal is bound to: what was kept before a connection ended opens no more."""
    return spot.bound + generation
