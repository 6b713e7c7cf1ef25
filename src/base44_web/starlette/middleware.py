"""`request.base44` for Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from itertools import chain
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.guards.startup import check_views, refuse_bare, warn_without_views
from .._core.incoming.bearer import SUBPROTOCOL_PREFIX
from .._core.incoming.request import strip_scope
from .._core.replies.refuse import early_reply
from ..errors import Base44Error, ConfigurationError
from .guards import line_for_views, routed_views, routes_of
from .relay import check_signature
from .replies import HANDLERS, deliver, escaped_reply, full_path, tell_caches
from .request import KEY, NestedScope, ScopeState, incoming_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.templating import Jinja2Templates

    from .._core.replies.refusal import Refusal
    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory


class Base44Middleware:
    """Pure ASGI middleware; add it once, or once more for a mounted app with settings of its own.

    A wrong setting answers `lifespan.startup` with `lifespan.startup.failed`, which ends the server with the message; a
    raise in a constructor only makes servers log that lifespan is unsupported, and go on. Without lifespan (a mounted
    app, a server with it switched off) each request raises the `ConfigurationError`.

    Args:
        app: the ASGI app.
        settings: the settings; what they leave out, or all, comes from `BASE44_*`. For several apps, a resolver.
        transport: how to send: a `TransportFactory`, or an `httpx2` or `httpx` client (yours to close).
        templates: where pages of yours are looked for: `base44_web/connect.html` and `base44_web/message.html`.
        on_refusal: a plain function that is given each `Refusal`, and gives a Starlette response, or `None` for ours.
    """

    provides_base44 = True

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings | SettingsResolver | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        templates: Jinja2Templates | None = None,
        on_refusal: Callable[[Refusal], Response | None] | None = None,
    ) -> None:
        self.app = app
        self._templates = templates
        self._error: str | None = None
        self._checked = False
        self._routes: Sized = ()
        self._count = 0
        self._engines: Engines | None = None
        try:
            source = settings if isinstance(settings, SettingsResolver) else Settings.load(settings)
            self._engines = Engines(source, transport, on_refusal=on_refusal)
        except ConfigurationError as error:
            self._error = error.message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await (self._lifespan if kind == "lifespan" else self.app)(scope, receive, send)
            return
        if self._engines is None:
            raise ConfigurationError(self._error or "")
        # The lifespan checks; some servers send none, none reaches a mounted app, and routes are added later.
        if not self._checked or len(self._routes) != self._count:
            self._check_guards(scope, None)
        engine = self._engines.only
        try:
            if engine is None:
                engine = self._engines.find(incoming_of(scope), full_path(scope))
            outer = scope.get(KEY)
            state = ScopeState(engine, scope, self._templates, HANDLERS)
            if outer is not None:
                state.take_over(outer)
                scope = NestedScope(scope, state)
            else:
                scope[KEY] = state
            if engine.settings.platform_headers != "ignore" and state.incoming is None:
                state.incoming = incoming_of(scope)
                strip_scope(scope)
            check = engine.signature_check
            if check is not None and not check.trusts(state.checked_by):
                receive = await check_signature(check, state, scope, receive)
        except Base44Error as error:
            await deliver(early_reply(error), scope, receive, send)
            return
        protocol = _take_subprotocol(engine.settings, scope) if kind == "websocket" else None
        sending = _sender(state, scope, send, protocol)
        try:
            await self.app(scope, receive, sending)
        except RuntimeError as error:
            if state.started and isinstance(error.__cause__, Base44Error):
                raise error.__cause__ from None  # of a background task or a stream: Starlette hides it behind its own
            raise
        except (Base44Error, BaseExceptionGroup) as error:
            reply = None if state.started else escaped_reply(error, HTTPConnection(scope))
            if reply is None:
                raise
            await deliver(reply, scope, receive, sending)

    def _check_guards(self, scope: Scope, settings: Settings | None) -> None:
        starting = scope["type"] == "lifespan"
        apps = (scope.get("app"), self.app)
        names = check_views(chain(*(routed_views(app, starting=starting) for app in apps)), settings)
        only = None if self._engines is None else self._engines.only
        if only is not None and not self._checked:
            warn_without_views(only.settings, line_for_views([*apps, scope.get("router")]), names=names)
        self._checked = True
        self._routes = routes_of(scope.get("app") or self.app)
        self._count = len(self._routes)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        engines, problem = self._engines, self._error
        if engines is not None:
            try:
                self._check_guards(scope, None if engines.only is None else engines.only.settings)
                if engines.examines:
                    await anyio.to_thread.run_sync(engines.probe)
            except ConfigurationError as error:
                problem = error.message
            except TypeError as error:  # a guard without its parentheses
                problem = str(error)
        if engines is None or problem is not None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"base44_web: {problem}"})
            with anyio.move_on_after(0.1):
                await receive()  # who goes on talking has understood
                return
            raise ConfigurationError(problem or "")  # Starlette's test client takes a mere return for a start

        async def close_last(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await engines.aclose()
            await send(message)

        await self.app(scope, receive, close_last)


def _sender(state: ScopeState, scope: Scope, send: Send, protocol: str | None) -> Send:
    """Looks at an answer as it begins: which view gave it, and whether it depends on who asked.

    A WebSocket that the app accepted can no longer be denied, only closed. One whose client offered its token as a
    subprotocol is accepted with the other one: browsers want an answer.
    """

    # A plain function that gives what to await: half of what another coroutine for each message would cost.
    def sending(message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            state.started = True
            refuse_bare(scope.get("endpoint"))
            if state.was_read:
                tell_caches(message)
        elif kind == "websocket.accept":
            refuse_bare(scope.get("endpoint"))
            state.started = state.accepted = True
            if protocol is not None and message.get("subprotocol") is None:
                message = {**message, "subprotocol": protocol}
        return send(message)

    return sending


def _take_subprotocol(settings: Settings, scope: Scope) -> str | None:
    """Take the token out of the subprotocols offered, so that the app cannot answer with it."""
    offered: list[str] = scope.get("subprotocols", [])
    kept = [protocol for protocol in offered if not protocol.startswith(SUBPROTOCOL_PREFIX)]
    if "subprotocol" not in settings.token_sources or len(kept) == len(offered):
        return None
    scope["subprotocols"] = kept
    return kept[0] if kept else None
