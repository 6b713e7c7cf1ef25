"""One request: its engine, and who is asking."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar, final

from ...errors import Base44Error, ConfigurationError
from .. import telemetry
from ..claims import Token
from ..config import Settings
from ..connections.fetch import fetch, renew
from ..connections.known import Wanted
from ..connections.memory import Route
from ..fields import is_bearer_token
from ..identity import verify
from ..incoming.caller import Caller, DataEnv, configured_caller
from ..incoming.read import caller_with, read_caller
from ..incoming.request import Incoming
from ..platform import perform
from ..platform.io import AWAITING, BLOCKING, IO, run
from ..platform.queues import Limiter
from ..platform.wire import Call
from ..secret import Opaque, Secret
from ..telemetry import observed
from ..values import ApiResponse, AppUser, Connection, ConnectionRecord
from .engine import Engine

if TYPE_CHECKING:
    from ..transport.httpx_clients import AsyncClient, SyncClient
    from ..transport.protocol import TransportFactory

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=Connection)
Steps: TypeAlias = Coroutine[Any, Any, T]
_AT_HAND: Final = 60.0  # seconds
_METHODS: Final[dict[Route, str]] = {
    "shared": "get_connection",
    "workspace": "get_workspace_connection",
    "app_user": "get_current_app_user_connection",
}


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
        admitted: whom a guard of this request let in.
        closed: whether the client that owns the engine was closed.
    """

    __slots__ = (
        "_caller", "_connections", "_incoming", "_user", "admitted", "awaiting", "closed", "engine", "owns_engine",
        "was_read",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, source: Incoming | Caller, *, awaiting: IO = AWAITING, owns_engine: bool = False
    ) -> None:
        self.engine = engine
        self.owns_engine = owns_engine
        self.awaiting = awaiting
        self._incoming: Incoming | None = None
        self._caller: Caller | None = None
        if isinstance(source, Incoming):
            self._incoming = source
        else:
            self._caller = source
        # Records: a connection holds its context, and the cycle would leave each request to the garbage collector.
        self._connections: dict[str, tuple[Wanted, ConnectionRecord, float]] = {}
        self._user: tuple[AppUser | None, float] = None, 0.0
        self.admitted: AppUser | None = None
        self.was_read = self.closed = False

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
            assert self._incoming is not None
            caller = self._caller = read_caller(self._incoming, self.engine.settings, self.engine.seal)
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

    def keep(self, wanted: Wanted, record: ConnectionRecord) -> None:
        """Keep a connection of the app user's at hand for the rest of this request."""
        self._connections[wanted.connector] = wanted, record, self.engine.platform.clock.monotonic() + _AT_HAND

    def has(self, connector_id: str) -> bool:
        """Whether a connection was fetched for this request less than a minute ago: a stream can go on for hours."""
        found = self._connections.get(connector_id)
        return found is not None and self.engine.platform.clock.monotonic() < found[2]

    def at_hand(self, connector_id: str) -> Connection | None:
        """The connection that this request has; see `has`."""
        if not self.has(connector_id):
            return None
        wanted, record, _ = self._connections[connector_id]
        return self.bind(record, wanted)

    def drop(self, connector_id: str | None) -> None:
        """Drop what is at hand of a connector, or of all: the app user disconnects."""
        if connector_id is not None:
            self._connections.pop(connector_id, None)
            return
        self._connections.clear()
        self._user, self.admitted = (None, 0.0), None

    def keep_user(self, user: AppUser) -> None:
        """Keep at hand who was verified for this request."""
        self._user = user, self.engine.platform.clock.monotonic() + _AT_HAND

    def known_user(self) -> AppUser | None:
        """The app user, as verified a short time ago; nobody is asked."""
        found = self.engine.identity.known.get(self.caller)
        if isinstance(found, AppUser):
            return found
        user, until = self._user
        clock, token = self.engine.platform.clock, self.caller.token
        is_good = found is None and token is not None and token.dead_reason(clock.time()) is None
        return user if is_good and clock.monotonic() < until else None

    def bind(self, record: ConnectionRecord, wanted: Wanted) -> Connection:
        """What the platform gave, for this request's caller."""
        return Connection._of(record, _Origin(self, wanted))


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


def call_proxy(
    io: IO, context: Context, make: Callable[[Caller, str], Call[ApiResponse]], integration_type: str
) -> Steps[ApiResponse]:
    """`call_api` of the clients. As `call`."""
    steps = call(io, context, make, integration_type)
    return observed("call_api", context.engine.settings, integration_type, steps)


def identify(io: IO, context: Context) -> Steps[AppUser]:
    """The verified app user; see `identity.verify.identify`."""
    return observed("user", context.engine.settings, None, _identify(io, context))


async def _identify(io: IO, context: Context) -> AppUser:
    try:
        user = await verify.identify(io, context.engine.identity, context.caller)
    except Base44Error as error:
        context.note(error)
        raise
    context.keep_user(user)
    return user


def remember(context: Context, connector_id: str, user: AppUser, found: ConnectionRecord) -> None:
    """Keep what was fetched before the user was verified: now they are, by the same token."""
    connections = context.engine.connections
    entry = connections.entry(context.caller, Wanted("app_user", connector_id), user)
    if entry is not None:
        connections.keep(entry, found)


