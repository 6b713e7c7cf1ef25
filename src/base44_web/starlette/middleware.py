"""`request.base44` for Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import NoMatchFound
from starlette.types import ASGIApp

from .._asgi.middleware import ASGIMiddleware
from .._asgi.relay import never
from .._asgi.replies import Refused
from .._asgi.scope import KEY, Scope, ScopeState, Send, root_of
from .._core.config import Settings
from .._core.engine.apps import Engines, SettingsResolver
from .._core.guards.startup import check_views, refuse_bare, warn_without_views
from .._core.replies.refusal import Refusal
from .._core.replies.reply import Page, kept_headers
from .._core.replies.visit import quoted
from ..errors import ConfigurationError
from .guards import line_for_views, routed_views, routes_of
from .replies import HANDLERS

if TYPE_CHECKING:
    from starlette.templating import Jinja2Templates

    from .._core.transport.httpx_clients import AsyncClient, SyncClient
    from .._core.transport.protocol import TransportFactory


class Base44Middleware(ASGIMiddleware):
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

    hides = (RuntimeError,)
    response = Response

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings | SettingsResolver | None = None,
        transport: TransportFactory | SyncClient | AsyncClient | None = None,
        templates: Jinja2Templates | None = None,
        on_refusal: Callable[[Refusal], Response | None] | None = None,
    ) -> None:
        self._templates = templates
        self._checked = False
        self._routes: Sized = ()
        self._count = 0
        engines, problem = None, None
        try:
            source = settings if isinstance(settings, SettingsResolver) else Settings.load(settings)
            engines = Engines(source, transport, on_refusal=on_refusal)
        except ConfigurationError as error:
            problem = error.message
        super().__init__(app, engines, problem)

    def begin(self, scope: Scope) -> None:
        # The lifespan checks; some servers send none, none reaches a mounted app, and routes are added later.
        if not self._checked or len(self._routes) != self._count:
            self.check(scope, None)

    def check(self, scope: Scope, settings: Settings | None) -> None:
        starting = scope["type"] == "lifespan"
        apps = (scope.get("app"), self.app)
        names = check_views(chain(*(routed_views(app, starting=starting) for app in apps)), settings)
        only = None if self._engines is None else self._engines.only
        if only is not None and not self._checked:
            warn_without_views(only.settings, line_for_views([*apps, scope.get("router")]), names=names)
        self._checked = True
        self._routes = routes_of(scope.get("app") or self.app)
        self._count = len(self._routes)

    def check_answer(self, scope: Scope, state: ScopeState) -> None:
        refuse_bare(scope.get("endpoint"))

    def answer_errors(self, scope: Scope) -> None:
        """Inside of all middleware, so that CORS headers stay; the app's own handlers stay, too.

        The scope's key is Starlette's own, and undocumented: `tests/adapters/test_starlette.py` pins it.
        """
        handlers = scope.get("starlette.exception_handlers")
        if handlers is not None and Refused not in handlers[0]:
            for error, handler in HANDLERS.items():
                handlers[0].setdefault(error, handler)

    def view_path(self, scope: Scope, view: str, parameters: Mapping[str, str]) -> str | None:
        state = scope.get(KEY)
        # The views of the app whose middleware this is; or, where it has none, of the app around all.
        places: list[tuple[Any, str]] = [(scope.get("router") or scope.get("app"), root_of(scope))]
        if isinstance(state, ScopeState):
            places.insert(0, (state.app, state.root.rstrip("/")))
        for app, root in places:
            with suppress(NoMatchFound, AttributeError):
                return quoted(root + str(app.url_path_for(f"base44-{view}", **parameters)))
        return None

    def own_page(self, page: Page, scope: Scope) -> bytes | None:
        if self._templates is None:
            return None
        from jinja2 import TemplateNotFound

        wanted = f"base44_web/{page.name}.html"
        request = Request({**scope, "type": "http"})
        try:
            return bytes(self._templates.TemplateResponse(request, wanted, dict(page.values)).body)
        except TemplateNotFound as error:
            if error.name != wanted:  # one that the app's own template wants
                raise
            return None

    def put_headers(self, own: Response, refusal: Refusal) -> None:
        for name, value in kept_headers(refusal, own.headers.get("Vary")).items():
            (own.headers.append if name == "Set-Cookie" else own.headers.__setitem__)(name, value)

    async def send_own(self, own: Response, scope: Scope, send: Send) -> None:
        await own(scope, never, send)
