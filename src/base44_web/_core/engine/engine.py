"""The engine: what one `Settings` owns, for all threads, event loops and forked processes that use it."""

from __future__ import annotations

import logging
import os
import weakref
from typing import TYPE_CHECKING, final

from .. import telemetry
from ..config import Settings
from ..connections.known import Connections
from ..connections.memory import ConnectionCounts
from ..connections.statuses import Statuses
from ..identity.verify import Identity
from ..incoming.cookies import reads_cookies
from ..incoming.session import Seal
from ..platform.perform import Platform
from ..replies.refusal import OnRefusal
from ..secret import Opaque
from ..transport.httpx_clients import transport_factory
from ..transport.protocol import TransportFactory

if TYPE_CHECKING:
    from ..incoming.signature import SignatureCheck
    from ..transport.httpx_clients import AsyncClient, SyncClient

logger = logging.getLogger("base44_web")
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_of_the_gone: dict[str, float] = dict.fromkeys(ConnectionCounts._fields, 0)  # what engines that are no more counted


@final
class Engine(Opaque):
    """Composes the rooms below for one app; opens connections on first use, and again after it was closed.

    Attributes:
        settings: the settings.
        platform: the way to the platform.
        identity: who verifies tokens.
        connections: what is known of connections.
        statuses: who is connected, for a second.
        seal: opens and seals the session's cookie, where sessions are on.
        signature_check: checks relayed requests, where they are signed.
        reads_cookies: whether answers can depend on a visitor's cookie.
        on_refusal: the app's own format for what visitors are refused with.
    """

    __slots__ = (
        "__weakref__", "connections", "identity", "on_refusal", "platform", "reads_cookies", "seal", "settings",
        "signature_check", "statuses",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        telemetry.look()
        self.settings = settings
        self.on_refusal = on_refusal
        self.platform = Platform(
            settings, transport_factory(transport, http_client=settings.http_client, ca_file=settings.ca_file)
        )
        self.identity = Identity(self.platform)
        self.connections = Connections(self.identity)
        self.statuses = Statuses(self.platform.clock)
        self.seal = Seal(settings.secret) if "session" in settings.token_sources else None
        self.signature_check = _signature_check(settings)
        self.reads_cookies = reads_cookies(settings)
        if settings.development:
            logger.warning(
                "development (BASE44_DEVELOPMENT) is on: not for production. AppUser.id is the record's ID with "
                'verification="platform", and the claim id_claim (%s) with "keys".',
                settings.id_claim,
                extra={"base44_event": "development_on"},
            )
        _engines.add(self)
        weakref.finalize(self, _add, _of_the_gone, self.connections.memory.counts).atexit = False

    def close(self) -> None:
        """Close the blocking connections."""
        self.platform.pools.close()
        if self.connections.store is not None:
            self.connections.store.close()

    async def aclose(self) -> None:
        """Close the blocking connections and the running event loop's."""
        await self.platform.pools.aclose()
        if self.connections.store is not None:
            await self.connections.store.aclose()

    def _after_fork(self) -> None:
        for each in (self.platform, self.identity, self.connections, self.statuses):
            each.after_fork()


def _signature_check(settings: Settings) -> SignatureCheck | None:
    if settings.platform_headers != "signed":
        return None
    from ..incoming.signature import SignatureCheck  # it, and what it stands on, only where requests are signed

    return SignatureCheck(settings)


def connection_counts() -> ConnectionCounts:
    """What became of the requests for connections in this process, of all its apps: for metrics."""
    living = list(_engines)  # none of them goes meanwhile
    total = dict(_of_the_gone)
    for engine in living:
        _add(total, engine.connections.memory.counts)
    return ConnectionCounts(**total)  # type: ignore[arg-type]


def _add(total: dict[str, float], counts: dict[str, float]) -> None:
    for name in ConnectionCounts._fields:
        total[name] = max(total[name], counts[name]) if name == "oldest" else total[name] + counts[name]


def _start_afresh() -> None:
    for engine in list(_engines):
        engine._after_fork()


os.register_at_fork(after_in_child=_start_afresh)
