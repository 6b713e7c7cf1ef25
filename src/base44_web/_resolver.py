"""Several Base44 apps in one server: whose request it is. Each app has an engine of its own; nothing is shared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, final

from ._engine import Engine
from ._environ import TRUST_UNDER_WSGI
from ._fields import is_app_id
from ._incoming import APP_ID, Incoming
from ._replies import BAD_REQUEST, Reply, Situation, problem
from ._secret import Opaque
from .errors import ConfigurationError
from .settings import Settings

if TYPE_CHECKING:
    from ._transport import AsyncClient, SyncClient, TransportFactory


logger = logging.getLogger("base44_web")

_OF_ONE_APP: Final = (
    "app_id", "app_url", "service_token", "session_secret", "verification_key", "relay_keys", "app_user_connectors",
)  # fmt: skip
_UNKNOWN_APP: Final = Situation("unknown-app", 404, "There is nothing here", "No app is served under this address.")


@final
@dataclass(frozen=True, slots=True)
class Arrival:
    """What a request's app can be told by.

    Attributes:
        host: the `Host` header, as the client sent it: check it against hosts that you know.
        path: the decoded path.
        app_id: the `Base44-App-Id` header, if it is one of `allowed_app_ids`.
    """

    host: str
    path: str
    app_id: str | None


@final
class SettingsResolver(Opaque):
    """Pass it as `settings=` (in Django as `BASE44 = {"RESOLVER": "path.to.it"}`): it says whose request it is.

    Args:
        resolve: gives the `Settings` of an app, or `None` for a request of no app known (a 404). It is called for each
            request; equal settings are the same app. Keep it quick.
        allowed_app_ids: the app IDs that a header may name; another is a 400. Without any, no header chooses: anybody
            could send it. A header that chooses should be signed, or come from Base44's own proxy alone.

    Raises:
        ConfigurationError: `allowed_app_ids` has something that is no app ID.
    """

    __slots__ = ("allowed_app_ids", "resolve")

    def __init__(self, resolve: Callable[[Arrival], Settings | None], *, allowed_app_ids: Iterable[str] = ()) -> None:
        self.resolve = resolve
        self.allowed_app_ids = frozenset(allowed_app_ids)
        if not all(is_app_id(each) for each in self.allowed_app_ids):
            raise ConfigurationError("allowed_app_ids has something that is no app ID.")


@final
class Engines(Opaque):
    """The engine of each app, made when it is first needed.

    Args:
        source: the settings, or who gives them.
        transport: how requests are sent.
        wsgi: whether the server is one; some settings are then warned of.

    Attributes:
        only: the engine, where there is one app.
    """

    __slots__ = ("_made", "_resolver", "_transport", "_wsgi", "only")

    def __init__(
        self,
        source: Settings | SettingsResolver,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        *,
        wsgi: bool = False,
    ) -> None:
        self._transport = transport
        self._wsgi = wsgi
        self._resolver = source if isinstance(source, SettingsResolver) else None
        self.only = self._make(source) if isinstance(source, Settings) else None
        self._made: dict[Settings, Engine] = {}

    def find(self, incoming: Incoming, path: str) -> Engine | Reply:
        """The engine for a request, or the answer to one that belongs to no app.

        Raises:
            ConfigurationError: the settings that the resolver gives are wrong.
        """
        if self._resolver is None:
            assert self.only is not None
            return self.only
        said, allowed = incoming.all(APP_ID), self._resolver.allowed_app_ids
        app_id = incoming.one(APP_ID) if allowed else None
        if allowed and said and app_id not in allowed:
            return problem(replace(BAD_REQUEST, text="Its Base44-App-Id is not served here."))
        settings = self._resolver.resolve(Arrival(incoming.one("host") or "", path, app_id))
        if settings is None:
            return problem(_UNKNOWN_APP)
        engine = self._made.get(settings)
        if engine is None:
            borrowed = settings.from_environment(_OF_ONE_APP)
            if borrowed:
                raise ConfigurationError(
                    f"Settings of a resolver take {', '.join(borrowed)} from the environment, which is one app's: give "
                    "them in Settings(…), or unset the variables."
                )
            # Without a lock, for an engine may connect to a store: of two made at once one stays.
            engine = self._made.setdefault(settings, self._make(settings.complete()))
        return engine

    def _make(self, settings: Settings) -> Engine:
        if self._wsgi and settings.platform_headers == "trust":
            logger.warning(TRUST_UNDER_WSGI)
        return Engine(settings, self._transport)

    async def aclose(self) -> None:
        """Close the connections of all apps."""
        for engine in [*([self.only] if self.only else []), *self._made.values()]:
            await engine.aclose()
