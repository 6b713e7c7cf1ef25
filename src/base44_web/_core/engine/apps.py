"""Several Base44 apps in one server: whose request it is. Each app has an engine of its own; nothing is shared."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from cachetools import LRUCache

from ...errors import BadRequestError, ConfigurationError, NotFoundError
from ..config import Settings
from ..fields import is_app_id
from ..incoming.environ import TRUST_UNDER_WSGI
from ..incoming.request import APP_ID, Incoming
from ..replies.refusal import OnRefusal
from ..secret import Opaque
from .engine import Engine

if TYPE_CHECKING:
    from ..transport.httpx_clients import AsyncClient, SyncClient
    from ..transport.protocol import TransportFactory


logger = logging.getLogger("base44_web")

_MOST: Final = 1_000  # apps whose engines are kept; one more closes the one that was used longest ago


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


_all: weakref.WeakSet[Engines] = weakref.WeakSet()


def _unlock() -> None:
    for each in list(_all):
        each._lock = threading.Lock()  # another thread may have held it


os.register_at_fork(after_in_child=_unlock)


@final
class Engines(Opaque):
    """The engine of each app, made when it is first needed.

    Args:
        source: the settings, or who gives them.
        transport: how requests are sent.
        wsgi: whether the server is one; some settings are then warned of.
        on_refusal: the app's own format for what visitors are refused with.

    Attributes:
        only: the engine, where there is one app.
    """

    __slots__ = ("__weakref__", "_lock", "_made", "_on_refusal", "_resolver", "_transport", "_wsgi", "only")

    def __init__(
        self,
        source: Settings | SettingsResolver,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        *,
        wsgi: bool = False,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        self._transport = transport
        self._on_refusal = on_refusal
        self._wsgi = wsgi
        self._resolver = source if isinstance(source, SettingsResolver) else None
        self.only = self._make(source) if isinstance(source, Settings) else None
        self._made: LRUCache[Settings, Engine] = LRUCache(_MOST)
        self._lock = threading.Lock()
        _all.add(self)

    def probe(self) -> None:
        """Use what the only app needs once, as the server starts. It waits: not on an event loop.

        Raises:
            ConfigurationError: the replay store cannot be used.
        """
        if self.only is not None and self.only.signature_check is not None:
            self.only.signature_check.probe()

    @property
    def examines(self) -> bool:
        """Whether each request must be looked at before anything else: for its app, or its signature."""
        return self.only is None or self.only.signature_check is not None

    def find(self, incoming: Incoming, path: str) -> Engine:
        """The engine for a request.

        Raises:
            BadRequestError: the request names an app that may not be named.
            NotFoundError: it belongs to no app.
            ConfigurationError: the settings that the resolver gives are wrong.
        """
        if self._resolver is None:
            assert self.only is not None
            return self.only
        said, allowed = incoming.all(APP_ID), self._resolver.allowed_app_ids
        app_id = incoming.one(APP_ID) if allowed else None
        if allowed and said and app_id not in allowed:
            raise BadRequestError("Its Base44-App-Id is not served here.", code="app_id_mismatch", about_visitor=True)
        settings = self._resolver.resolve(Arrival(incoming.host, path, app_id))
        if settings is None:
            raise NotFoundError("No app is served under this address.", code="unknown_app", about_visitor=True)
        with self._lock:
            engine = self._made.get(settings)
        return engine or self._keep(settings, self._of_one_app(settings))

    def _of_one_app(self, settings: Settings) -> Engine:
        borrowed = settings.borrowed_from_environment()
        if borrowed:
            raise ConfigurationError(
                f"Settings of a resolver take {', '.join(borrowed)} from the environment, which is one app's: give "
                "them in Settings(…), or unset the variables."
            )
        return self._make(settings.complete())

    def _keep(self, settings: Settings, made: Engine) -> Engine:
        with self._lock:  # not while one is made: that may connect to a store
            return self._made.setdefault(settings, made)

    def _make(self, settings: Settings) -> Engine:
        if self._wsgi and settings.platform_headers == "trust":
            logger.warning(TRUST_UNDER_WSGI, extra={"base44_event": "trust_under_wsgi"})
        return Engine(settings, self._transport, self._on_refusal)

    async def aclose(self) -> None:
        """Close the connections of all apps."""
        for engine in [*([self.only] if self.only else []), *self._made.values()]:
            await engine.aclose()
