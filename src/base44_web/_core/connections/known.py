"""What one engine knows of connections, and what has a say in whether it is used."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple, final

from ..identity.verify import Identity
from ..incoming.caller import Caller
from ..platform import wire
from ..secret import Opaque
from ..seldom import Seldom
from ..values import AppUser, ConnectionRecord
from .memory import ConnectionMemory, Entry, Route
from .renewals import Renewals
from .store import SharedStore

_WITHOUT_STORE: Final = 5.0  # seconds


class Wanted(NamedTuple):
    """Which connection."""

    route: Route
    connector: str


@final
class Connections(Opaque):
    """What one engine knows of connections.

    Attributes:
        identity: who verifies tokens.
        memory: what the platform gave a short time ago.
        renewals: what providers refused a short time ago.
        store: what the servers of a fleet share, where there is one: it takes the memory's place.
        not_told: how often the store could not be told that a connection ended.
    """

    __slots__ = ("_by_service", "identity", "memory", "not_told", "renewals", "store")

    def __init__(self, identity: Identity) -> None:
        settings = identity.platform.settings
        self.identity = identity
        self.memory = ConnectionMemory(settings.connection_ttl, identity.platform.clock)
        self.renewals = Renewals(identity.platform.clock)
        has_store = settings.connection_store is not None and settings.connection_ttl > 0
        self.store = SharedStore(settings, identity.platform.clock) if has_store else None
        self.not_told = Seldom(60, identity.platform.clock.monotonic)
        self._by_service = settings.platform_headers == "trust"  # else it is configured, or its signature was verified

    def after_fork(self) -> None:
        """In the child: locks may have been held."""
        self.memory.after_fork()
        self.renewals.after_fork()
        if self.store is not None:
            self.store.after_fork()

    def at_hand(self, caller: Caller, wanted: Wanted, user: AppUser | None) -> ConnectionRecord | None:
        """A connection, if this process has it; nobody is asked."""
        if self.memory.ttl == 0 or (self.store is not None and not self.store.breaker.is_open):
            return None
        entry = self.entry(caller, wanted, user)
        return None if entry is None else self.kept(entry)

    def kept(self, entry: Entry) -> ConnectionRecord | None:
        """What this process remembers. Beside a store that is what all share, as long as that is down."""
        if self.store is None:
            return self.memory.get(entry)
        return self.memory.get(entry, _WITHOUT_STORE) if self._remembers(entry) else None

    def newer(self, entry: Entry, fingerprint: bytes) -> ConnectionRecord | None:
        """What is remembered, if it is another one than that whose token the provider refused."""
        if self.store is None:
            return self.memory.newer(entry, fingerprint)
        return self.memory.newer(entry, fingerprint, _WITHOUT_STORE) if self._remembers(entry) else None

    def keep(self, entry: Entry, record: ConnectionRecord) -> None:
        """Remember a record; see `kept`."""
        if self._remembers(entry):
            self.memory.put(entry, record)

    def is_current(self, entry: Entry, record: ConnectionRecord) -> bool:
        """Whether a record was asked for after all that this process knows to have ended it."""
        return record.asked > self.memory.last_end(entry.connector, entry)

    def _remembers(self, entry: Entry) -> bool:
        return self.store is None or (self.store.breaker.is_open and entry.user_id is None)

    def entry(self, caller: Caller, wanted: Wanted, user: AppUser | None) -> Entry | None:
        """Where a connection is kept; `None` where it is not to be.

        Raises:
            ServiceRoleUnavailableError: there is no service token, and so nothing to be had.
        """
        wire.service_token(caller)
        if caller.state is not None or (user is None and wanted.route == "app_user"):
            return None
        return self.entry_of(caller, wanted, None if user is None else user.id)

    def entry_of(self, caller: Caller, wanted: Wanted, user_id: str | None) -> Entry:
        """Where a connection would be kept."""
        service = caller.service_token if self._by_service else None
        whose = None if service is None else digest(service.reveal())
        return Entry(wanted.route, wanted.connector, caller.server_url, caller.app_id, caller.data_env, user_id, whose)


def digest(text: str) -> bytes:
    """The SHA-256 of a credential, to compare it by."""
    return sha256(text.encode()).digest()
