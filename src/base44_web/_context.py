"""What the blocking and the awaiting client of one request share."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, final

from ._engine import Engine
from ._fields import is_bearer_token
from ._incoming import Caller, DataEnv, Incoming, configured_caller, read_caller
from ._secret import Opaque, Secret
from ._transport import AsyncTransport
from ._values import Connection
from .errors import ConfigurationError
from .settings import Settings

if TYPE_CHECKING:
    from ._transport import AsyncClient, SyncClient, TransportFactory


_AT_HAND: Final = 60.0  # seconds


@final
class Context(Opaque):
    """One request's engine and caller. Nothing is read of the request before it is needed.

    Args:
        engine: the connections to use.
        source: the request, read on first use; or the caller, for clients made without a request.
        loop_per_request: awaited calls go through the blocking transport in a thread, because the event loop ends
            with the request (async views under WSGI).
        owns_engine: whether leaving the client's `with` block closes the engine.
    """

    __slots__ = ("_caller", "_connections", "_incoming", "_loop_per_request", "engine", "owns_engine", "was_read")

    def __init__(
        self,
        engine: Engine,
        source: Incoming | Caller,
        *,
        loop_per_request: bool = False,
        owns_engine: bool = False,
    ) -> None:
        self.engine = engine
        self.owns_engine = owns_engine
        self._loop_per_request = loop_per_request
        self._incoming = source if isinstance(source, Incoming) else None
        self._caller = source if isinstance(source, Caller) else None
        self._connections: dict[str, tuple[Connection, float]] = {}
        self.was_read = False

    @classmethod
    def without_request(
        cls,
        *,
        settings: Settings | None,
        app_id: str | None,
        server_url: str | None,
        service_token: Secret | None,
        token: Secret | None,
        data_env: DataEnv | None,
        transport: TransportFactory | SyncClient | AsyncClient | None,
    ) -> Context:
        """A context for a worker or script, with an engine of its own.

        Raises:
            ConfigurationError: a setting or the token is wrong, or settings are given twice.
        """
        if token is not None and not is_bearer_token(token.reveal()):
            raise ConfigurationError("token must be a bearer token: no spaces, quotes or line breaks.")
        if data_env not in (None, "dev", "prod"):
            raise ConfigurationError('data_env must be "dev" or "prod".')
        if settings is None:
            settings = Settings(app_id=app_id, server_url=server_url, service_token=service_token)
        elif app_id or server_url or service_token:
            raise ConfigurationError(
                "Give app_id, server_url and service_token in settings=Settings(…), not beside it."
            )
        engine = Engine(settings.complete(), transport)
        return cls(
            engine, replace(configured_caller(settings, token, data_env=data_env), visitor=False), owns_engine=True
        )

    @property
    def caller(self) -> Caller:
        """Who is asking.

        Raises:
            Base44Error: what came in is malformed or contradicts the settings; see `read_caller`. Each time afresh,
                because a raised exception collects tracebacks.
        """
        caller = self._caller
        self.was_read = True
        if caller is None:
            assert self._incoming is not None
            caller = self._caller = read_caller(self._incoming, self.engine.settings, self.engine.seal)
        return caller

    @property
    def is_private(self) -> bool:
        """Whether an answer to this request depends on the visitor's cookie: no cache may give it to others."""
        return self.was_read and self.engine.reads_cookies

    def for_caller(self, caller: Caller) -> Context:
        """The same request for somebody else: who signs in with it."""
        return Context(self.engine, caller, loop_per_request=self._loop_per_request)

    @property
    def incoming(self) -> Incoming:
        """The request that this belongs to."""
        assert self._incoming is not None
        return self._incoming

    def remember(self, connector_id: str, connection: Connection) -> None:
        """Keep a connection that a guard fetched at hand for the rest of this request."""
        self._connections[connector_id] = connection, time.monotonic() + _AT_HAND

    def recall(self, connector_id: str) -> Connection | None:
        """A connection that a guard fetched for this request, for a minute: a stream can go on for hours."""
        connection, until = self._connections.get(connector_id, (None, 0.0))
        return connection if time.monotonic() < until else None

    def forget(self, connector_id: str) -> None:
        """Drop what a guard fetched: the app user disconnects."""
        self._connections.pop(connector_id, None)

    async def open_async(self) -> AsyncTransport:
        """The transport for awaited calls of this request."""
        return self.engine.in_thread() if self._loop_per_request else await self.engine.open_async()