def connection(io: IO, context: Context, route: Route, connector: str, *, fresh: bool = False) -> Steps[Connection]:
    """A connection: the one at hand, the one in the cache, or fetched.

    Args:
        io: how to wait.
        context: the request's.
        route: whose.
        connector: the connector's ID, or the integration type of a shared one.
        fresh: whether only what the platform says now will do.

    Raises:
        Base44Error: it failed; see `connections.fetch.fetch`.
    """
    steps = _kept_or_fetched(io, context, Wanted(route, connector), fresh=fresh, at_hand=not fresh)
    return observed(_METHODS[route], context.engine.settings, connector, steps)


async def _kept_or_fetched(
    io: IO, context: Context, wanted: Wanted, *, fresh: bool = False, at_hand: bool = False
) -> Connection:
    user = None
    if wanted.route == "app_user":
        found = context.at_hand(wanted.connector) if at_hand else None
        if found is not None:
            telemetry.cached("at_hand")
            return found
        user = context.known_user()
    connections = context.engine.connections
    kept = None if fresh else connections.at_hand(context.caller, wanted, user)
    if kept is not None:
        return context.bind(kept, wanted)
    outcome = await fetch(io, connections, context.caller, wanted, user, limiter=_limiter(context), fresh=fresh)
    if isinstance(outcome, Base44Error):
        raise context.note(outcome)
    return context.bind(outcome, wanted)


def latest(io: IO, context: Context, wanted: Wanted) -> Steps[ConnectionRecord]:
    """What the cache or the platform has now, whatever a guard has put at hand; for who learns of no 401.

    Raises:
        ConfigurationError: the client that it came from was closed.
        Base44Error: it failed; see `connections.fetch.fetch`.
    """
    steps = _latest(io, context, wanted)
    return observed(_METHODS[wanted.route], context.engine.settings, wanted.connector, steps)


async def _latest(io: IO, context: Context, wanted: Wanted) -> ConnectionRecord:
    _check_open(context)
    if wanted.route == "app_user" and context.engine.settings.verification != "none":
        await identify(io, context)  # the cache is for users who are known, and this can be long after their request
    return (await _kept_or_fetched(io, context, wanted))._record


def renewed(io: IO, context: Context, wanted: Wanted, used: ConnectionRecord) -> Steps[ConnectionRecord]:
    """A newer record than one whose token the provider refused.

    Raises:
        ConfigurationError: the client that it came from was closed.
        Base44Error: see `connections.fetch.renew`.
    """
    return observed("renew", context.engine.settings, wanted.connector, _renewed(io, context, wanted, used))


async def _renewed(io: IO, context: Context, wanted: Wanted, used: ConnectionRecord) -> ConnectionRecord:
    _check_open(context)
    outcome = await renew(io, context.engine.connections, context.caller, wanted, used, limiter=_limiter(context))
    if isinstance(outcome, Base44Error):
        raise context.note(outcome)
    return outcome


def _check_open(context: Context) -> None:
    if context.closed:
        raise ConfigurationError(
            "This connection cannot be renewed: the client that it came from was closed. Keep that open as long as its "
            "connections are used."
        )


@final
class _Origin(Opaque):
    """The request, or the client, that a connection came from."""

    __slots__ = ("context", "newest", "wanted")

    def __init__(self, context: Context, wanted: Wanted) -> None:
        self.context = context
        self.wanted = wanted
        self.newest: ConnectionRecord | None = None

    @property
    def ttl(self) -> float:
        return self.context.engine.connections.memory.ttl

    def renew(self, used: ConnectionRecord) -> ConnectionRecord:
        return self._keep(run(renewed(BLOCKING, self.context, self.wanted, used)))

    async def renew_awaiting(self, used: ConnectionRecord) -> ConnectionRecord:
        return self._keep(await renewed(self.context.awaiting, self.context, self.wanted, used))

    def _keep(self, record: ConnectionRecord) -> ConnectionRecord:
        """For who asks this request's context, or the same connection's `auth()`, again."""
        self.newest, connector = record, self.wanted.connector
        if self.wanted.route == "app_user" and self.context.has(connector):
            self.context.keep(self.wanted, record)
        return record

    def latest(self) -> ConnectionRecord:
        return run(latest(BLOCKING, self.context, self.wanted))

    async def latest_awaiting(self) -> ConnectionRecord:
        return await latest(self.context.awaiting, self.context, self.wanted)


async def renew_connection(io: IO, context: Context, used: C) -> C:
    """`renew` of the clients."""
    origin = used._origin
    if not isinstance(origin, _Origin):
        raise ValueError("This connection was made by hand: nobody knows how to renew it.")  # noqa: TRY004 - the type is right
    record = await renewed(io, context, origin.wanted, used._record)
    own = _Origin(context, origin.wanted)  # not the given one's: it can be of another request
    return type(used)._of(own._keep(record), own)


def _limiter(context: Context) -> Limiter:
    """Where the request's calls queue: of tokens that nobody has verified there can be any number."""
    identity, caller = context.engine.identity, context.caller
    trusted = caller.token is None or not caller.is_visitor or identity.known.was_verified(caller)
    return identity.platform.limiter if trusted else identity.platform.unverified
