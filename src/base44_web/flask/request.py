"""`request.base44` in Flask's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from flask import Flask, Response, after_this_request, got_request_exception, has_request_context
from flask import Request as FlaskRequest
from flask import request as flask_request
from werkzeug.local import LocalProxy

from .._core.client._sync import Base44
from .._core.engine.apps import Engines
from .._core.engine.context import Context
from .._core.engine.engine import Engine
from .._core.incoming.environ import read_environ, strip_environ
from .._core.incoming.request import Incoming
from .._core.platform.io import IN_THREADS
from .._core.replies.reply import with_private, with_vary
from ..errors import Base44Error, MiddlewareMissingError
from .caches import refuse_in_cache

ENGINE: Final = "base44_web.engine"
ESCAPED: Final = "_base44_escaped"


class Request(FlaskRequest):
    """Flask's request, as the extension leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: Base44
        """The client for this request's app user; `.aio` in async views."""


request = cast(Request, flask_request)
"""Flask's own `request`, typed with `base44`."""


def get_base44(request: FlaskRequest | None = None) -> Base44:
    """The client for a request's app user; by default of the current request.

    Raises:
        MiddlewareMissingError: the app has no `Base44Extension`.
        RuntimeError: outside of a request.
    """
    if request is None and not has_request_context():
        raise RuntimeError(
            "base44 belongs to a request. In a command or a worker, use base44_web.Base44 as a context manager."
        )
    return cast(Request, request or flask_request).base44


def _missing(request: FlaskRequest) -> NoReturn:
    raise MiddlewareMissingError("request.base44 is not there: set up base44_web.flask.Base44Extension for this app.")


# For apps without the extension: `_WithBase44` comes before it in those that have it.
FlaskRequest.base44 = property(_missing)  # type: ignore[attr-defined]

current_base44 = cast(Base44, LocalProxy(get_base44))
"""The client for the current request's app user."""


def give_requests_base44(app: Flask, engines: Engines) -> None:
    """Derive the app's `request_class`, whatever set it, so that requests have a `base44`."""
    if issubclass(app.request_class, _WithBase44):
        app.request_class._base44_in_caches = "cache" in app.extensions
        return
    own = app.request_class
    content = {"__module__": own.__module__, "_base44_engines": engines}
    app.request_class = type(own.__name__, (_WithBase44, own), content)


class _WithBase44:
    """Mixed into the app's request class."""

    environ: dict[str, Any]
    _base44_engines: Engines
    _base44_in_caches = False

    def __init__(self, environ: dict[str, Any], *args: Any, **options: Any) -> None:
        engines = self._base44_engines
        engine: Engine | None = environ.get(ENGINE) if engines.examines else engines.only
        strips = engine is not None and engine.settings.platform_headers != "ignore"
        self._base44_engine = engine
        self._base44_incoming = strip_platform_headers(environ) if strips else None
        super().__init__(environ, *args, **options)  # type: ignore[call-arg]

    @property
    def base44(self) -> Base44:
        if self._base44_in_caches:
            refuse_in_cache()
        client: Base44 | None = self.__dict__.get("_base44")
        if client is None:
            client = self._base44 = Base44._for(self._base44_new_context())
        return client

    def _base44_new_context(self) -> Context:
        if self._base44_engine is None:
            raise MiddlewareMissingError(
                "This request did not come through app.wsgi_app. Use app.test_client(), or a server."
            )
        incoming = self._base44_incoming or incoming_of(self.environ)
        context = Context(self._base44_engine, incoming, awaiting=IN_THREADS)
        if has_request_context() and cast(Any, flask_request)._get_current_object() is self:
            after_this_request(lambda response: finish(context, response))
        return context


def note_escaped(sender: Flask, exception: BaseException | None = None, **more: object) -> None:
    """Note an error that became a 500: Flask-RESTful and RESTX handle errors themselves, and say so by this signal."""
    if has_request_context() and isinstance(exception, Base44Error | BaseExceptionGroup):
        vars(cast(Any, flask_request)._get_current_object())[ESCAPED] = exception


got_request_exception.connect(note_escaped)


def finish(context: Context, response: Response) -> Response:
    """A view's answer, as it leaves: caches are told what it depends on.

    Where an extension handles errors itself (Flask-RESTful, RESTX), its 500 for an error about the visitor is theirs.
    """
    error = cast(dict[str, BaseException], vars(cast(Any, flask_request)._get_current_object())).get(ESCAPED)
    if error is not None and response.status_code == 500:
        from .replies import answer_in_place  # which stands on this module

        answer_in_place(error, response)
    if context.was_read:
        response.headers["Vary"] = with_vary(response.headers.get("Vary"))
        response.headers["Cache-Control"] = with_private(response.headers.get("Cache-Control"))
    return response


def context_of_request() -> Context:
    """The context of the current request. Raises as `get_base44`."""
    return get_base44()._context


def incoming_of(environ: dict[str, Any]) -> Incoming:
    """What came in."""
    return read_environ(environ, secure=environ["wsgi.url_scheme"] == "https")


def strip_platform_headers(environ: dict[str, Any]) -> Incoming:
    """What came in, and what no error page may show removed."""
    incoming = incoming_of(environ)
    strip_environ(environ)
    return incoming


def full_path(environ: dict[str, Any]) -> str:
    """A request's decoded path, with the mount: what a relay signs, and what an answer leads back to."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")
