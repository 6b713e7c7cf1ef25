"""The drivers' app without a framework: what adapters do, done with the core alone.

Tables run here, once blocking and once awaiting; each framework then runs the first row of each.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2

from base44_web import AsyncBase44, Base44, Base44Error, ConfigurationError, Settings, SettingsResolver
from base44_web._core.engine.apps import Engines
from base44_web._core.engine.context import Context
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import AWAITING, BLOCKING
from base44_web._core.replies.html import render
from base44_web._core.replies.refuse import early_reply, reply_to
from base44_web._core.replies.reply import Reply, with_vary
from base44_web._core.replies.visit import Visit, path_and_query
from base44_web._core.views.handlers import answer
from base44_web._core.views.routes import MAX_BODY, VIEWS, Mounted, ViewRequest
from tests.apps.calls import escape_async, escape_sync, guarded_async, guarded_sync, plain, run_async, run_sync

MOUNT = "/base44/"
_ROUTES = [(view, re.compile(re.escape(MOUNT) + view.path.replace("{connector}", "([^/]+)"))) for view in VIEWS]


class CoreApp:
    """Answers requests.

    Args:
        kind: `"blocking"`, whose coroutine never suspends, or `"awaiting"`.
        source: the settings, or who gives them.
        transport: how to send.
    """

    def __init__(self, kind: str, source: Settings | SettingsResolver, transport: Any) -> None:
        self._io = BLOCKING if kind == "blocking" else AWAITING
        self.engines = Engines(source if isinstance(source, SettingsResolver) else Settings.load(source), transport)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in request.headers.raw]
        incoming = Incoming(request.method, headers, secure=request.url.scheme == "https")
        path, query = request.url.path, request.url.query.decode("latin-1")
        try:
            engine = self.engines.find(incoming, path)
        except Base44Error as error:
            if not error.about_visitor:
                raise
            return _response(early_reply(error), request)
        check = engine.signature_check
        if check is not None and not check.is_bare(incoming):
            body = request.content[: check.max_body + 1]
            try:
                check.check_headers(incoming)
                check.check(incoming, paths=(path,), query=query, body=body)
            except Base44Error as error:
                return _response(early_reply(error), request)
        context = Context(engine, incoming, awaiting=self._io)
        response = await self._answer(context, request, path, query)
        if context.was_read:
            response.headers.setdefault("Cache-Control", "private")
            response.headers["Vary"] = with_vary(response.headers.get("Vary"))
        return response

    async def _answer(self, context: Context, request: httpx2.Request, path: str, query: str) -> httpx2.Response:
        settings = context.engine.settings
        visit = Visit(context.incoming, path_and_query(path, query), Mounted(MOUNT), settings)
        for view, pattern in _ROUTES:
            found = pattern.fullmatch(path)
            if found is not None:
                connector = next(iter(found.groups()), None)
                asked = ViewRequest.of(view, visit, connector, query, request.content[: MAX_BODY + 1])
                return _response(await answer(self._io, context, asked), request)
        if path in ("/guarded", "/me"):
            try:
                await admit(self._io, context, ("calendar",) if path == "/guarded" else ())
            except (Base44Error, ConfigurationError) as error:
                reply = reply_to(error, visit, guarded=True)
                assert reply is not None
                return _response(reply, request)
        try:
            return await self._view(context, request, path)
        except Base44Error as error:
            reply = reply_to(error, visit, guarded=False)
            if reply is None:
                raise  # the app's own
            return _response(reply, request)

    async def _view(self, context: Context, request: httpx2.Request, path: str) -> httpx2.Response:
        awaiting, blocking = AsyncBase44._for(context), Base44._for(context)
        waits = self._io is AWAITING

        def call() -> Any:
            return json.loads(request.headers["x-call"])

        match path:
            case "/idle":
                found: Any = "idle"
            case "/run":
                found = await run_async(lambda: awaiting, call()) if waits else run_sync(lambda: blocking, call())
            case "/guarded":
                found = await guarded_async(awaiting) if waits else guarded_sync(blocking)
            case "/me":
                found = plain(await awaiting.user() if waits else blocking.user())
            case "/escape":
                await escape_async(awaiting, call()) if waits else escape_sync(blocking, call())
                found = {}
            case _:
                return httpx2.Response(404, request=request)
        return httpx2.Response(200, json=found, request=request)


def _response(reply: Reply, request: httpx2.Request) -> httpx2.Response:
    body = reply.body if reply.page is None else render(reply.page).encode()
    content = b"" if request.method == "HEAD" else body
    return httpx2.Response(reply.status, headers=list(reply.headers.items()), content=content, request=request)
