"""The middleware of every ASGI framework; what a framework does in its own way is a method of its class."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

import anyio
import anyio.to_thread

from .._core import telemetry
from .._core.config import Settings
from .._core.engine.apps import Engines
from .._core.incoming.bearer import SUBPROTOCOL_PREFIX
from .._core.incoming.request import strip_scope
from .._core.replies.refusal import Refusal
from .._core.replies.refuse import early_reply
from .._core.replies.reply import Page
from ..errors import Base44Error, ConfigurationError
from .nested import NestedScope
from .relay import check_signature
from .replies import deliver, escaped_reply, tell_caches
from .scope import KEY, ASGIApp, Message, Receive, Scope, ScopeState, Send, incoming_of, with_root


class ASGIMiddleware:
    """Puts `base44` into the scope, examines requests that must be, and looks at answers as they begin.

    Args:
        app: the ASGI app.
        engines: of the app or the apps; `None` where they could not be made.
        problem: why not.
    """

    provides_base44 = True
    response: ClassVar[type[Any]]
    """This framework's response, which an app's `on_refusal` gives."""
    hides: ClassVar[tuple[type[Exception], ...]] = ()
    """What this framework raises in place of an error that comes after the answer began."""

    def __init__(self, app: ASGIApp, engines: Engines | None, problem: str | None = None) -> None:
        self.app = app
        self._engines = engines
        self._problem = problem

    # --- what a framework does in its own way

    def begin(self, scope: Scope) -> None:
        """Called before each request: checks what a lifespan would have checked.

        Raises:
            ConfigurationError: a guard is left out, or wrong.
        """

    def check(self, scope: Scope, settings: Settings | None) -> None:
        """Check the guards as the server starts; without settings (each request brings its own) no connectors.

        Raises:
            ConfigurationError: one is left out, or names what is not configured.
            TypeError: one is written without its parentheses.
        """

    def check_answer(self, scope: Scope, state: ScopeState) -> None:
        """Called as an answer begins, or a WebSocket is accepted.

        Raises:
            ConfigurationError: nobody may get this answer.
        """

    def answer_errors(self, scope: Scope) -> None:
        """Called as somebody asks for the client or for who is calling: errors about the visitor can come of it."""

    def full_path(self, scope: Scope) -> str:
        """A request's decoded path, as it came in."""
        return with_root(scope, str(scope["path"]))

    def proxy_prefix(self) -> str:
        """What the app's own settings say that a proxy takes away of paths; without a slash at the end."""
        return ""

    def view_path(self, scope: Scope, view: str, parameters: Mapping[str, str]) -> str | None:
        """The path of one of the redirect views, if the app has them."""
        return None

    def own_page(self, page: Page, scope: Scope) -> bytes | None:
        """A page by a template of the app's own, if it has one."""
        return None

    def put_headers(self, own: Any, refusal: Refusal) -> None:
        """Give the app's own answer to a refusal the headers that it has to have (`kept_headers`)."""
        raise NotImplementedError  # a framework that has an `on_refusal` has this, too

    async def send_own(self, own: Any, scope: Scope, send: Send) -> None:
        """Send the app's own answer to a refusal, as to a request."""
        raise NotImplementedError  # as `put_headers`

    # --- what is the same in all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await (self._lifespan if kind == "lifespan" else self.app)(scope, receive, send)
            return
        if self._engines is None:
            raise ConfigurationError(self._problem or "")
        telemetry.serving()
        self.begin(scope)
        engine = self._engines.only
        try:
            if engine is None:
                engine = self._engines.find(incoming_of(scope), self.full_path(scope))
            outer = scope.get(KEY)
            state = ScopeState(self, engine, scope)
            if outer is not None:
                state.take_over(outer)
                scope = NestedScope(scope, state)
            else:
                scope[KEY] = state
            if engine.settings.platform_headers != "ignore":
                if state.incoming is None:
                    state.incoming = incoming_of(scope)
                    strip_scope(scope)
                check = engine.signature_check
                if check is not None and not check.trusts(state.checked_by):
                    path, prefix = self.full_path(scope), self.proxy_prefix()
                    receive = await check_signature(check, state, scope, receive, path=path, prefix=prefix)
        except Base44Error as error:
            await deliver(early_reply(error), scope, send)
            return
        protocol = _take_subprotocol(engine.settings, scope) if kind == "websocket" else None
        sending = self._sender(state, scope, send, protocol)
        try:
            await self.app(scope, receive, sending)
        except self.hides as error:
            if state.started and isinstance(error.__cause__, Base44Error | ConfigurationError):
                raise error.__cause__ from None  # of a background task or a stream
            raise
        except (Base44Error, BaseExceptionGroup) as error:
            reply = None if state.started else escaped_reply(error, scope)
            if reply is None:
                raise
            await deliver(reply, scope, sending)

    def _sender(self, state: ScopeState, scope: Scope, send: Send, protocol: str | None) -> Send:
        """Looks at an answer as it begins: which view gave it, and whether it depends on who asked.

        A WebSocket that the app accepted can no longer be denied, only closed. One whose client offered its token as a
        subprotocol is accepted with the other one: browsers want an answer.
        """

        # A plain function that gives what to await: half of what another coroutine for each message would cost.
        def sending(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.start":
                state.started = True
                self.check_answer(scope, state)
                if state.was_read:
                    tell_caches(message)
            elif kind == "websocket.accept":
                self.check_answer(scope, state)
                state.started = state.accepted = True
                if protocol is not None and message.get("subprotocol") is None:
                    message = {**message, "subprotocol": protocol}
            elif kind == "websocket.close" and state.denied is not None:
                return deliver(state.denied, scope, send)
            return send(message)

        return sending

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        engines, problem = self._engines, self._problem
        if engines is not None:
            try:
                self.check(scope, None if engines.only is None else engines.only.settings)
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


def _take_subprotocol(settings: Settings, scope: Scope) -> str | None:
    """Take the token out of the subprotocols offered, so that the app cannot answer with it."""
    offered: list[str] = scope.get("subprotocols", [])
    kept = [protocol for protocol in offered if not protocol.startswith(SUBPROTOCOL_PREFIX)]
    if "subprotocol" not in settings.token_sources or len(kept) == len(offered):
        return None
    scope["subprotocols"] = kept
    return kept[0] if kept else None
