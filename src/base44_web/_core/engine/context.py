"""One request: its engine, and who is asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar, final

from ...errors import Base44Error, ConfigurationError
from ..claims import Token
from ..config import Settings
from ..connections import fetch
from ..fields import is_bearer_token
from ..identity import verify
from ..incoming.caller import Caller, DataEnv, configured_caller
from ..incoming.read import caller_with, read_caller
from ..incoming.request import Incoming
from ..platform import perform
from ..platform.io import AWAITING, IO
from ..platform.queues import Limiter
from ..platform.wire import Call
from ..secret import Opaque, Secret
from ..values import AppUser, Connection
from .engine import Engine

if TYPE_CHECKING:
    from ..transport.httpx_clients import AsyncClient, SyncClient
    from ..transport.protocol import TransportFactory

P = ParamSpec("P")
T = TypeVar("T")
_AT_HAND: Final = 60.0  # seconds


@final
class Context(Opaque):
    """What the blocking and the awaiting client of one request share. Nothing is read of it before it is needed.

    Args:
        engine: the engine.
        source: the request, read on first use; or the caller, for clients made without a request.
        awaiting: how awaited calls wait: `IN_THREADS` where the event loop ends with the request.
        owns_engine: whether leaving the client's `with` block closes the engine.

    Attributes:
        was_read: whether somebody asked who is calling: then no cache may give the answer to others.
    """

    __slots__ = (
        "_caller",
        "_connections",
        "_incoming",
        "awaiting",
        "engine",
        "owns_engine",
        "was_read",
    )

    def __init__(
        self, engine: Engine, source: Incoming | Caller, *, awaiting: IO = AWAITING, owns_engine: bool = False
    ) -> None:
        self.engine = engine
        self.owns_engine = owns_engine
        self.awaiting = awaiting
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
        caller = configured_caller(settings, None if token is None else Token(token), data_env=data_env)
        return cls(engine, replace(caller, is_visitor=False), owns_engine=True)

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
            caller = self._caller = read_caller(self.incoming, self.engine.settings, self.engine.seal)
        return caller

    @property
    def incoming(self) -> Incoming:
        """The request that this belongs to."""
        assert self._incoming is not None
        return self._incoming

    def without_user(self) -> Context:
        """The same request for nobody, whatever `Authorization` it has."""
        if self._incoming is None:
            return self.for_caller(replace(self.caller, token=None))
        nobody = caller_with(self._incoming, self.engine.settings, None)
        return self.for_caller(replace(nobody, is_visitor=False))

    def for_caller(self, caller: Caller) -> Context:
        """The same request for somebody else: who signs in with it."""
        return Context(self.engine, caller, awaiting=self.awaiting)

    # --- whose an error is

    @property
    def whose(self) -> bytes | None:
        """The digest of the token that came in; `None` as long as nobody asked."""
        caller = self._caller
        return None if caller is None else b"" if caller.token is None else caller.token.digest

    def note(self, error: Base44Error) -> Base44Error:
        """Note whom an error is about: an app can share what it asked for among requests, and this with it."""
        if error.about_visitor and error._whose is None:
            error._whose = self.whose
        return error

    # --- what a guard fetched

    def keep(self, connector_id: str, connection: Connection) -> None:
        """Keep a connection at hand for the rest of this request."""
        self._connections[connector_id] = connection, self.engine.platform.clock.monotonic() + _AT_HAND

    def at_hand(self, connector_id: str) -> Connection | None:
        """A connection that was fetched for this request, for a minute: a stream can go on for hours."""
        connection, until = self._connections.get(connector_id, (None, 0.0))
        return connection if self.engine.platform.clock.monotonic() < until else None

    def drop(self, connector_id: str) -> None:
        """Drop what is at hand: the app user disconnects."""
        self._connections.pop(connector_id, None)


# --- what the clients, guards and views of a request do, awaiting or blocking as `io` says


async def call(
    io: IO, context: Context, make: Callable[Concatenate[Caller, P], Call[T]], *args: P.args, **options: P.kwargs
) -> T:
    """Make a call, for the request's caller.

    Args:
        io: how to wait.
        context: the request's.
        make: one of the functions of `wire`, with the rest of its arguments.

    Raises:
        Base44Error: it failed, after as many tries as it may have.
    """
    request = make(context.caller, *args, **options)
    outcome = await perform.perform(io, context.engine.platform, request, limiter=_limiter(context))
    if isinstance(outcome, Base44Error):
        raise context.note(outcome)
    return outcome


async def identify(io: IO, context: Context) -> AppUser:
    """The verified app user; see `identity.verify.identify`."""
    try:
        return await verify.identify(io, context.engine.identity, context.caller)
    except Base44Error as error:
        context.note(error)
        raise


async def app_user_connection(io: IO, context: Context, connector_id: str) -> Connection:
    """The app user's connection: the one at hand, or fetched.

    Raises:
        Base44Error: it failed; see `connections.fetch.app_user_connection`.
    """
    at_hand = context.at_hand(connector_id)
    if at_hand is not None:
        return at_hand
    identity, caller, limiter = context.engine.identity, context.caller, _limiter(context)
    outcome = await fetch.app_user_connection(io, identity, caller, connector_id, limiter=limiter)
    if isinstance(outcome, Base44Error):
        raise context.note(outcome)
    return outcome


def _limiter(context: Context) -> Limiter:
    """Where the request's calls queue: of tokens that nobody has verified there can be any number."""
    identity, caller = context.engine.identity, context.caller
    trusted = caller.token is None or not caller.is_visitor or identity.known.was_verified(caller)
    return identity.platform.limiter if trusted else identity.platform.unverified
